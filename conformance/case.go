package conformance

import (
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// Case is one test of one guarantee.
type Case struct {
	Guarantee verify.Guarantee
	Situation string // "EveryCursor", or with a parameter "FirstReplay/latest"
	Sentence  string // what is done and what must come of it

	needs []need
	run   func(*test)
	real  bool // needs real time, also where the harness allows a bubble
}

// Name is the stable name, "Guarantee/Situation[/parameter]".
func (c Case) Name() string { return string(c.Guarantee) + "/" + c.Situation }

func (c Case) subject() trial.Subject {
	return trial.Subject{Guarantee: c.Guarantee, Name: c.Name(), Sentence: c.Sentence}
}

// Cases returns every case of the suite for logs, in the order in which it
// runs: guarantee by guarantee.
func Cases() []Case {
	cases := slices.Concat(
		orderedCases(), uniqueCases(), reliableCases(), textCases(), committedCases(), refusedCases(), atomicCases(),
		resumableCases(), trimBesideCases(), renewedCases(), handoffCases(), liveCases(), liveOddCases(),
		bookmarkCases(), durableCases(), reopenedCases(),
		boundedCases(), containedCases(), idempotentCases(), identityCases(), filteredCases(), pushedCases(), lagCases(), handleCases(),
	)
	order := verify.Guarantees()
	slices.SortStableFunc(cases, func(a, b Case) int {
		return slices.Index(order, a.Guarantee) - slices.Index(order, b.Guarantee)
	})
	return cases
}

// need is an ability of the harness that a case cannot do without.
type need int

const (
	needBegin need = iota
	needThree
	needSecond
	needReopen
	needRewind
	needSever
	needBreak
	needBreakEvent
	needLock
	needCrash
)

// met names the ability and says whether the harness has it.
func (n need) met(h Harness) (name string, ok bool) {
	switch n {
	case needBegin:
		return "Harness.Begin: set it to a func that opens a transaction of the store", h.Begin != nil
	case needThree:
		return "Harness.Begin with Writers of 3 or more: set both if transactions of the store can overlap", h.Begin != nil && h.Writers >= 3
	case needSecond:
		return "Harness.Second: set it, often to the func of Open, if two processes can have the store open", h.Second != nil
	case needReopen:
		return "Harness.Reopen: set it, often to the func of Open, if the store survives its process", h.Reopen != nil
	case needRewind:
		return "Harness.Rewind: set it to a func that takes the store back, as a failover or a backup does", h.Rewind != nil
	case needSever:
		return "Harness.Sever: set it to a func that cuts the connections of the live side", h.Sever != nil
	case needBreak:
		return "Harness.Break: set it to a func that makes reads of the store fail", h.Break != nil
	case needLock:
		return "Harness.Lock: set it to a func that keeps others from writing, as a long transaction does", h.Lock != nil
	case needBreakEvent:
		return "Harness.BreakEvent: set it to a func that makes the read of one event fail", h.BreakEvent != nil
	case needCrash:
		if h.overHub {
			return "Harness.Crash over a Hub: the process that is killed has no followers; run it over the log itself", false
		}
		return `Harness.Crash: set it to CrashSelf("TestName") if the store survives its process`, h.Crash != nil
	}
	return "an unknown ability", false
}

// lacks names what the harness cannot do, empty if the case can run.
func (c Case) lacks(h Harness) string {
	var names []string
	for _, n := range c.needs {
		if name, ok := n.met(h); !ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", and no ")
}
