package growth_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
	"github.com/gapless-go/gapless/cdc"
)

// What a small log costs does not depend on how many others are in its store.
func TestManyLogs(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			most := 10_000
			switch b.name {
			case "SQLite", "PostgreSQL":
				most = 1000 // each is some tables, and functions or triggers
			case "MariaDB":
				most = 100 // and a file for each table
			}
			opened := newTable(t, "Logs of ten events in one store on "+b.name, "logs", "create", "open", "memory", "goroutines", "connections", "append 1")
			followed := newTable(t, "The same with a follower on each", "logs", "begin to follow", "memory", "goroutines", "connections", "CPU of a second without events", "append 1", "until its follower has it", "one to each log, for each")
			for _, n := range steps(1, most) {
				t.Run("", func(t *testing.T) { manyLogs(t, b.start(t), n, opened, followed) })
			}
		})
	}
}

// each is what something costs for each of n, beside a process that has none.
type each struct {
	n          int
	memory     int64
	goroutines int
}

func (e each) now() (memory string, goroutines string) {
	time.Sleep(100 * time.Millisecond) // what the last call began has ended
	return kb((resident() - e.memory) / int64(e.n)), fmt.Sprintf("%.2f", float64(runtime.NumGoroutine()-e.goroutines)/float64(e.n))
}

func manyLogs(t *testing.T, p place, n int, opened, followed *table) {
	create := make([]log, 0, n)
	open, end, err := p.store(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i := range n {
		l, err := open(t.Context(), fmt.Sprint(i))
		if err == nil {
			_, err = l.Append(t.Context(), events(0, 10, 1)...)
		}
		if err != nil {
			t.Fatal(err)
		}
		create = append(create, l)
	}
	created := time.Since(start) / time.Duration(n)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	clear(create)

	before := each{n, resident(), runtime.NumGoroutine()}
	if open, end, err = p.store(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = end() }()
	logs := make([]log, n)
	start = time.Now()
	for i := range logs {
		if logs[i], err = open(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start) / time.Duration(n)
	memory, goroutines := before.now()
	opened.row(n, created, took, memory, goroutines, p.connections(), appendTo(t, logs))
	time.Sleep(100 * time.Millisecond)
	if more := runtime.NumGoroutine() - before.goroutines; more > pool+8 {
		t.Errorf("%d open logs have %d goroutines: they should share them", n, more)
	}
	followEach(t, p, before, logs, followed)
}

// appendTo is the median of an append of one event, each to another log.
func appendTo(t *testing.T, logs []log) time.Duration {
	t.Helper()
	i := 0
	return median(t, times(200), func() error {
		i += 7
		_, err := logs[i%len(logs)].Append(t.Context(), events(0, 1, 1)...)
		return err
	})
}

// followEach follows each log, without a Hub.
func followEach(t *testing.T, p place, before each, logs []log, tab *table) {
	ctx, cancel := context.WithCancel(t.Context())
	var all, live sync.WaitGroup
	defer func() {
		cancel()
		all.Wait()
	}()
	var got atomic.Int64
	start := time.Now()
	for _, l := range logs {
		live.Add(1)
		all.Go(func() {
			first := true
			for batch, err := range cdc.Follow(ctx, l, cdc.Latest(), nil) {
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if first && (batch.State == cdc.Live || err != nil) {
					first = false
					live.Done()
				}
				got.Add(int64(len(batch.Events)))
			}
		})
	}
	live.Wait()
	began := time.Since(start) / time.Duration(len(logs))
	memory, goroutines := before.now()
	connections := p.connections()
	if connections > pool {
		t.Errorf("followers of %d logs have %d connections, more than the pool's %d", len(logs), connections, pool)
	}
	time.Sleep(time.Duration(times(1000)) * time.Millisecond) // polls become slower
	idle, start := control.CPU(), time.Now()
	time.Sleep(time.Duration(times(3000)) * time.Millisecond)
	idle = time.Duration(float64(control.CPU()-idle) / time.Since(start).Seconds())
	begun := got.Load()
	added := appendTo(t, logs)
	until(t, "the followers have the events", func() bool { return got.Load() >= begun+int64(times(200)) })
	i := 0
	arrived := median(t, times(50), func() error {
		i += 7
		want := got.Load() + 1
		_, err := logs[i%len(logs)].Append(t.Context(), events(0, 1, 1)...)
		until(t, "the follower has the event", func() bool { return got.Load() >= want })
		return err
	})
	tab.row(len(logs), began, memory, goroutines, connections, idle, added, arrived, oneToEach(t, logs, &got))
}

// oneToEach appends an event to every log at once, and returns for how long that
// and its delivery last, for each.
func oneToEach(t *testing.T, logs []log, got *atomic.Int64) time.Duration {
	t.Helper()
	want := got.Load() + int64(len(logs))
	start := time.Now()
	var next atomic.Int64
	var writers sync.WaitGroup
	for range pool {
		writers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(logs)); i = next.Add(1) - 1 {
				if _, err := logs[i].Append(t.Context(), events(0, 1, 1)...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	until(t, "all followers have their event", func() bool { return got.Load() >= want })
	return time.Since(start) / time.Duration(len(logs))
}
