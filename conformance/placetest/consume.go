package placetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
)

func consumeCases[T any]() []testCase[T] {
	return []testCase[T]{
		{Case{"Effective/Killed", "An instance is killed before and after each of its calls; another goes on, and each event took effect once."}, killed[T]},
		{Case{"Effective/UnknownOutcome", "A call fails, whether or not it was made; each event took effect once."}, unknownOutcome[T]},
		{Case{"Effective/Stopped", "An instance is stopped before each of its calls until another has followed and worked, then goes on."}, stoppedBeyondTerm[T]},
		{Case{"Effective/Reset", "Before each call the log gets a new epoch; the handler begins anew, and each event took effect once since then."}, resetAnywhere[T]},
		{Case{"Effective/FailedInBatch", "The handler fails in the middle of a batch; what it wrote in it is gone, and then comes once."}, failedInBatch[T]},
		{Case{"Effective/ParkedInOrder", "An event is parked; others of its key wait behind it, those of other keys go on, and all come in order once it is retried."}, parkedInOrder[T]},
		{Case{"Effective/HandedOver", "An instance that ends is followed at once, long before its term is over."}, handedOver[T]},
		{Case{"Effective/Moved", "A worker that is paused does nothing; moved back, it handles the events again."}, moved[T]},
		{Case{"Effective/Retained", "Retain keeps what a worker has not handled, up to a limit; beyond it the worker gets the typed reset."}, retained[T]},
	}
}

// opts are such that a batch has three events.
func (s *subject[T]) opts() *cdc.ConsumeOptions {
	return &cdc.ConsumeOptions{Start: cdc.Beginning(), BatchSize: 3, Term: s.Term, MaxPause: s.Term / 2}
}

// append adds n events with the texts "1" to "n", of three keys by turns, and
// returns the texts.
func (s *subject[T]) append(ctx context.Context, n int) ([]string, error) {
	var texts []string
	for i := range n {
		text := fmt.Sprint(i + 1)
		e := cdc.Event{Type: "test", Key: string(rune('a' + i%3)), Data: []byte(text)}
		if _, err := cdc.Append(ctx, s.Log, e); err != nil {
			return nil, fmt.Errorf("Store.Log: %w", err)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// handler writes the text of each event.
func (s *subject[T]) handler() cdc.Handler[T] {
	return cdc.Handler[T]{Apply: func(ctx context.Context, tx T, d *cdc.Delivery) error {
		return s.Write(ctx, tx, string(d.Event.Data))
	}}
}

// instance is a running Consume.
type instance struct {
	end  context.CancelFunc
	done chan error
}

func (s *subject[T]) start(ctx context.Context, place cdc.Place[T], handler cdc.Handler[T], opts *cdc.ConsumeOptions) *instance {
	ctx, cancel := context.WithCancel(ctx)
	in := &instance{end: cancel, done: make(chan error, 1)}
	go func() { in.done <- cdc.Consume(ctx, s.Log, worker, place, handler, opts) }()
	return in
}

// stop ends the instance and waits for it.
func (in *instance) stop() error {
	in.end()
	if err := <-in.done; !errors.Is(err, context.Canceled) {
		return fmt.Errorf("an instance ended otherwise than by its context: %w", err)
	}
	return nil
}

// atHead waits until the worker has handled everything.
func (s *subject[T]) atHead(ctx context.Context, place cdc.Place[T]) error {
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	return eventually(ctx, s.Term/20, func() (bool, error) {
		state, err := place.Load(ctx, worker)
		return state.Cursor.Epoch == b.Epoch && state.Cursor.Seq >= b.Head, err
	})
}

// finish waits for the worker and compares what it wrote.
func (s *subject[T]) finish(ctx context.Context, want []string) error {
	if err := s.atHead(ctx, s.Second); err != nil {
		got, _ := s.Written(context.WithoutCancel(ctx))
		return fmt.Errorf("the worker did not come to the head: %w; the store has %q", err, got)
	}
	return s.wantWritten(ctx, want...)
}

// everyCall runs the case anew for each call that an instance makes until it is
// at the head: each run has a worker of the store's log at its beginning. between
// is what happens around the n-th call.
func (s *subject[T]) everyCall(ctx context.Context, run func(n int) (calls int, err error)) error {
	for n := 1; ; n++ {
		if err := cdc.Seek(ctx, s.Second, worker, cdc.Cursor{}); err != nil {
			return err
		}
		calls, err := run(n)
		if err != nil {
			return fmt.Errorf("at call %d: %w", n, err)
		}
		if calls < n {
			return nil
		}
	}
}

// repeated is the texts for each of the runs until now.
func repeated(texts []string, runs int) []string {
	return slices.Repeat(texts, runs)
}

func killed[T any](ctx context.Context, s *subject[T]) error {
	texts, err := s.append(ctx, 5)
	if err != nil {
		return err
	}
	runs := 0
	for _, after := range []bool{false, true} {
		err := s.everyCall(ctx, func(k int) (int, error) {
			runs++
			dead := make(chan struct{})
			die := func(n int, _ string) error {
				if n == k {
					close(dead)
				}
				if n >= k {
					return errInterposed
				}
				return nil
			}
			place := &interposed[T]{Place: s.Place, before: die}
			if after {
				place.before, place.after = dieAfter(k, dead)
			}
			return s.runBeside(ctx, place, dead, repeated(texts, runs))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dieAfter makes every call fail after the k-th, which is made.
func dieAfter(k int, dead chan struct{}) (before, after func(int, string) error) {
	before = func(n int, _ string) error {
		if n > k {
			return errInterposed
		}
		return nil
	}
	after = func(n int, _ string) error {
		if n == k {
			close(dead)
			return errInterposed
		}
		return nil
	}
	return before, after
}

// runBeside runs an instance over the place until it is dead or at the head,
// then another one that must finish, and returns the number of calls.
func (s *subject[T]) runBeside(ctx context.Context, place *interposed[T], dead chan struct{}, want []string) (int, error) {
	first := s.start(ctx, place, s.handler(), s.opts())
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := s.finished(waiting)
	select {
	case <-dead:
	case <-finished:
	}
	if err := first.stop(); err != nil {
		return 0, err
	}
	second := s.start(ctx, s.Second, s.handler(), s.opts())
	err := s.finish(ctx, want)
	return place.calls(), errors.Join(err, second.stop())
}

func unknownOutcome[T any](ctx context.Context, s *subject[T]) error {
	texts, err := s.append(ctx, 5)
	if err != nil {
		return err
	}
	runs := 0
	unknown := fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, errInterposed)
	for _, how := range []struct {
		made bool
		err  error
	}{{false, errInterposed}, {true, errInterposed}, {false, unknown}, {true, unknown}} {
		err := s.everyCall(ctx, func(k int) (int, error) {
			runs++
			fail := func(n int, _ string) error {
				if n == k {
					return how.err
				}
				return nil
			}
			place := &interposed[T]{Place: s.Place, before: fail}
			if how.made {
				place.before, place.after = nil, fail
			}
			in := s.start(ctx, place, s.handler(), s.opts())
			err := s.finish(ctx, repeated(texts, runs))
			calls := place.calls()
			return calls, errors.Join(err, in.stop())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func stoppedBeyondTerm[T any](ctx context.Context, s *subject[T]) error {
	texts, err := s.append(ctx, 5)
	if err != nil {
		return err
	}
	runs := 0
	return s.everyCall(ctx, func(k int) (int, error) {
		runs++
		var stopped atomic.Bool
		asleep, wake := make(chan struct{}), make(chan struct{})
		sleep := func(n int, _ string) error {
			if n == k {
				stopped.Store(true)
				close(asleep)
			}
			if n >= k {
				<-wake // the lease is not renewed meanwhile, either
			}
			return nil
		}
		place := &interposed[T]{Place: s.Place, before: sleep}
		first := s.start(ctx, place, s.handler(), s.opts())
		waiting, cancel := context.WithCancel(ctx)
		defer cancel()
		finished := s.finished(waiting)
		select {
		case <-asleep:
		case <-finished:
		}
		second := s.start(ctx, s.Second, s.handler(), s.opts())
		err := s.finish(ctx, repeated(texts, runs))
		close(wake)
		err = errors.Join(err, pause(ctx, s.Term), s.finish(ctx, repeated(texts, runs)))
		calls := place.calls()
		if !stopped.Load() {
			calls = 0
		}
		return calls, errors.Join(err, first.stop(), second.stop())
	})
}

const began = "began"

func resetAnywhere[T any](ctx context.Context, s *subject[T]) error {
	texts, err := s.append(ctx, 5)
	if err != nil {
		return err
	}
	handler := s.handler()
	handler.Reset = func(ctx context.Context, tx T, _ *cdc.ResetError) (cdc.Start, error) {
		return cdc.Beginning(), s.Write(ctx, tx, began)
	}
	return s.everyCall(ctx, func(k int) (int, error) {
		renewed := make(chan struct{})
		place := &interposed[T]{Place: s.Place, before: func(n int, _ string) error {
			if n != k {
				return nil
			}
			defer close(renewed)
			_, err := cdc.Renew(ctx, s.Log)
			return err
		}}
		in := s.start(ctx, place, handler, s.opts())
		select {
		case <-renewed:
		case <-ctx.Done():
		case <-waitHead(ctx, s):
		}
		err := s.atHead(ctx, s.Second)
		calls := place.calls()
		err = errors.Join(err, in.stop())
		written, writtenErr := s.Written(ctx)
		since := written[max(0, len(written)-len(texts)):]
		if fmt.Sprint(since) != fmt.Sprint(texts) {
			err = errors.Join(err, fmt.Errorf("since the last reset the store has %q, want %q", since, texts))
		}
		if n := len(written) - len(texts); n > 0 && written[n-1] != began && written[n-1] != texts[len(texts)-1] {
			err = errors.Join(err, fmt.Errorf("the store has %q: a part of an epoch was handled again", written))
		}
		return calls, errors.Join(err, writtenErr)
	})
}

// waitHead is closed when the worker was at the head, or ctx has ended.
func waitHead[T any](ctx context.Context, s *subject[T]) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.atHead(ctx, s.Second) // the caller looks again
	}()
	return done
}

func failedInBatch[T any](ctx context.Context, s *subject[T]) error {
	texts, err := s.append(ctx, 9)
	if err != nil {
		return err
	}
	var fails atomic.Int64
	handler := s.handler()
	apply := handler.Apply
	handler.Apply = func(ctx context.Context, tx T, d *cdc.Delivery) error {
		err := apply(ctx, tx, d)
		if text := string(d.Event.Data); err == nil && d.Tries < 2 && (text == "2" || text == "4" || text == "9") {
			fails.Add(1)
			return errors.New("the handler fails after it has written")
		}
		return err
	}
	in := s.start(ctx, s.Place, handler, s.opts())
	err = s.finish(ctx, texts)
	if err == nil && fails.Load() < 6 {
		err = fmt.Errorf("the handler failed %d times, want at least 6", fails.Load())
	}
	return errors.Join(err, in.stop())
}

func handedOver[T any](ctx context.Context, s *subject[T]) error {
	texts, err := s.append(ctx, 4)
	if err != nil {
		return err
	}
	opts := s.opts()
	opts.Term = 80 * s.Term
	first := s.start(ctx, s.Place, s.handler(), opts)
	if err := errors.Join(s.finish(ctx, texts), first.stop()); err != nil {
		return err
	}
	if _, err := s.append(ctx, 4); err != nil {
		return err
	}
	second := s.start(ctx, s.Second, s.handler(), s.opts())
	limited, cancel := context.WithTimeoutCause(ctx, 20*s.Term, errors.New("the lease was not given up"))
	defer cancel()
	return errors.Join(s.finish(limited, repeated(texts, 2)), second.stop())
}

// finished is closed when the second place has the worker at the head, or ctx
// has ended: what the instances did is checked afterwards.
func (s *subject[T]) finished(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.atHead(ctx, s.Second)
	}()
	return done
}
