// Package consume compares cdc.Consume with the same handler in a bare loop, which
// begins a transaction for each batch and saves no position.
package consume
