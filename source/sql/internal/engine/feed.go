package engine

import (
	"context"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Feeds wakes the subscriptions of a Log. While there are any, one goroutine
// polls the database for all of them; the first error ends that feed and its
// subscriptions.
type Feeds struct {
	engine   Engine
	settings Settings
	wg       sync.WaitGroup
	closing  context.Context
	shut     context.CancelFunc

	mu      sync.Mutex
	current *Feed // nil while nobody is subscribed
}

// NewFeeds starts nothing yet.
func NewFeeds(e Engine, s Settings) *Feeds {
	f := &Feeds{engine: e, settings: s}
	f.closing, f.shut = context.WithCancel(context.Background())
	return f
}

// IsClosed reports whether Close was called.
func (f *Feeds) IsClosed() bool { return f.closing.Err() != nil }

// Closed is closed by Close.
func (f *Feeds) Closed() <-chan struct{} { return f.closing.Done() }

// Close ends all subscriptions and waits for the goroutines.
func (f *Feeds) Close() {
	f.mu.Lock()
	f.shut()
	if f.current != nil {
		f.current.wake.Close()
		f.current = nil
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// Kick makes the feed poll now.
func (f *Feeds) Kick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil {
		f.current.Kick(false)
	}
}

// Subscribe has taken effect once it is registered with the feed's Notifier:
// each later poll that finds a change wakes it.
func (f *Feeds) Subscribe(ctx context.Context) (*Subscription, error) {
	feed, err := f.join() //nolint:contextcheck // the feed outlives this call
	if err != nil {
		return nil, err
	}
	sub, err := feed.wake.Subscribe(ctx)
	if err != nil {
		f.leave(feed)
		return nil, err
	}
	st, err := Await(ctx, f.settings.Dialect, f.Closed(), func(ctx context.Context) (State, error) { return RetryCut(ctx, f.engine.State) })
	if err == nil {
		_, err = feed.Status() // it may have failed, and woken all, before this one was registered
	}
	if err != nil {
		_ = sub.Close() // only frees it
		f.leave(feed)
		return nil, err
	}
	return &Subscription{feeds: f, feed: feed, wake: sub, epoch: st.Bounds.Epoch}, nil
}

func (f *Feeds) join() (*Feed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.IsClosed() {
		return nil, cdc.ErrClosed
	}
	if f.current == nil {
		f.current = f.start()
	}
	f.current.users++
	return f.current, nil
}

// start must be called with mu held.
func (f *Feeds) start() *Feed {
	ctx, stop := context.WithCancel(f.closing)
	feed := &Feed{engine: f.engine, settings: f.settings, stop: stop, kicks: make(chan struct{}, 1)}
	f.wg.Go(func() {
		feed.run(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.current == feed { // it failed: the next subscriber starts a new one
			f.current = nil
		}
	})
	f.wg.Go(func() {
		_, _ = Await(ctx, f.settings.Dialect, f.Closed(), func(ctx context.Context) (struct{}, error) { // it has nothing to say
			f.engine.Assist(ctx, feed)
			return struct{}{}, nil
		})
	})
	return feed
}

// leave stops the feed with its last subscription.
func (f *Feeds) leave(feed *Feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	feed.users--
	if feed.users == 0 {
		feed.stop()
		if f.current == feed {
			f.current = nil
		}
	}
}

// Feed polls until it fails or is stopped.
type Feed struct {
	engine   Engine
	settings Settings
	stop     context.CancelFunc
	users    int // guarded by feeds.mu
	wake     cdc.Notifier
	kicks    chan struct{}

	mu     sync.Mutex
	bounds cdc.Bounds // at the last poll
	err    error      // why the feed ended
	remote time.Time  // when another process last said that it had numbered events
}

// Kick makes the feed poll now; remote says that another process has just
// numbered events, so that ours need not be the one who looks for more.
func (f *Feed) Kick(remote bool) {
	if remote {
		f.mu.Lock()
		f.remote = time.Now()
		f.mu.Unlock()
	}
	select {
	case f.kicks <- struct{}{}:
	default: // one is waiting already
	}
}

func (f *Feed) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	changed := time.Now()
	for {
		select {
		case <-ctx.Done():
			f.wake.Close()
			return
		case <-f.kicks:
		case <-timer.C:
		}
		start := time.Now()
		b, busy, err := f.poll(ctx)
		if ctx.Err() != nil {
			continue
		}
		if busy {
			changed = time.Now()
		}
		news := f.note(b, err)
		if news {
			changed = time.Now()
			f.wake.Notify()
		}
		if err != nil {
			return
		}
		timer.Reset(f.pause(news, time.Since(changed), time.Since(start)))
	}
}

// poll gives up a driver that hangs when ctx ends.
func (f *Feed) poll(ctx context.Context) (cdc.Bounds, bool, error) {
	type result struct {
		bounds cdc.Bounds
		busy   bool
	}
	r, err := Await(ctx, f.settings.Dialect, nil, func(ctx context.Context) (result, error) {
		return RetryCut(ctx, func(ctx context.Context) (r result, err error) {
			r.bounds, r.busy, err = f.engine.Poll(ctx)
			return r, err
		})
	})
	return r.bounds, r.busy, err
}

// note keeps what a poll found and reports whether it was new.
func (f *Feed) note(b cdc.Bounds, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.err = err
		return true
	}
	news := b.Epoch != f.bounds.Epoch || b.Head != f.bounds.Head
	f.bounds = b
	return news
}

// pause is the time to the next poll: an eighth of the silence so far, within
// the options' limits. While there is news, polls take a fifth of the time at
// most: a loaded server answers late, so it is asked less often and gives more
// events each time. While another process numbers events and tells us, ours
// rests.
func (f *Feed) pause(news bool, silence, cost time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.remote) < f.settings.MaxPollInterval {
		return f.settings.MaxPollInterval
	}
	if news {
		return max(f.settings.PollInterval, f.settings.Rest(cost))
	}
	return max(f.settings.PollInterval, min(silence/8, f.settings.MaxPollInterval), min(cost, time.Second))
}

// Status is what the last poll found, and why the feed ended.
func (f *Feed) Status() (cdc.Bounds, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bounds, f.err
}

// Subscription implements [cdc.Subscription].
type Subscription struct {
	feeds *Feeds
	feed  *Feed
	wake  cdc.Subscription
	epoch string // of the log at Subscribe
	once  sync.Once
	final error // by which it ended; every later Next returns it again
}

// Next implements [cdc.Subscription]. Its errors are not yet explained.
func (s *Subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	if s.final != nil {
		return nil, s.final
	}
	_, err := s.wake.Next(ctx)
	if err != nil {
		return nil, err
	}
	b, err := s.feed.Status()
	switch {
	case err != nil:
		s.final = &FeedError{err}
	case b.Epoch != "" && b.Epoch != s.epoch:
		s.final = b.Reset(cdc.ReasonEpochChanged, cdc.Cursor{Epoch: s.epoch, Seq: b.Head}.String())
	}
	return nil, s.final
}

// Close implements [cdc.Subscription].
func (s *Subscription) Close() error {
	s.once.Do(func() {
		_ = s.wake.Close() // only frees it
		s.feeds.leave(s.feed)
	})
	return nil
}

// FeedError is the error of the database that has ended a subscription.
type FeedError struct{ Err error }

func (e *FeedError) Error() string { return e.Err.Error() }

// Unwrap returns the database's error.
func (e *FeedError) Unwrap() error { return e.Err }
