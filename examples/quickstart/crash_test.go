package main_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// acknowledged is what the server has confirmed: the seq of each key.
type acknowledged struct {
	mu   sync.Mutex
	seqs map[string]uint64
}

func (a *acknowledged) add(key string, seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seqs[key] = seq
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seqs)
}

// delivery is an event as a follower got it.
type delivery struct {
	epoch string
	seq   uint64
	key   string
}

// followUntil collects events from the beginning across every break, resuming
// by Last-Event-ID, until it gets the event with that key.
func followUntil(ctx context.Context, url, key string) ([]delivery, error) {
	var got []delivery
	var problem error
	last := ""
	for ctx.Err() == nil {
		done := false
		_ = frames(ctx, url+"/events?after=beginning", last, func(f frame) bool {
			last = f.id
			if f.name == "cdc.reset" {
				problem = fmt.Errorf("got a reset: %s", f.data)
			}
			if f.name == "" {
				d := delivery{key: keyOf(f.data)}
				d.epoch, d.seq = position(f.id)
				got = append(got, d)
				done = d.key == key
			}
			return !done && problem == nil
		})
		if done || problem != nil {
			return got, problem
		}
	}
	return got, fmt.Errorf("the event %s never came; last id %q", key, last)
}

func keyOf(data string) string {
	_, rest, _ := strings.Cut(data, `"key":"`)
	key, _, _ := strings.Cut(rest, `"`)
	return key
}

func position(cursor string) (epoch string, seq uint64) {
	parts := strings.Split(cursor, ".")
	if len(parts) < 2 {
		return "", 0
	}
	seq, _ = strconv.ParseUint(parts[1], 10, 64)
	return parts[0], seq
}

// TestKillDuringBulkAppends: every acknowledged event is there after kill -9,
// a bulk append that was cut is there whole or not at all, the epoch is the
// same, and followers that were open end with exactly the log.
func TestKillDuringBulkAppends(t *testing.T) {
	const (
		rounds = 2
		large  = 30_000
	)
	db := filepath.Join(t.TempDir(), "log.db")
	s := start(t, db)
	epoch := s.health(t).Epoch
	acks := &acknowledged{seqs: map[string]uint64{}}

	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	type result struct {
		got []delivery
		err error
	}
	results := make(chan result, 5)
	for range cap(results) {
		go func() {
			got, err := followUntil(ctx, s.url, "end")
			results <- result{got, err}
		}()
	}

	for round := range rounds {
		stop := startWriters(ctx, s.url, round, acks)
		want := acks.count() + 5*bulk
		await(t, "acknowledged appends", func() bool { return acks.count() > want })
		killInsideALargeAppend(t, s, fmt.Sprintf("l%d", round), large)
		stop()
		s = s.restart(t, db)
		if got := s.health(t).Epoch; got != epoch {
			t.Errorf("round %d: got epoch %s, want %s as before the kill", round, got, epoch)
		}
	}
	s.append(t, `{"type":"marker","key":"end"}`)
	t.Logf("%d events were acknowledged around %d kills, the log has %d", acks.count(), rounds, s.health(t).Head)
	for range cap(results) {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
			continue
		}
		checkDeliveries(t, r.got, epoch, acks, large)
	}
}

const bulk = 200 // events of a bulk append

// startWriters starts one writer in bulk and three of single events; stop waits
// for them.
func startWriters(ctx context.Context, url string, round int, acks *acknowledged) (stop func()) {
	var running sync.WaitGroup
	var stopped atomic.Bool
	for w := range 4 {
		running.Go(func() {
			for i := 0; !stopped.Load(); i++ {
				if w == 0 {
					appendBulk(ctx, url, fmt.Sprintf("b%d-%d", round, i), bulk, acks)
				} else {
					appendSingle(ctx, url, fmt.Sprintf("s%d-%d-%d", round, w, i), acks)
				}
			}
		})
	}
	return func() {
		stopped.Store(true)
		running.Wait()
	}
}

func checkDeliveries(t *testing.T, got []delivery, epoch string, acks *acknowledged, large int) {
	t.Helper()
	seqs := map[string]uint64{}
	sizes := map[string]int{} // of the large appends
	for i, d := range got {
		if d.seq != uint64(i+1) || d.epoch != epoch {
			t.Fatalf("event %d on the stream has cursor %s.%d: a gap or a repeat", i+1, d.epoch, d.seq)
		}
		if seqs[d.key] != 0 {
			t.Fatalf("key %s came twice", d.key)
		}
		seqs[d.key] = d.seq
		if strings.HasPrefix(d.key, "l") {
			name, _, _ := strings.Cut(d.key, "-")
			sizes[name]++
		}
	}
	for key, seq := range acks.seqs {
		if seqs[key] != seq {
			t.Errorf("%s was acknowledged as seq %d, the stream has it at %d (0: not at all)", key, seq, seqs[key])
		}
	}
	for name, n := range sizes {
		if n != large {
			t.Errorf("the append %s is there in part: %d of %d events", name, n, large)
		}
	}
}

func appendSingle(ctx context.Context, url, key string, acks *acknowledged) {
	a, err := do(ctx, "POST", url+"/events", jsonType, strings.NewReader(`{"type":"single","key":"`+key+`"}`))
	if err == nil && a.status == http.StatusCreated {
		_, rest, _ := strings.Cut(a.body, `"cursor":"`)
		_, seq := position(rest[:strings.IndexByte(rest, '"')])
		acks.add(key, seq)
	}
}

func appendBulk(ctx context.Context, url, name string, n int, acks *acknowledged) {
	a, err := do(ctx, "POST", url+"/events", ndjsonType, strings.NewReader(bulkBody(name, n)))
	if err == nil && a.status == http.StatusCreated {
		_, rest, _ := strings.Cut(a.body, `"cursor":"`)
		_, seq := position(rest[:strings.IndexByte(rest, '"')])
		for i := range n {
			acks.add(fmt.Sprintf("%s-%d", name, i), seq-uint64(n-1-i))
		}
	}
}

func bulkBody(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"type":"bulk","key":"%s-%d","data":{"i":%d}}`+"\n", name, i, i)
	}
	return b.String()
}

// killInsideALargeAppend kills the server once it has reported progress.
func killInsideALargeAppend(t *testing.T, s *server, name string, n int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/events", strings.NewReader(bulkBody(name, n)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", ndjsonType)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, `"stored"`) {
		t.Fatalf("got %q, %v; want a line of progress", line, err)
	}
	s.kill()
}
