package boltlog

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

// watch notices, for all logs of a Store that have subscriptions, what others have
// committed: it looks into the file once for all of them, and at the logs only
// if something was committed. It runs while there is a subscription.
type watch struct {
	store  *Store
	sooner chan struct{} // the interval has become shorter; has room for one
	stop   chan struct{} // closed by the last to leave
	done   chan struct{}

	subscriptions map[*Log]int  // guarded by store.mu
	interval      time.Duration // the shortest of these logs; guarded by store.mu

	// Of the look that is under way.
	tx     int            // the newest transaction that was looked at
	found  map[*Log]state // in it
	failed bool           // the last look
}

// state is what a look shows of a log.
type state struct {
	bounds cdc.Bounds
	failed bool // a subscription that looks will find out how
}

// watched counts a subscription of the log, before that looks for the first time.
func (s *Store) watched(l *Log) (*watch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := l.aliveLocked(); err != nil {
		return nil, err
	}
	if s.watch == nil {
		s.watch = &watch{
			store: s, sooner: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
			subscriptions: map[*Log]int{}, interval: l.opts.PollInterval,
		}
		go s.watch.run() // whoever leaves last waits for it
	}
	w := s.watch
	w.subscriptions[l]++
	if l.opts.PollInterval < w.interval {
		w.interval = l.opts.PollInterval
		select {
		case w.sooner <- struct{}{}:
		default: // nobody has noticed yet that it is shorter
		}
	}
	return w, nil
}

// leaveLocked forgets n subscriptions of the log, and returns what to wait for
// without the store's mu, which is held.
func (w *watch) leaveLocked(l *Log, n int) (ended <-chan struct{}) {
	if w.subscriptions[l] -= n; w.subscriptions[l] <= 0 {
		delete(w.subscriptions, l)
	}
	if len(w.subscriptions) > 0 || w.store.watch != w {
		return nil
	}
	w.store.watch = nil
	close(w.stop)
	return w.done
}

func (w *watch) run() {
	defer close(w.done)
	timer := time.NewTimer(w.pause())
	defer timer.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-w.sooner:
		case <-timer.C:
			// It may wait for a lock; then nobody waits for it.
			changed, _ := await(context.Background(), w.stop, w.look)
			for _, l := range changed {
				l.live.Notify()
			}
		}
		timer.Reset(w.pause())
	}
}

func (w *watch) pause() time.Duration {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.interval
}

func (w *watch) logs() []*Log {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	logs := make([]*Log, 0, len(w.subscriptions))
	for l := range w.subscriptions {
		logs = append(logs, l)
	}
	return logs
}

// look returns the logs that are not as they were, and no error.
func (w *watch) look() (changed []*Log, _ error) {
	err := w.store.db.View(func(tx *bbolt.Tx) error {
		if tx.ID() == w.tx {
			return nil
		}
		logs := w.logs() // who is not in it yet looks later than this transaction
		found := make(map[*Log]state, len(logs))
		for _, l := range logs {
			v, err := l.viewIn(tx, false)
			now := state{failed: err != nil}
			if err == nil {
				now.bounds = v.bounds()
			}
			if before, ok := w.found[l]; !ok || now != before {
				changed = append(changed, l)
			}
			found[l] = now
		}
		w.tx, w.found = tx.ID(), found
		return nil
	})
	if err != nil && !w.failed {
		changed = w.logs()
	}
	w.failed = err != nil
	return changed, nil
}

// subscription has the file watched until it is closed.
type subscription struct {
	cdc.Subscription
	log   *Log
	watch *watch
	once  sync.Once
}

// Close implements [cdc.Subscription].
func (s *subscription) Close() error {
	s.once.Do(s.end)
	return s.Subscription.Close()
}

// end leaves the watch, if there is one.
func (s *subscription) end() {
	if s.watch == nil {
		return
	}
	s.log.store.mu.Lock()
	ended := s.watch.leaveLocked(s.log, 1)
	s.log.store.mu.Unlock()
	if ended != nil {
		<-ended
	}
}
