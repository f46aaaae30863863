package bank_test

import (
	"testing"
	"time"
)

// ledger is what a campaign needs of its store.
type ledger interface {
	append(n int) // until there are n transfers
	wait(n int)   // until all are handled
	read() books
}

// waitTime is how long the rest of a round may take.
const waitTime = 30 * time.Minute

// shared is a store that the campaign uses itself, beside the instances.
type shared struct {
	t *testing.T
	b bank
	n int
}

func (s *shared) append(n int) {
	s.t.Helper()
	if err := appendUpTo(s.t.Context(), s.b.log(), s.n, n); err != nil {
		s.t.Fatal(err)
	}
	s.n = n
}

func (s *shared) wait(int) {
	s.t.Helper()
	bounds, err := s.b.log().Bounds(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	waitUntil(s.t, func() bool {
		state, err := s.b.state(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		return state.Cursor.Seq >= bounds.Head
	})
}

func (s *shared) read() books {
	s.t.Helper()
	got, err := s.b.read(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// locked is a file that the process of the instances has alone.
type locked struct {
	*instances

	path string
}

func (l locked) wait(n int) {
	l.t.Helper()
	waitUntil(l.t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.handled >= n
	})
}

// read kills the process, and starts another one afterwards.
func (l locked) read() books {
	l.t.Helper()
	l.killAll()
	b, err := openBolt(l.t.Context(), l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	got, err := b.read(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	if err := b.db.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.start()
	return got
}

func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(waitTime); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not everything was handled within %v", waitTime)
		}
	}
}
