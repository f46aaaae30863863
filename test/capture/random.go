package capture

import "math/rand/v2"

// random draws what a script is made of; the same seed draws the same.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 0x6a70))} }

// chance is true in one of n cases.
func (r random) chance(n int) bool { return r.IntN(n) == 0 }

// one of the texts.
func (r random) one(texts ...string) string { return texts[r.IntN(len(texts))] }

// weighted is a choice that is made that many times as often as one of weight 1.
type weighted struct {
	weight int
	kind   Kind // what it needs that Capture must be able to do; empty: nothing special
	make   func()
}

// choose makes one of the choices that are not avoided.
func (g *generator) choose(choices []weighted) {
	sum := 0
	for _, c := range choices {
		if g.allows(c.kind) {
			sum += c.weight
		}
	}
	n := g.IntN(sum)
	for _, c := range choices {
		if !g.allows(c.kind) {
			continue
		}
		if n -= c.weight; n < 0 {
			c.make()
			return
		}
	}
}
