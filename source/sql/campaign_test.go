package sqllog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// soak is how long each campaign runs: GAPLESS_SOAK (such as 60s) or short.
func soak(short time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv("GAPLESS_SOAK")); err == nil {
		return d
	}
	return short
}

func TestManyWritersLoseNothing(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := v.open(t)
			db := connect(t, driver, dsn)
			db.SetMaxIdleConns(40)
			log := openLog(t, db, v.opts)
			w := workload{driver: driver, dsn: dsn, opts: v.opts, writers: 14, pausing: 10, pause: 400 * time.Millisecond}
			w.prepare(t, db)
			readerDB := connect(t, driver, dsn)
			reader := openLog(t, readerDB, v.opts)
			late := openLog(t, connect(t, driver, dsn), v.opts)

			ctx, cancel := context.WithTimeout(t.Context(), soak(1500*time.Millisecond)+time.Minute)
			defer cancel()
			results := make(chan []seen, 2)
			for i, l := range []*sqllog.Log{reader, late} {
				go func() {
					time.Sleep(time.Duration(i) * soak(1500*time.Millisecond) / 3) // the second begins under load
					got, err := follow(ctx, l, cdc.Beginning())
					if err != nil {
						t.Errorf("reader %d: %v", i, err)
					}
					results <- got
				}()
			}
			done := &committed{at: map[string]time.Time{}}
			killed := startKilledWriters(t, w)
			writing, stop := context.WithTimeout(t.Context(), soak(1500*time.Millisecond))
			defer stop()
			w.run(writing, db, log, "here", done)
			kills := killed()
			if _, err := log.Append(ctx, cdc.Event{ID: "end"}); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got := <-results
				verdict := check(t, db, got)
				t.Logf("%+v, %s", verdict, latency(got, done))
				campaign.row(t, v.name, kills, verdict, latency(got, done))
				if verdict.bad() {
					t.Errorf("the reader was not told the truth: %+v", verdict)
				}
			}
		})
	}
}

func TestNaivePollingLosesEvents(t *testing.T) {
	for name, open := range map[string]func(testing.TB) (string, string){"postgres": freshPostgres, "mariadb": freshMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := open(t)
			db := connect(t, driver, dsn)
			db.SetMaxIdleConns(40)
			w := workload{driver: driver, dsn: dsn, writers: 16, pausing: 10, pause: 400 * time.Millisecond, naive: true}
			w.prepare(t, db)
			reading, stopReading := context.WithCancel(t.Context())
			defer stopReading()
			result := make(chan []seen, 1)
			go func() { result <- pollNaively(reading, db) }()
			writing, stop := context.WithTimeout(t.Context(), soak(time.Second))
			defer stop()
			w.run(writing, db, nil, "naive", &committed{at: map[string]time.Time{}})
			time.Sleep(100 * time.Millisecond) // several polls; whatever it has not read by now was below its position
			stopReading()
			got := <-result
			verdict := check(t, db, got)
			t.Logf("%+v", verdict)
			campaign.row(t, name+", naive poll", 0, verdict, "–")
			if verdict.missed == 0 {
				t.Errorf("the checker found nothing wrong with a naive poll: %+v", verdict)
			}
		})
	}
}

// latency from commit to reader, of the events whose commit time is known.
func latency(got []seen, done *committed) string {
	var d []time.Duration
	for _, s := range got {
		if at, ok := done.at[s.event]; ok {
			d = append(d, max(0, s.at.Sub(at)))
		}
	}
	if len(d) == 0 {
		return "no latencies"
	}
	slices.Sort(d)
	return fmt.Sprintf("latency p50 %v p99 %v of %d", d[len(d)/2].Round(10*time.Microsecond), d[len(d)*99/100].Round(10*time.Microsecond), len(d))
}

// campaign collects what the checker found. With GAPLESS_SOAK set, TestMain
// writes it to docs/results/sql-writers.md.
var campaign results

type results struct {
	mu   sync.Mutex
	rows []string
}

func (r *results) row(t *testing.T, name string, kills int, v verdict, lag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %s |\n",
		name, v.committed, kills, v.missed, v.repeated, v.phantom, v.inverted, v.wrongRows, lag))
	t.Logf("%d kills", kills)
}

// write does nothing unless both tests ran at full length.
func (r *results) write() error {
	if os.Getenv("GAPLESS_SOAK") == "" || len(r.rows) != 2*len(variants)+2 {
		return nil
	}
	slices.Sort(r.rows)
	dir := filepath.Join("..", "..", "docs", "results")
	text := "# SQL: many writers\n\nWritten by `TestManyWritersLoseNothing` and `TestNaivePollingLosesEvents` with GAPLESS_SOAK=" + os.Getenv("GAPLESS_SOAK") + ", all rows side by side on one machine.\n" +
		"16 writers, two of them in a process that is killed with -9 about twice a second; two changes of a row and their events in each transaction; 10 % roll back, 1 % pause 400 ms.\n" +
		"Two readers each, of which one begins under load. The naive poll reads a plain table without sequencer or fence, and must miss events.\n\n" +
		"| Log | committed events | kills | missed | repeated | phantom | inverted | wrong final rows | from commit to reader |\n|---|---|---|---|---|---|---|---|---|\n" + strings.Join(r.rows, "")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "sql-writers.md"), []byte(text), 0o644))
}
