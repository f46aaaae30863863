package broken

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Follow returns a small follower with the bug in it: subscribe, resolve the
// start, replay, then live.
func Follow(bug Bug) func(context.Context, cdc.Log, cdc.Start, *cdc.FollowOptions) iter.Seq2[cdc.Batch, error] {
	return func(ctx context.Context, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) iter.Seq2[cdc.Batch, error] {
		return func(yield func(cdc.Batch, error) bool) {
			f := &follower{bug: bug, ctx: ctx, log: log, yield: yield}
			if opts != nil {
				f.opts = *opts
			}
			if f.opts.PageSize == 0 {
				f.opts.PageSize = 512
			}
			if f.opts.Heartbeat == 0 {
				f.opts.Heartbeat = 15 * time.Second
			}
			f.finish(f.run(start))
		}
	}
}

var errLeft = errors.New("broken: the loop was left")

type follower struct {
	bug   Bug
	ctx   context.Context
	log   cdc.Log
	opts  cdc.FollowOptions
	yield func(cdc.Batch, error) bool

	sub     cdc.Subscription
	pos     cdc.Cursor
	state   cdc.State
	started bool
	beat    time.Time
}

func (f *follower) finish(err error) {
	if f.sub != nil {
		_ = f.sub.Close()
	}
	if errors.Is(err, errLeft) {
		return
	}
	if f.ctx.Err() != nil {
		err = context.Cause(f.ctx)
	}
	if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
		err = f.reset(*reset)
	}
	if f.bug == NoFinalError || f.bug == LagEndsSilently && errors.Is(err, cdc.ErrLagged) {
		return
	}
	if f.yield(cdc.Batch{Cursor: f.pos}, err) && f.bug == TwoFinalErrors {
		_ = f.yield(cdc.Batch{Cursor: f.pos}, err)
	}
}

func (f *follower) reset(r cdc.ResetError) error {
	b, err := f.log.Bounds(f.ctx)
	if err != nil {
		return err
	}
	if f.started && b.Epoch != f.pos.Epoch {
		r.Reason = cdc.ReasonEpochChanged
	}
	r.Floor, r.Head, r.Resume = b.Floor, b.Head, cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}
	return &r
}

func (f *follower) run(start cdc.Start) error {
	if f.bug != ReplayBeforeSubscribe {
		if err := f.subscribe(); err != nil {
			return err
		}
	}
	if err := f.resolve(start); err != nil {
		return err
	}
	if f.bug == LiveEarly {
		f.state = cdc.Live
		if err := f.emit(nil, f.pos); err != nil {
			return err
		}
	}
	if err := f.replay(); err != nil {
		return err
	}
	if f.bug == ReplayBeforeSubscribe {
		if err := f.subscribe(); err != nil {
			return err
		}
	}
	if f.bug == LiveDiscarded { // "the replay has those already"
		_ = f.sub.Close()
		if err := f.subscribe(); err != nil {
			return err
		}
	}
	return f.live()
}

func (f *follower) subscribe() (err error) {
	var sub cdc.Subscription
	err = f.await(func(ctx context.Context) (err error) {
		sub, err = f.log.Subscribe(ctx)
		return err
	})
	if err != nil {
		if sub != nil && f.bug != LeftWhileSubscribing {
			_ = sub.Close()
		}
		return err
	}
	f.sub = sub
	return nil
}

func (f *follower) resolve(start cdc.Start) error {
	for moved := 0; ; moved++ {
		b, err := f.log.Bounds(f.ctx)
		if err != nil {
			return err
		}
		c, isCursor := start.Cursor()
		switch {
		case start == cdc.Latest() || f.bug == ZeroIsNow && isCursor && c.Seq == 0:
			c = cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}
		case start == cdc.Beginning():
			c = cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}
			if f.bug == BeginningIsZero {
				c.Seq = 0
			}
		case !isCursor && f.bug == MalformedIsLatest:
			c = cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}
		case !isCursor:
			return &cdc.ResetError{Reason: cdc.ReasonMalformed, Requested: start.String()}
		case c.Epoch == "" && f.bug != NumberUnbound:
			c.Epoch = b.Epoch
		}
		if f.bug == FutureClamped {
			c.Seq = min(c.Seq, b.Head)
		}
		if err := b.Check(c); err != nil {
			return err
		}
		if limit := f.opts.MaxReplay; limit > 0 && b.Head-min(c.Seq, b.Head) > limit && f.bug != NoReplayCap {
			return &cdc.ResetError{Reason: cdc.ReasonTooFar}
		}
		f.pos = c
		switch {
		case start == cdc.Beginning() || c.Tag != "":
			_, err = f.log.Read(f.ctx, c, 1) // the tag, and whether the beginning has moved
		case start == cdc.Latest() && c.Seq > b.Floor:
			before := cdc.Cursor{Epoch: c.Epoch, Seq: c.Seq - 1}
			if page, err := f.log.Read(f.ctx, before, 1); err == nil {
				f.pos.Tag = f.tag(page.Events, c.Seq)
			}
		}
		if _, reset := errors.AsType[*cdc.ResetError](err); reset && start == cdc.Beginning() && moved < 100 {
			continue
		}
		if err != nil && start != cdc.Latest() {
			return err
		}
		return f.emit(nil, f.pos)
	}
}

// replay reads to the end and turns live.
func (f *follower) replay() error {
	f.state = cdc.Replaying
	if err := f.readAll(); err != nil {
		return err
	}
	f.state = cdc.Live
	if f.bug == HeartbeatAhead {
		b, err := f.log.Bounds(f.ctx)
		if err != nil {
			return err
		}
		return f.emit(nil, cdc.Cursor{Epoch: f.pos.Epoch, Seq: max(f.pos.Seq, b.Head)})
	}
	return f.emit(nil, f.pos)
}

func (f *follower) readAll() error {
	for {
		var page cdc.Page
		err := f.await(func(ctx context.Context) (err error) {
			page, err = f.readFiltered(ctx)
			return err
		})
		if reset, ok := errors.AsType[*cdc.ResetError](err); ok && reset.Reason == cdc.ReasonTruncated && f.bug == TrimmedJumps {
			f.pos = cdc.Cursor{Epoch: f.pos.Epoch, Seq: reset.Floor}
			continue
		}
		if reset, ok := errors.AsType[*cdc.ResetError](err); ok && f.bug == EpochFollowed {
			f.pos = reset.Resume
			continue
		}
		if errors.Is(err, errLeft) || err != nil && f.bug != ErrorIsEnd {
			return err
		}
		if err != nil || page.Next == f.pos.Seq {
			return nil
		}
		n := len(page.Events)
		if f.bug == LastReadDropped && n == f.opts.PageSize {
			page.Events = page.Events[:n-1]
		}
		if err := f.deliver(page); err != nil {
			return err
		}
		if f.bug == ShortPageIsEnd && n < f.opts.PageSize || f.bug == FilterAfterLimit && len(f.opts.Filter.Select(page.Events)) == 0 {
			return nil
		}
	}
}

// readFiltered leaves the filter to a log that filters. The page is filtered
// again when it is delivered.
func (f *follower) readFiltered(ctx context.Context) (cdc.Page, error) {
	if fr, ok := f.log.(cdc.FilterReader); ok && !f.opts.Filter.Empty() && f.bug != FilterAfterLimit {
		page, err := fr.ReadFiltered(ctx, f.pos, f.opts.PageSize, f.opts.Filter)
		if !errors.Is(err, errors.ErrUnsupported) {
			return page, err
		}
	}
	return f.log.Read(ctx, f.pos, f.opts.PageSize)
}

func (f *follower) deliver(page cdc.Page) error {
	selected := f.opts.Filter.Select(page.Events)
	if f.bug == FilteredDoNotMove && len(selected) == 0 {
		before := f.pos
		f.pos.Seq, f.pos.Tag = page.Next, ""
		return f.emit(nil, before)
	}
	if f.bug == CursorAhead && len(selected) > 1 { // the cursor of the page on the first half of it
		cursor := cdc.Cursor{Epoch: f.pos.Epoch, Seq: page.Next}
		if err := f.emit(selected[:1], cursor); err != nil {
			return err
		}
		selected = selected[1:]
	}
	f.pos = cdc.Cursor{Epoch: f.pos.Epoch, Seq: page.Next, Tag: cmp.Or(f.tag(page.Events, page.Next), page.Tag)}
	return f.emit(selected, f.pos)
}

func (f *follower) emit(events []cdc.Event, at cdc.Cursor) error {
	f.started = true
	if f.yield(cdc.Batch{Events: events, Cursor: at, State: f.state}, nil) {
		f.beat = time.Now()
		return nil
	}
	if f.bug == YieldsAfterBreak {
		_ = f.yield(cdc.Batch{Cursor: at, State: f.state}, nil)
	}
	return errLeft
}

// await runs op beside the heartbeats.
func (f *follower) await(op func(context.Context) error) error {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- op(ctx) }()
	for {
		var beat <-chan time.Time
		if f.started && f.bug != NoHeartbeatReplaying {
			beat = time.After(time.Until(f.beat.Add(f.opts.Heartbeat)))
		}
		select {
		case err := <-done:
			return err
		case <-beat:
			if err := f.emit(nil, f.pos); err != nil {
				cancel()
				<-done //nolint:errcheck // it only has to end
				return err
			}
		}
	}
}
