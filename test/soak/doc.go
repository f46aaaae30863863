// Package soak has the campaigns against the quickstart: real processes, real
// connections, many clients. go test runs a short form of each; with
// GAPLESS_SOAK set (make soak) they have their full size. What they measure is
// logged; docs/results keeps one run of each.
package soak
