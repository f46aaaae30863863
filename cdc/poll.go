package cdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// PollOptions of [Poll]; nil means the defaults.
type PollOptions struct {
	// Min is the time between two looks right after something was found, Max
	// the one that a quiet log ends at: it doubles from the one to the other.
	// Max is also about how late an event can be noticed. 0 means 5 ms and
	// 250 ms, or what the other one allows if that is less or more. Negative
	// is refused, and a Max below Min.
	Min, Max time.Duration
}

// Polled is a [Log] made of a [Source] whose store announces no commits: its
// live side looks at Bounds again and again, often after a commit
// and seldom in a quiet log. Whoever writes Read and Bounds gets the rest. Use
// [Poll].
//
// What is appended through it is noticed at once, and so is what was committed
// before a call of [Polled.Notify]. Capabilities of the Source ([Appender], [Trimmer], [Renewer]) are
// reached as those of any Log. Each subscription looks for itself, within its
// Next; with many followers put a [Hub] on it, and one looks for all.
type Polled struct {
	Source
	opts PollOptions
	own  Notifier
}

func (o PollOptions) check() error {
	switch {
	case o.Min < 0:
		return fmt.Errorf("cdc: PollOptions.Min is %v: it must not be negative", o.Min)
	case o.Max < 0:
		return fmt.Errorf("cdc: PollOptions.Max is %v: it must not be negative", o.Max)
	case o.Max > 0 && o.Max < o.Min:
		return fmt.Errorf("cdc: PollOptions.Max is %v, below Min, which is %v", o.Max, o.Min)
	}
	return nil
}

func (o PollOptions) withDefaults() PollOptions {
	switch {
	case o.Min == 0 && o.Max == 0:
		o.Min, o.Max = 5*time.Millisecond, 250*time.Millisecond
	case o.Min == 0:
		o.Min = min(5*time.Millisecond, o.Max)
	case o.Max == 0:
		o.Max = max(250*time.Millisecond, o.Min)
	}
	return o
}

// Poll returns the Polled of the source. It asks the source nothing. The error
// says what is wrong with the options.
func Poll(src Source, opts *PollOptions) (*Polled, error) {
	var o PollOptions
	if opts != nil {
		o = *opts
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Polled{Source: src, opts: o.withDefaults()}, nil
}

// Unwrap returns the source that is looked at.
func (p *Polled) Unwrap() Source { return p.Source }

// Notify makes every subscription look now: something was committed.
func (p *Polled) Notify() { p.own.Notify() }

// Append appends to the source and makes every subscription look. If the
// source is no [Appender] the error is [errors.ErrUnsupported].
func (p *Polled) Append(ctx context.Context, events ...Event) (Receipt, error) {
	if p.own.isClosed() {
		return Receipt{}, ErrClosed
	}
	a, ok := capability[Appender](p.Source)
	if !ok {
		return Receipt{}, unsupported(p.Source, "Append")
	}
	r, err := a.Append(ctx, events...)
	if err == nil || errors.Is(err, ErrUnknownOutcome) {
		p.own.Notify()
	}
	return r, err
}

// Read implements [Source].
func (p *Polled) Read(ctx context.Context, after Cursor, limit int) (Page, error) {
	if p.own.isClosed() {
		return Page{}, ErrClosed
	}
	return p.Source.Read(ctx, after, limit)
}

// Bounds implements [Source].
func (p *Polled) Bounds(ctx context.Context) (Bounds, error) {
	if p.own.isClosed() {
		return Bounds{}, ErrClosed
	}
	return p.Source.Bounds(ctx)
}

// Close ends every subscription with [ErrClosed], and closes the source if it
// is an [io.Closer]. After it, Read and Bounds return [ErrClosed] as well.
func (p *Polled) Close() error {
	p.own.Close()
	if c, ok := p.Source.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Subscribe implements [Subscriber]. It looks once.
func (p *Polled) Subscribe(ctx context.Context) (Subscription, error) {
	woken, err := p.own.Subscribe(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := p.Bounds(ctx)
	if err != nil {
		_ = woken.Close()
		return nil, err
	}
	return &polledSubscription{log: p, woken: woken, seen: seen, wait: p.opts.Min}, nil
}

// polledSubscription belongs to the goroutine that calls Next, but for Close.
type polledSubscription struct {
	log   *Polled
	woken Subscription
	seen  Bounds // at the last return of Next
	wait  time.Duration
	err   error // final
}

// Next implements [Subscription]. A look that fails ends the subscription.
func (s *polledSubscription) Next(ctx context.Context) ([]Event, error) {
	for s.err == nil {
		grown, err := s.look(ctx)
		if grown || err != nil {
			return nil, err
		}
		if err := s.pause(ctx); err != nil {
			return nil, err
		}
	}
	return nil, s.err
}

// look reports whether the log has grown since the last return of Next.
func (s *polledSubscription) look(ctx context.Context) (grown bool, err error) {
	if err := s.closed(ctx); err != nil {
		return false, err
	}
	b, err := s.log.Bounds(ctx)
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case err != nil:
		s.err = err
		return false, err
	case b.Epoch != s.seen.Epoch:
		s.err = b.Reset(ReasonEpochChanged, Cursor{Epoch: s.seen.Epoch, Seq: s.seen.Head}.String())
		return false, s.err
	case b.Head != s.seen.Head || b.Last < s.seen.Last: // the latter has to be read, too: the store may have gone back
		s.seen, s.wait = b, s.log.opts.Min
		return true, nil
	}
	return false, nil
}

// closed returns the error of a subscription or context that has ended.
func (s *polledSubscription) closed(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.woken.Next(now); errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// pause waits until the next look is due or a commit is notified.
func (s *polledSubscription) pause(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	_, err := s.woken.Next(limited)
	switch {
	case errors.Is(err, ErrClosed):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		return nil // notified
	}
	s.wait = min(2*s.wait, s.log.opts.Max)
	return nil
}

// Close implements [Subscription].
func (s *polledSubscription) Close() error { return s.woken.Close() }
