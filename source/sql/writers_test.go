package sqllog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// The workload: writers that each add 1 to two of a few rows and log both new
// values, in one transaction of about 4 ms. Some roll back, some pause, one
// process of them is killed. Every committed transaction also leaves its
// events' IDs in the table truth. A reader is right if it got each ID of truth
// once, and each row's values as 1, 2, 3, … up to the one that the row has.

const workloadRows = 1000

type workload struct {
	driver, dsn string
	opts        sqllog.Options
	writers     int
	pausing     int           // per thousand transactions
	pause       time.Duration // of those
	naive       bool          // insert into the table plain, which has no log
}

func (w workload) prepare(tb testing.TB, db *sqlx.DB) {
	tb.Helper()
	mustExec(tb, db, "CREATE TABLE counters (id INTEGER PRIMARY KEY, val BIGINT NOT NULL)")
	mustExec(tb, db, "CREATE TABLE truth (id VARCHAR(100) PRIMARY KEY)")
	if w.naive {
		serial := map[string]string{"postgres": "BIGSERIAL PRIMARY KEY", "mysql": "BIGINT PRIMARY KEY AUTO_INCREMENT"}[w.driver]
		mustExec(tb, db, "CREATE TABLE plain (seq "+serial+", id VARCHAR(100), rowkey VARCHAR(20), val VARCHAR(20))")
	}
	rows := make([]string, workloadRows)
	for i := range rows {
		rows[i] = fmt.Sprintf("(%d, 0)", i)
	}
	mustExec(tb, db, "INSERT INTO counters VALUES "+strings.Join(rows, ", "))
}

// committed has the time of each transaction's commit, by its events' IDs.
type committed struct {
	mu sync.Mutex
	at map[string]time.Time
}

// run writes until ctx ends. Transactions that fail are rolled back and
// counted as such.
func (w workload) run(ctx context.Context, db *sqlx.DB, log *sqllog.Log, name string, done *committed) {
	var wg sync.WaitGroup
	for n := range w.writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), uint64(len(name))))
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%s-%d-%d", name, n, i)
				if err := w.transaction(ctx, db, log, id, r); err == nil {
					done.mu.Lock()
					done.at[id+"a"], done.at[id+"b"] = time.Now(), time.Now()
					done.mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

var errRollback = fmt.Errorf("rolled back on purpose")

func (w workload) transaction(ctx context.Context, db *sqlx.DB, log *sqllog.Log, id string, r *rand.Rand) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	rows := []int{r.IntN(workloadRows), r.IntN(workloadRows)}
	slices.Sort(rows) // so that writers do not deadlock
	for i, row := range rows {
		event := id + string(rune('a'+i))
		if err := w.change(ctx, tx, log, event, row); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
	if r.IntN(1000) < w.pausing {
		time.Sleep(w.pause)
	}
	if r.IntN(10) == 0 {
		return errRollback
	}
	return tx.Commit()
}

func (w workload) change(ctx context.Context, tx *sqlx.Tx, log *sqllog.Log, event string, row int) error {
	if _, err := tx.ExecContext(ctx, tx.Rebind("UPDATE counters SET val = val + 1 WHERE id = ?"), row); err != nil {
		return err
	}
	var val int64
	if err := tx.QueryRowContext(ctx, tx.Rebind("SELECT val FROM counters WHERE id = ?"), row).Scan(&val); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, tx.Rebind("INSERT INTO truth VALUES (?)"), event); err != nil {
		return err
	}
	key, text := strconv.Itoa(row), strconv.FormatInt(val, 10)
	if w.naive {
		_, err := tx.ExecContext(ctx, tx.Rebind("INSERT INTO plain (id, rowkey, val) VALUES (?, ?, ?)"), event, key, text)
		return err
	}
	return log.AppendTx(ctx, tx, cdc.Event{Topic: "counters", Type: "counter.changed", Key: key, Data: []byte(text), Meta: map[string]string{"event": event}})
}

// seen is one event as a reader got it.
type seen struct {
	seq        uint64
	event      string
	key, value string
	at         time.Time
}

// verdict of the checker.
type verdict struct {
	committed, missed, repeated, phantom, inverted, wrongRows int
}

func (v verdict) bad() bool {
	return v.missed+v.repeated+v.phantom+v.inverted+v.wrongRows > 0 || v.committed == 0
}

// check compares what a reader saw with the database.
func check(tb testing.TB, db *sqlx.DB, got []seen) verdict {
	tb.Helper()
	var v verdict
	truth := map[string]int{}
	var ids []string
	if err := db.Select(&ids, "SELECT id FROM truth"); err != nil {
		tb.Fatal(err)
	}
	for _, id := range ids {
		truth[id] = 0
	}
	v.committed = len(ids)
	last := map[string]int64{}
	for _, s := range got {
		if _, ok := truth[s.event]; !ok {
			v.phantom++
			continue
		}
		truth[s.event]++
		value, _ := strconv.ParseInt(s.value, 10, 64)
		if value < last[s.key] {
			v.inverted++
		}
		last[s.key] = value
	}
	for _, n := range truth {
		v.missed += max(0, 1-n)
		v.repeated += max(0, n-1)
	}
	rows, err := db.Query("SELECT id, val FROM counters")
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, val int64
		if err := rows.Scan(&id, &val); err != nil {
			tb.Fatal(err)
		}
		if last[strconv.FormatInt(id, 10)] != val {
			v.wrongRows++
		}
	}
	return v
}

// reader follows a log until it has read the event with the ID "end".
func follow(ctx context.Context, log *sqllog.Log, start cdc.Start) ([]seen, error) {
	var got []seen
	for batch, err := range cdc.Follow(ctx, log, start, nil) {
		if err != nil {
			return got, err
		}
		now := time.Now()
		for _, e := range batch.Events {
			if e.ID == "end" {
				return got, nil
			}
			got = append(got, seen{e.Seq, e.Meta["event"], e.Key, string(e.Data), now})
		}
	}
	return got, fmt.Errorf("the stream ended without an error")
}

// pollNaively is what this package exists to replace.
func pollNaively(ctx context.Context, db *sqlx.DB) []seen {
	var got []seen
	var after uint64
	for {
		rows, err := db.QueryContext(ctx, db.Rebind("SELECT seq, id, rowkey, val FROM plain WHERE seq > ? ORDER BY seq"), after)
		if err != nil {
			return got
		}
		for rows.Next() {
			var s seen
			if rows.Scan(&s.seq, &s.event, &s.key, &s.value) == nil {
				after = s.seq
				got = append(got, s)
			}
		}
		_ = rows.Close()
		time.Sleep(2 * time.Millisecond)
	}
}

// writerEnv makes the test binary a process of writers; it has driver, DSN and
// mode, separated by newlines.
const writerEnv = "GAPLESS_SQL_WRITER"

// startKilledWriters runs two writers in a process and kills it with SIGKILL
// again and again, until the returned function is called, which says how often.
func startKilledWriters(t *testing.T, w workload) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	kills, finished := 0, make(chan struct{})
	go func() {
		defer close(finished)
		for i := 0; ctx.Err() == nil; i++ {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), writerEnv+"="+strings.Join([]string{w.driver, w.dsn, string(w.opts.Mode), fmt.Sprint("child", i)}, "\n"))
			if err := cmd.Start(); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			kills++
		}
	}()
	return func() int {
		cancel()
		<-finished
		return kills
	}
}

// writeUntilKilled is the process of startKilledWriters.
func writeUntilKilled(spec string) {
	words := strings.Split(spec, "\n")
	db, err := sqlx.Open(words[0], words[1])
	if err != nil {
		panic(err)
	}
	opts := sqllog.Options{Mode: sqllog.Mode(words[2]), NoSchema: true}
	log, err := sqllog.Open(context.Background(), db, "change_log", &opts)
	if err != nil {
		panic(err)
	}
	w := workload{driver: words[0], dsn: words[1], opts: opts, writers: 2}
	w.run(context.Background(), db, log, words[3], &committed{at: map[string]time.Time{}})
}
