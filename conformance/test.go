package conformance

import (
	"context"
	"io"
	"iter"
	"reflect"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// test is one run of one case: a trial over a log of the harness.
type test struct {
	*trial.Trial
	h Harness
}

// start returns the trial that runs the case over the harness.
func (c Case) start(ctx context.Context, h Harness, s trial.Settings) *trial.Trial {
	return trial.New(ctx, c.subject(), h.store(), s, func(t *trial.Trial) {
		if lacks := c.lacks(h); lacks != "" {
			t.Skip("the harness has no %s", lacks)
		}
		c.run(&test{t, h})
	})
}

// store is the harness as a trial needs it.
func (h Harness) store() trial.Store {
	return trial.Store{
		Append: func(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
			return h.append(ctx, bare(log), events...)
		},
		Follow: func(ctx context.Context, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) iter.Seq2[cdc.Batch, error] {
			return h.follow(ctx, bare(log), start, opts)
		},
		Begin: func(ctx context.Context, log cdc.Log) (trial.Transaction, error) { return h.Begin(ctx, bare(log)) },
	}
}

// handle is an open log and where it is.
type handle struct {
	cdc.Log
	at Place
}

// bare removes the handle around a log: the harness knows what is below, and
// the log may have more methods.
func bare(log cdc.Log) cdc.Log {
	if h, ok := log.(handle); ok {
		return h.Log
	}
	return log
}

// open makes an empty log.
func (t *test) open() handle {
	name, dir := t.Place()
	log := t.openWith("Open", t.h.Open, Place{Name: name, Dir: dir, Case: t.Subject.Name})
	t.Latest = log
	return log
}

func (t *test) openWith(what string, open func(context.Context, Place) (cdc.Log, error), at Place) handle {
	ctx, cancel := t.WithPatience()
	defer cancel()
	log, err := open(ctx, at)
	if err != nil {
		t.StoreFailed(what, err)
	}
	t.CloseAtEnd(log)
	return handle{Log: log, at: at}
}

// second opens another handle on the log.
func (t *test) second(h handle) handle {
	other := t.openWith("Second", t.h.Second, h.at)
	if v := reflect.ValueOf(other.Log); v.Kind() == reflect.Pointer && v == reflect.ValueOf(h.Log) {
		t.DidNothing("Second", "it returned the handle that is open already")
	}
	return other
}

// reopen closes the log and opens it again.
func (t *test) reopen(h handle) handle {
	t.close(h)
	return t.openWith("Reopen", t.h.Reopen, h.at)
}

func (t *test) close(h handle) {
	if c, ok := h.Log.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Fail(verify.Contained, "Close returned %v", err)
		}
	}
}

// tapped puts a tap on the log. The log that is returned is for the reader.
func (t *test) tapped(log cdc.Log) (*trial.Tap, cdc.Log) { return t.Tapped(bare(log)) }
