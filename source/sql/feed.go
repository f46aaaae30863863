package sqllog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// feeds wakes the subscriptions of a Log. While there are any, one goroutine
// polls the database for all of them; the first error ends that feed and its
// subscriptions.
type feeds struct {
	db       *sqlx.DB
	engine   engine
	settings settings
	wg       sync.WaitGroup
	closing  context.Context
	shut     context.CancelFunc

	mu      sync.Mutex
	current *feed // nil while nobody is subscribed
}

func newFeeds(db *sqlx.DB, e engine, s settings) *feeds {
	f := &feeds{db: db, engine: e, settings: s}
	f.closing, f.shut = context.WithCancel(context.Background())
	return f
}

func (f *feeds) isClosed() bool { return f.closing.Err() != nil }

// close ends all subscriptions and waits for the goroutines.
func (f *feeds) close() {
	f.mu.Lock()
	f.shut()
	if f.current != nil {
		f.current.wake.Close()
		f.current = nil
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// kick makes the feed poll now.
func (f *feeds) kick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil {
		f.current.kick(false)
	}
}

// subscribe has taken effect once it is registered with the feed's Notifier:
// each later poll that finds a change wakes it.
func (f *feeds) subscribe(ctx context.Context) (*subscription, error) {
	feed, err := f.join() //nolint:contextcheck // the feed outlives this call
	if err != nil {
		return nil, err
	}
	sub, err := feed.wake.Subscribe(ctx)
	if err != nil {
		f.leave(feed)
		return nil, err
	}
	st, err := retryCut(ctx, f.engine.peek)
	if err == nil {
		_, err = feed.status() // it may have failed, and woken all, before this one was registered
	}
	if err != nil {
		_ = sub.Close() // only frees it
		f.leave(feed)
		return nil, err
	}
	return &subscription{feeds: f, feed: feed, wake: sub, epoch: st.bounds.Epoch}, nil
}

func (f *feeds) join() (*feed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isClosed() {
		return nil, cdc.ErrClosed
	}
	if f.current == nil {
		ctx, stop := context.WithCancel(f.closing)
		feed := &feed{engine: f.engine, settings: f.settings, stop: stop, kicks: make(chan struct{}, 1)}
		f.current = feed
		f.wg.Go(func() {
			feed.run(ctx)
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.current == feed { // it failed: the next subscriber starts a new one
				f.current = nil
			}
		})
		if f.settings.ListenDSN != "" {
			f.wg.Go(func() { listen(ctx, f.settings, feed) })
		}
		if f.settings.Dialect == Postgres && f.settings.Mode == Sequencer {
			f.wg.Go(func() { sweep(ctx, f.db, f.settings, feed) })
		}
	}
	f.current.users++
	return f.current, nil
}

// leave stops the feed with its last subscription.
func (f *feeds) leave(feed *feed) {
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

// feed polls until it fails or is stopped.
type feed struct {
	engine   engine
	settings settings
	stop     context.CancelFunc
	users    int // guarded by feeds.mu
	wake     cdc.Notifier
	kicks    chan struct{}

	mu     sync.Mutex
	bounds cdc.Bounds // at the last poll
	err    error      // why the feed ended
	remote time.Time  // when another process last said that it had numbered events
}

// kick makes the feed poll now; remote says that another process has just
// numbered events, so that ours need not be the one who looks for more.
func (f *feed) kick(remote bool) {
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

func (f *feed) run(ctx context.Context) {
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
		var busy bool
		b, err := retryCut(ctx, func(ctx context.Context) (b cdc.Bounds, err error) {
			b, busy, err = f.engine.poll(ctx)
			return b, err
		})
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

// note keeps what a poll found and reports whether it was new.
func (f *feed) note(b cdc.Bounds, err error) bool {
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
func (f *feed) pause(news bool, silence, cost time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.remote) < f.settings.MaxPollInterval {
		return f.settings.MaxPollInterval
	}
	if news {
		return max(f.settings.PollInterval, f.settings.rest(cost))
	}
	return max(f.settings.PollInterval, min(silence/8, f.settings.MaxPollInterval), min(cost, time.Second))
}

func (f *feed) status() (cdc.Bounds, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bounds, f.err
}

// subscription implements [cdc.Subscription].
type subscription struct {
	feeds *feeds
	feed  *feed
	wake  cdc.Subscription
	epoch string // of the log at Subscribe
	once  sync.Once
}

func (s *subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	_, err := s.wake.Next(ctx)
	if err != nil {
		return nil, err
	}
	b, err := s.feed.status()
	if err != nil {
		return nil, fmt.Errorf("sql: subscription ended, subscribe again and read: %w", explain(s.feed.settings, err))
	}
	if b.Epoch != "" && b.Epoch != s.epoch {
		return nil, &cdc.ResetError{
			Reason: cdc.ReasonEpochChanged, Requested: cdc.Cursor{Epoch: s.epoch, Seq: b.Head}.String(),
			Floor: b.Floor, Head: b.Head, Resume: cdc.Cursor{Epoch: b.Epoch, Seq: b.Head},
		}
	}
	return nil, nil
}

func (s *subscription) Close() error {
	s.once.Do(func() {
		_ = s.wake.Close() // only frees it
		s.feeds.leave(s.feed)
	})
	return nil
}
