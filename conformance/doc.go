// Package conformance checks a [cdc.Log] against the guarantees of Gapless.
// It is made for those who write a log of their own: one line runs it, and it
// looks for what they got wrong on purpose, not by chance.
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{Open: open})
//	}
//
// [Run] makes a subtest of each case, [Check] does the same without a
// testing.T and gives a [Report] to show, and package verify judges a history
// that was recorded elsewhere. What a
// log can do beyond the two interfaces is told by the [Harness]; what it
// cannot do is skipped visibly, and no flag turns a promise off.
// docs/custom-source.md is the tutorial.
//
// [cdc.Log]: https://pkg.go.dev/github.com/gapless-go/gapless/cdc#Log
package conformance
