package bank_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gapless-go/gapless/cdc"
)

const accounts = 50

// transfer is the data of an event: "from to amount".
type transfer struct{ from, to, amount int }

// transferOf is the n-th transfer, from 1 on: the same in every process.
func transferOf(n int) transfer {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	return transfer{r.IntN(accounts), r.IntN(accounts), 1 + r.IntN(100)}
}

func parse(e cdc.Event) (t transfer, err error) {
	_, err = fmt.Sscan(string(e.Data), &t.from, &t.to, &t.amount)
	return t, err
}

// nameOf is the ID of the n-th transfer.
func nameOf(n int) string { return fmt.Sprint("t", n) }

// event is the n-th transfer in a log.
func event(n int) cdc.Event {
	t := transferOf(n)
	return cdc.Event{ID: nameOf(n), Type: "transfer", Key: fmt.Sprint(t.from), Data: fmt.Append(nil, t.from, " ", t.to, " ", t.amount)}
}

// appendUpTo adds the transfers after the n-th, up to the last one.
func appendUpTo(ctx context.Context, log cdc.Log, n, last int) error {
	for n < last {
		var events []cdc.Event
		for range min(last-n, 500) {
			n++
			events = append(events, event(n))
		}
		if _, err := cdc.Append(ctx, log, events...); err != nil {
			return err
		}
	}
	return nil
}

// books are what handlers have done.
type books struct {
	balances map[int]int
	effects  map[string]int // how often each event took effect
}

// compare counts what took effect otherwise than once, of the first n transfers.
func (v *verdict) compare(t *testing.T, got books, n int) {
	t.Helper()
	v.transfers, v.doubled, v.lost, v.wrong = n, 0, 0, 0
	want := map[int]int{}
	for i := range n {
		move := transferOf(i + 1)
		want[move.from] -= move.amount
		want[move.to] += move.amount
		switch times := got.effects[nameOf(i+1)]; {
		case times == 0:
			v.lost++
		case times > 1:
			v.doubled += times - 1
		}
	}
	for account := range accounts {
		if got.balances[account] != want[account] {
			v.wrong++
		}
	}
}
