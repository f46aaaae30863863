package broken

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// bufferSize is how many events a subscription holds before it lags.
const bufferSize = 64

// Subscribe implements [cdc.Subscriber].
func (s *Store) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	if err := s.enter(ctx); err != nil {
		if s.bug == ClosedSubscribes && ctx.Err() == nil {
			return &subscription{store: s, err: err, closed: make(chan struct{})}, nil
		}
		return nil, err
	}
	defer s.disk.mu.Unlock()
	sub := &subscription{store: s, ready: make(chan struct{}, 1), closed: make(chan struct{}), first: true}
	switch s.bug {
	case EdgeTriggered:
		sub.ready = make(chan struct{})
	case SubscribeDeadline:
		sub.ctx = ctx
	case GoroutineLeak:
		go func() { <-make(chan struct{}) }()
	}
	if s.bug != LazySubscribe {
		s.subs[sub] = struct{}{}
	}
	if s.bug == SubscribeLeaves && ctx.Err() != nil {
		delete(s.subs, sub)
	}
	return sub, nil
}

// Sever cuts the connection of every subscription: what is committed until it
// is back, which is at once, goes by unheard. It returns how many there were.
func (s *Store) Sever() int {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	for sub := range s.subs {
		sub.deaf = true
	}
	return len(s.subs)
}

// publish hands the events over to every subscription; the disk is locked.
func (d *Disk) publish(by *Store, events []cdc.Event) {
	for s := range d.handles {
		if d.bug == OwnHandleOnly && s != by {
			continue
		}
		n := 0
		for sub := range s.subs {
			if n++; d.bug == OnlyFirstWoken && n > 1 {
				break
			}
			sub.hand(events)
		}
	}
}

type subscription struct {
	store *Store
	ready chan struct{}
	ctx   context.Context // SubscribeDeadline

	// All guarded by the disk's mutex.
	buffer []cdc.Event
	grown  bool
	lagged bool
	deaf   bool // the connection is cut
	first  bool
	handed uint64      // GoesOnAbove
	out    []cdc.Event // SharedBytes
	err    error
	finals int  // how often it was returned
	cut    bool // SeverToldOnce
	closes int
	lags   int // times that ErrLagged was returned
	closed chan struct{}
	hooks  int
}

// hand is publish for one subscription, with what can go wrong around it.
func (s *subscription) hand(events []cdc.Event) {
	switch s.store.bug {
	case GoroutinePerEvent:
		go func() {
			time.Sleep(time.Millisecond)
			s.store.disk.mu.Lock()
			defer s.store.disk.mu.Unlock()
			s.put(events)
			s.store.disk.mu.Unlock()
			select { // until somebody has read it
			case <-s.closed:
			case <-time.After(time.Hour):
			}
			s.store.disk.mu.Lock()
		}()
		return
	case CommitHook:
		s.hooks++
		pause := time.Duration(s.hooks%2) * time.Millisecond
		go func() {
			select {
			case <-time.After(pause):
			case <-s.closed:
			}
			s.store.disk.mu.Lock()
			defer s.store.disk.mu.Unlock()
			s.put(events)
		}()
		return
	}
	if s.store.bug == LargestSilent && slices.ContainsFunc(events, func(e cdc.Event) bool { return e.Size() >= cdc.DefaultMaxEventBytes }) {
		return
	}
	s.put(events)
}

func (s *subscription) put(events []cdc.Event) {
	bug := s.store.bug
	if s.deaf { // the connection comes back; what it missed has to be read
		s.deaf = false
		if bug == SeverNotReread {
			return
		}
		s.cut = bug == SeverToldOnce
		s.buffer, events = nil, nil
	}
	if bug == FirstSkipped && s.first && len(events) > 0 {
		events = events[1:]
	}
	if bug == Duplicate && len(events) > 0 {
		events = append(slices.Clone(events), events[len(events)-1])
		s.buffer = append(s.buffer, events[len(events)-1])
	}
	s.first = false
	if bug == GoesOnAbove && len(events) > 0 {
		if events = s.above(events); len(events) == 0 {
			return
		}
	}
	events = s.odd(events)
	over := len(s.buffer) + len(events) - s.room()
	switch {
	case s.err != nil || s.lagged:
	case over <= 0:
		s.buffer = append(s.buffer, events...)
		s.grown = s.grown || len(events) == 0
	case bug == DropOldestOfMany:
		s.buffer = append(s.buffer, events...)
		s.buffer = slices.Clone(s.buffer[over:])
	case bug == DropNewest:
		s.buffer = append(s.buffer, events[:max(0, len(events)-over)]...)
	case bug == DropOldest:
		s.buffer = append(s.buffer, events...)
		s.buffer = s.buffer[len(s.buffer)-bufferSize:]
	case bug == LagWithoutError:
		s.buffer = nil
	case bug == SlowBlocksWriter:
		s.block()
	default:
		s.buffer, s.lagged = s.keptByLag(events), true
		s.endOthers()
	}
	s.signal()
}

// keptByLag is what the subscription holds when it lags: nothing.
func (s *subscription) keptByLag(events []cdc.Event) []cdc.Event {
	if s.store.bug == LagKeepsNewest {
		return slices.Clone(events[len(events)-1:])
	}
	return nil
}

// endOthers is what a lag does to other subscriptions: nothing.
func (s *subscription) endOthers() {
	for other := range s.store.subs {
		if s.store.bug == OneLagEndsAll {
			other.fail(errors.New("broken: a subscription lagged"))
		}
	}
}

// above are the events above what was handed over.
func (s *subscription) above(events []cdc.Event) []cdc.Event {
	events = slices.DeleteFunc(slices.Clone(events), func(e cdc.Event) bool { return e.Seq <= s.handed })
	s.handed = max(s.handed, lastSeq(events))
	return events
}

// block waits for the reader, with the lock held by the writer.
func (s *subscription) block() {
	select {
	case <-s.closed:
	case <-time.After(10 * time.Second):
	}
}

func (s *subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *subscription) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	if s.store.bug != CloseLeavesRegistered {
		delete(s.store.subs, s)
	}
	s.signal()
}

// Next implements [cdc.Subscription].
func (s *subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	s.arm()
	for {
		events, ok, err := s.take(ctx)
		if ok && err == nil && s.store.bug == FinalOnce && s.err != nil {
			<-ctx.Done() // as though it went on
			return nil, context.Cause(ctx)
		}
		if ok {
			return events, err
		}
		done := ctx.Done()
		if s.store.bug == NextIgnoresContext {
			done = nil
		}
		select {
		case <-s.ready:
			if s.store.bug == EdgeTriggered {
				s.store.disk.mu.Lock()
				s.grown = true
				s.store.disk.mu.Unlock()
			}
		case <-done:
			if s.store.bug == CancelLosesBatch {
				s.store.disk.mu.Lock()
				s.buffer, s.grown = nil, false
				s.store.disk.mu.Unlock()
			}
		case <-s.closed:
		}
	}
}

// arm is the beginning of Next.
func (s *subscription) arm() {
	d := s.store.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	switch s.store.bug {
	case LazySubscribe:
		if s.err == nil {
			s.store.subs[s] = struct{}{}
		}
	case CheckThenArm:
		select {
		case <-s.ready:
		default:
		}
		s.buffer, s.grown = nil, false
	case EdgeTriggered:
		s.buffer, s.grown = nil, false
	}
}

func (s *subscription) take(ctx context.Context) (events []cdc.Event, ok bool, err error) {
	d := s.store.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	bug := s.store.bug
	switch {
	case s.cut:
		s.cut = false
		return nil, true, errors.New("broken: the connection was lost")
	case s.err != nil:
		return s.final()
	case s.ctx != nil && s.ctx.Err() != nil:
		return nil, true, context.Cause(s.ctx)
	case ctx.Err() != nil && bug != NextIgnoresContext:
		if bug == CancelLosesBatch {
			s.buffer, s.grown, s.lagged = nil, false, false
		}
		if bug == LagSwallowed {
			s.lagged = false
		}
		return nil, true, context.Cause(ctx)
	case s.lagged:
		s.lags++
		s.lagged = bug == LagNotRearmed || bug == LagForEver || bug == LagTwice && s.lags%2 == 1
		if bug == LagNotRearmed && s.grown {
			return nil, false, nil
		}
		s.grown = bug == LagNotRearmed
		return nil, true, cdc.ErrLagged
	case len(s.buffer) > 0 || s.grown:
		events, s.buffer, s.grown = s.buffer, nil, false
		switch bug {
		case SharedBytes:
			s.out = append(s.out[:0], events...)
			events = s.out
		case LiveTimeRounded:
			events = slices.Clone(events)
			for i := range events {
				events[i].Time = events[i].Time.Truncate(time.Millisecond)
			}
		}
		if bug == CancelAfterTake && ctx.Err() != nil {
			return nil, true, context.Cause(ctx)
		}
		return events, true, nil
	case bug == HotLoop:
		return nil, true, nil
	}
	return nil, false, nil
}

// final is what Next returns when the subscription has ended.
func (s *subscription) final() (events []cdc.Event, ok bool, err error) {
	s.finals++
	again := s.finals > 1
	switch bug := s.store.bug; {
	case bug == ClosedIsSilent, bug == FinalThenNothing && again:
		return nil, true, nil
	case bug == FinalOnce && again:
		return nil, true, nil
	case bug == FinalChanges && again:
		return nil, true, errors.New("broken: use of closed connection")
	}
	return nil, true, s.err
}

// Close implements [cdc.Subscription].
func (s *subscription) Close() error {
	if s.store.bug == SlowBlocksWriter {
		closeOnce(s.closed) // or the writer waits on
	}
	d := s.store.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	s.closes++
	if s.store.bug == SecondCloseErrors && s.closes > 1 {
		return cdc.ErrClosed
	}
	if s.store.bug == CloseKeepsNext {
		delete(s.store.subs, s)
		return nil
	}
	s.fail(cdc.ErrClosed)
	closeOnce(s.closed)
	return nil
}

func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}
