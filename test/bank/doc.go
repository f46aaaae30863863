// Package bank has the campaign against workers: transfers of money as events,
// handled by instances in several processes that are killed with -9, stopped for
// longer than their lease and started again. go test runs a short form; with
// GAPLESS_SOAK set (make soak) it has its full size.
package bank
