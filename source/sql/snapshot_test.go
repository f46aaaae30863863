package sqllog_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// openSnapshot keeps everything that is deleted from now on from being removed.
func openSnapshot(t *testing.T, db *sqlx.DB) {
	t.Helper()
	tx, err := db.BeginTxx(context.Background(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	var n int
	if err := tx.Get(&n, "SELECT count(*) FROM change_log"); err != nil {
		t.Fatal(err)
	}
}

// pagesOf is how many pages the statement touches, by the server's own count.
func pagesOf(t *testing.T, db *sqlx.DB, touch func()) (pages int) {
	t.Helper()
	count := func() (n int) {
		const query = "SELECT sum(coalesce(heap_blks_read, 0) + coalesce(heap_blks_hit, 0) + coalesce(idx_blks_read, 0) + coalesce(idx_blks_hit, 0)) FROM pg_statio_user_tables WHERE relname LIKE 'change_log%'"
		if err := db.Get(&n, query); err != nil {
			t.Fatal(err)
		}
		return n
	}
	flush := func() { // the one session tells what it has counted
		if _, err := db.Exec("SELECT pg_stat_force_next_flush()"); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	before := count()
	touch()
	flush()
	return count() - before
}

// A snapshot that somebody keeps open keeps every inbox row and every version of
// the head row that were there since. One event must not cost more for them on
// PostgreSQL. MariaDB keeps the rows, too, and reads through them: docs/sql.md.
func TestAnOldSnapshotCostsNothingPerEvent(t *testing.T) {
	for _, v := range variants {
		if v.name == "sqlite" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			driver, dsn := v.open(t)
			other, db := connect(t, driver, dsn), connect(t, driver, dsn)
			db.SetMaxOpenConns(1)
			if v.opts.Mode == sqllog.Fence { // it keeps one
				db.SetMaxOpenConns(2)
			}
			l := openLog(t, db, v.opts)
			openSnapshot(t, other)
			f := &follower{t: t, l: l, db: db, after: cdc.Cursor{Epoch: epochOf(t, l)}}
			f.one()
			event, look := touched(t, v, db, f.one), touched(t, v, db, f.look)
			for range 8 {
				f.append(1000)
			}
			for range 200 {
				f.one()
			}
			laterEvent, laterLook := touched(t, v, db, f.one), touched(t, v, db, f.look)
			t.Logf("an event touches %d pages, and %d after 8,200 others; a look at an idle log %d and %d", event, laterEvent, look, laterLook)
			if v.name != "mariadb" && (laterEvent > event+20 || laterLook > look+10) {
				t.Error("that is more for each event since the snapshot")
			}
		})
	}
}

// follower reads to the end after each append.
type follower struct {
	t     *testing.T
	l     *sqllog.Log
	db    *sqlx.DB
	after cdc.Cursor
}

func (f *follower) one() {
	f.append(1)
	p, err := f.l.Read(f.t.Context(), f.after, 100)
	if err != nil {
		f.t.Fatal(err)
	}
	f.after.Seq = p.Next
}

func (f *follower) append(n int) {
	appendInTx(f.t, f.l, f.db, make([]cdc.Event, n)...)
	f.look()
	if b, err := f.l.Bounds(f.t.Context()); err != nil || b.Head < f.after.Seq+uint64(n) {
		f.t.Fatalf("head %d, %v", b.Head, err)
	} else if n > 1 {
		f.after.Seq = b.Head
	}
}

func (f *follower) look() {
	if _, err := f.l.Bounds(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// Writers that are open before and after, roll back, use savepoints, are
// prepared, and end in any order, while the passes of two processes go on and
// an old snapshot is open: everything that was committed is read, once.
func TestNoWriterIsPassedOver(t *testing.T) {
	v := variants[0]
	driver, dsn := v.open(t)
	db := connect(t, driver, dsn)
	logs := []*sqllog.Log{openLog(t, db, v.opts), openLog(t, connect(t, driver, dsn), v.opts)}
	openSnapshot(t, connect(t, driver, dsn))
	from := cdc.Cursor{Epoch: epochOf(t, logs[0])}

	ctx, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for _, l := range logs {
		readers.Go(func() { lookUntil(ctx, t, l) })
	}
	var mu sync.Mutex
	committed := map[string]bool{}
	for w := range 8 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7)) //nolint:gosec // a seed, no secret
			for n := range 20 {
				name := fmt.Sprintf("w%dn%d", w, n)
				ids, err := slowWriter(t.Context(), db, logs[w%2], r, name)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				mu.Lock()
				for _, id := range ids {
					committed[id] = true
				}
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	for _, e := range readAll(t, logs[0], from) {
		if !committed[e.Type] {
			t.Errorf("event %d %s was read twice, or was not committed", e.Seq, e.Type)
		}
		delete(committed, e.Type)
	}
	if len(committed) > 0 {
		t.Errorf("%d committed events were passed over, for example %v", len(committed), committed)
	}
}

// lookUntil makes one pass after the other.
func lookUntil(ctx context.Context, t *testing.T, l *sqllog.Log) {
	t.Helper()
	for ctx.Err() == nil {
		if _, err := l.Bounds(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
	}
}

// slowWriter is one transaction. It returns what it has committed.
func slowWriter(ctx context.Context, db *sqlx.DB, l *sqllog.Log, r *rand.Rand, name string) (ids []string, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	w := &script{ctx: ctx, conn: conn, log: l, r: r}
	w.exec("BEGIN")
	if r.IntN(2) == 0 {
		w.exec("SELECT 1 FROM change_log LIMIT 1")
		w.pause()
	}
	if r.IntN(2) == 0 {
		w.exec("SAVEPOINT a")
		w.append(name + " undone")
		w.pause()
		w.exec("ROLLBACK TO a")
		w.pause()
	}
	for i := range 1 + r.IntN(3) {
		id := fmt.Sprintf("%s e%d", name, i)
		w.append(id)
		ids = append(ids, id)
		w.pause()
		if r.IntN(4) == 0 {
			w.exec(fmt.Sprintf("SAVEPOINT s%d", i))
		}
	}
	if !w.end(name) {
		ids = nil
	}
	return ids, w.err
}

// script does one step after the other until one fails.
type script struct {
	ctx  context.Context
	conn *sql.Conn
	log  *sqllog.Log
	r    *rand.Rand
	err  error
}

func (w *script) exec(query string) {
	if w.err == nil {
		_, w.err = w.conn.ExecContext(w.ctx, query)
	}
}

func (w *script) append(id string) {
	if w.err == nil {
		w.err = w.log.AppendTx(w.ctx, w.conn, cdc.Event{Type: id})
	}
}

func (w *script) pause() {
	if w.r.IntN(3) > 0 {
		time.Sleep(time.Duration(w.r.IntN(w.r.IntN(12)+1)) * time.Millisecond)
	}
}

// end ends the transaction in one of four ways, and reports whether it committed.
func (w *script) end(name string) bool {
	switch w.r.IntN(6) {
	case 0:
		w.exec("ROLLBACK")
		return false
	case 1, 2:
		w.exec("PREPARE TRANSACTION '" + name + "'")
		w.pause()
		if w.r.IntN(3) == 0 {
			w.exec("ROLLBACK PREPARED '" + name + "'")
			return false
		}
		w.exec("COMMIT PREPARED '" + name + "'")
	default:
		w.exec("COMMIT")
	}
	return true
}
