// Package placetest holds a [cdc.Place] to its contract, and with it what
// [cdc.Consume] promises over it, the guarantee Effective: each event takes
// effect exactly once in the store of the handler, in the order of its key,
// whatever is killed or paused.
//
//	func TestPlace(t *testing.T) {
//		placetest.Run(t, func() (placetest.Store[*sql.Tx], error) { … })
//	}
//
// A suite of its own: a log that is no place neither fails nor skips it.
package placetest
