package sql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

const counterRows = 2000

// load is writers that each update two of the counters and log both, in one
// transaction that takes `work` besides.
type load struct {
	db      *sqlx.DB
	log     *sqllog.Log // nil: insert into the table plain
	writers int
	work    time.Duration
	pausing int // of a thousand transactions, for 400 ms
	commits atomic.Int64
	at      sync.Map // event → time of its commit, if not nil
}

func prepare(b *testing.B, db *sqlx.DB) {
	b.Helper()
	serial := map[string]string{"postgres": "BIGSERIAL PRIMARY KEY", "mysql": "BIGINT PRIMARY KEY AUTO_INCREMENT", "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT"}[db.DriverName()]
	exec(b, db, "CREATE TABLE counters (id INTEGER PRIMARY KEY, val BIGINT NOT NULL)")
	exec(b, db, "INSERT INTO counters VALUES "+values(counterRows))
	exec(b, db, "CREATE TABLE plain (seq "+serial+", topic VARCHAR(40), type VARCHAR(40), rowkey VARCHAR(20), data VARCHAR(300))")
}

var payload = make([]byte, 200)

func (l *load) transaction(ctx context.Context, r *rand.Rand, event string) error {
	tx, err := l.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	rows := []int{r.IntN(counterRows), r.IntN(counterRows)}
	slices.Sort(rows)
	for _, row := range rows {
		if _, err := tx.ExecContext(ctx, tx.Rebind("UPDATE counters SET val = val + 1 WHERE id = ?"), row); err != nil {
			return err
		}
		key := strconv.Itoa(row)
		if l.log == nil {
			_, err = tx.ExecContext(ctx, tx.Rebind("INSERT INTO plain (topic, type, rowkey, data) VALUES (?, ?, ?, ?)"), "counters", "counter.changed", key, string(text))
		} else {
			err = l.log.AppendTx(ctx, tx, cdc.Event{Topic: "counters", Type: "counter.changed", Key: key, Data: text})
		}
		if err != nil {
			return err
		}
		time.Sleep(l.work / 2)
	}
	if event != "" {
		if err := l.log.AppendTx(ctx, tx, cdc.Event{Type: "mark", Key: event}); err != nil {
			return err
		}
	}
	if r.IntN(1000) < l.pausing {
		time.Sleep(400 * time.Millisecond)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if event != "" {
		l.at.Store(event, time.Now())
	}
	l.commits.Add(1)
	return nil
}

// text is a payload that every column takes.
var text = func() []byte {
	for i := range payload {
		payload[i] = 'x'
	}
	return payload
}()

// run writes for d and returns commits per second.
func (l *load) run(d time.Duration, mark bool) float64 {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	l.commits.Store(0)
	start := time.Now()
	var wg sync.WaitGroup
	for n := range l.writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			for i := 0; ctx.Err() == nil; i++ {
				event := ""
				if mark {
					event = fmt.Sprintf("%d-%d", n, i)
				}
				// Each is finished: one that is cancelled would cost the next turn a connection.
				_ = l.transaction(context.WithoutCancel(ctx), r, event) // deadlocks end some
			}
		})
	}
	wg.Wait()
	return float64(l.commits.Load()) / time.Since(start).Seconds()
}

// plainColumns are those of the table that prepare makes.
var plainColumns = sqllog.Columns{Seq: "seq", Topic: "topic", Type: "type", Key: "rowkey", Data: "data"}

var modes = []struct {
	name  string
	opts  sqllog.Options
	start func(b *testing.B) (driver, dsn string)
}{
	{"postgres/sequencer", sqllog.Options{}, postgres},
	{"postgres/fence", sqllog.Options{Mode: sqllog.Fence}, postgres},
	{"postgres/at-commit", sqllog.Options{Mode: sqllog.AtCommit}, postgres},
	{"mariadb", sqllog.Options{}, mariadb},
	{"sqlite", sqllog.Options{}, sqlite},
}

// BenchmarkWriters compares commits per second with the log, while a Hub
// follows it, and with a plain table that nobody reads, or that a poll reads
// which misses events: in turns, because the machine is not quiet. It reports
// the medians, and those of the ratios of turns that followed each other. The
// fence reads the plain table itself, whose writers are the same on all sides.
func BenchmarkWriters(b *testing.B) {
	for _, m := range modes {
		for _, writers := range []int{1, 8, 32} {
			for _, work := range []time.Duration{0, 5 * time.Millisecond} {
				b.Run(fmt.Sprintf("%s/%d-writers/%v", m.name, writers, work), func(b *testing.B) {
					driver, dsn := m.start(b)
					db := open(b, driver, dsn)
					prepare(b, db)
					var log *sqllog.Log
					name, opts := "change_log", m.opts
					if opts.Mode == sqllog.Fence {
						name, opts.Columns = "plain", &plainColumns
					} else {
						log = openLog(b, db, name, opts)
					}
					others := open(b, driver, dsn)
					reader := openLog(b, others, name, opts)
					turn := func(log *sqllog.Log) float64 {
						return (&load{db: db, log: log, writers: writers, work: work}).run(seconds("GAPLESS_ROUND", time.Second), false)
					}
					var plain, polled, logged, toPlain, toPolled []float64
					for b.Loop() {
						for range number("GAPLESS_ROUNDS", 9) {
							p := turn(nil)
							stop := poll(others)
							q := turn(nil)
							stop()
							stop = tail(b, reader)
							l := turn(log)
							stop()
							plain, polled, logged = append(plain, p), append(polled, q), append(logged, l)
							toPlain, toPolled = append(toPlain, 100*l/p), append(toPolled, 100*l/q)
						}
					}
					b.ReportMetric(median(plain), "plain/s")
					b.ReportMetric(median(polled), "polled/s")
					b.ReportMetric(median(logged), "logged/s")
					b.ReportMetric(median(toPlain), "%plain")
					b.ReportMetric(median(toPolled), "%polled")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}

// poll reads the plain table every five milliseconds, as people do by hand, until
// the returned func is called.
func poll(db *sqlx.DB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		last := int64(0)
		for ctx.Err() == nil {
			if n, err := pollOnce(db, &last); err != nil || n < 1000 {
				time.Sleep(5 * time.Millisecond)
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// pollOnce begins at the highest number, then reads what is above the last.
func pollOnce(db *sqlx.DB, last *int64) (n int, err error) {
	if *last == 0 {
		return 0, db.QueryRow("SELECT COALESCE(MAX(seq), 0) FROM plain").Scan(last)
	}
	rows, err := db.Query(fmt.Sprintf("SELECT seq, topic, type, rowkey, data FROM plain WHERE seq > %d ORDER BY seq LIMIT 1000", *last))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		var topic, kind, key, data string
		if err := rows.Scan(last, &topic, &kind, &key, &data); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// tail follows the log until the returned func is called.
func tail(tb testing.TB, log cdc.Log) (stop func()) {
	tb.Helper()
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, err := range cdc.Follow(ctx, hub, cdc.Latest(), nil) {
			if err != nil {
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		_ = hub.Close()
	}
}

// BenchmarkLag reports the time from a commit to the reader, with 16 writers of
// 4 ms transactions, of which 1 % pause for 400 ms.
func BenchmarkLag(b *testing.B) {
	for _, m := range modes[:4] {
		b.Run(m.name, func(b *testing.B) {
			driver, dsn := m.start(b)
			db := open(b, driver, dsn)
			prepare(b, db)
			log := openLog(b, db, "change_log", m.opts)
			reader := openLog(b, open(b, driver, dsn), "change_log", m.opts)
			var lags []time.Duration
			for b.Loop() {
				lags = append(lags, lag(b, db, log, reader)...)
			}
			slices.Sort(lags)
			b.ReportMetric(float64(lags[len(lags)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(lags[len(lags)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(len(lags)), "events")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func lag(b *testing.B, db *sqlx.DB, log, reader *sqllog.Log) []time.Duration {
	b.Helper()
	l := &load{db: db, log: log, writers: 16, work: 4 * time.Millisecond, pausing: 10}
	ctx, cancel := context.WithCancel(context.Background())
	seen := map[string]time.Time{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for batch, err := range cdc.Follow(ctx, reader, cdc.Latest(), nil) {
			if err != nil {
				return
			}
			for _, e := range batch.Events {
				if e.Type == "mark" {
					seen[e.Key] = time.Now()
				}
			}
		}
	})
	l.run(seconds("GAPLESS_ROUND", 5*time.Second), true)
	time.Sleep(time.Second)
	cancel()
	wg.Wait()
	var lags []time.Duration
	l.at.Range(func(event, at any) bool {
		if s, ok := seen[event.(string)]; ok {
			lags = append(lags, max(0, s.Sub(at.(time.Time))))
		}
		return true
	})
	return lags
}
