package sql_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// fill makes n events of about 200 bytes without going through the log.
func fill(b *testing.B, db *sqlx.DB, mode sqllog.Mode, n int) {
	b.Helper()
	switch db.DriverName() {
	case "postgres":
		exec(b, db, fmt.Sprintf("INSERT INTO change_log (seq, topic, type, key, data) SELECT i, 'orders', 'order.changed', i::text, convert_to(repeat('x', 200), 'UTF8') FROM generate_series(1, %d) i", n))
		if mode == sqllog.Fence || mode == sqllog.AtCommit {
			exec(b, db, fmt.Sprintf("SELECT setval('change_log_seq_seq', %d)", n))
		}
		exec(b, db, "ANALYZE change_log")
	case "mysql":
		exec(b, db, fmt.Sprintf("INSERT INTO change_log (seq, topic, type, `key`, time, data) SELECT seq, 'orders', 'order.changed', seq, 1700000000000000, repeat('x', 200) FROM seq_1_to_%d", n))
	default:
		exec(b, db, fmt.Sprintf("INSERT INTO change_log (seq, topic, type, key, data) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i, 'orders', 'order.changed', i, CAST(printf('%%0200d', i) AS BLOB) FROM s", n))
	}
	exec(b, db, fmt.Sprintf("UPDATE change_log_head SET head = %d", n))
}

// BenchmarkReplay compares reading a whole log in pages of 1,000, by Read and
// through a Hub, with one SELECT of the same columns and rows, in turns, and
// times single pages.
func BenchmarkReplay(b *testing.B) {
	n := number("GAPLESS_ROWS", 200_000)
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			driver, dsn := m.start(b)
			db := open(b, driver, dsn)
			log := openLog(b, db, "change_log", m.opts)
			fill(b, db, m.opts.Mode, n)
			bounds, err := log.Bounds(context.Background())
			if err != nil || bounds.Head != uint64(n) {
				b.Fatalf("bounds %+v, %v", bounds, err)
			}
			first := page(b, log, cdc.Cursor{Epoch: bounds.Epoch})
			middle := page(b, log, cdc.Cursor{Epoch: bounds.Epoch, Seq: uint64(n / 2)})
			var bare, paged, followed time.Duration
			for b.Loop() {
				bare += selectAll(b, db, n)
				paged += replay(b, log, bounds)
				followed += follow(b, log, bounds)
			}
			events := float64(n * b.N)
			b.ReportMetric(events/bare.Seconds(), "select-rows/s")
			b.ReportMetric(events/paged.Seconds(), "events/s")
			b.ReportMetric(100*bare.Seconds()/paged.Seconds(), "%")
			b.ReportMetric(100*bare.Seconds()/followed.Seconds(), "%-through-a-Hub")
			b.ReportMetric(first, "first-page-ms")
			b.ReportMetric(middle, "middle-page-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// page is the time of the second read of a page, in milliseconds.
func page(b *testing.B, log *sqllog.Log, after cdc.Cursor) float64 {
	b.Helper()
	var took time.Duration
	for range 2 {
		start := time.Now()
		if p, err := log.Read(context.Background(), after, 1000); err != nil || len(p.Events) == 0 {
			b.Fatalf("%d events, %v", len(p.Events), err)
		}
		took = time.Since(start)
	}
	return float64(took.Microseconds()) / 1000
}

func replay(b *testing.B, log *sqllog.Log, bounds cdc.Bounds) time.Duration {
	b.Helper()
	start, after := time.Now(), cdc.Cursor{Epoch: bounds.Epoch}
	for after.Seq < bounds.Head {
		p, err := log.Read(context.Background(), after, 1000)
		if err != nil {
			b.Fatal(err)
		}
		after.Seq = p.Next
	}
	return time.Since(start)
}

func follow(b *testing.B, log *sqllog.Log, bounds cdc.Bounds) time.Duration {
	b.Helper()
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer hub.Close()
	start := time.Now()
	for batch, err := range cdc.Follow(context.Background(), hub, cdc.Beginning(), &cdc.FollowOptions{PageSize: 1000}) {
		if err != nil {
			b.Fatal(err)
		}
		if batch.Cursor.Seq >= bounds.Head {
			break
		}
	}
	return time.Since(start)
}

func selectAll(b *testing.B, db *sqlx.DB, n int) time.Duration {
	b.Helper()
	start := time.Now()
	key := map[string]string{"mysql": "`key`"}[db.DriverName()]
	if key == "" {
		key = "key"
	}
	rows, err := db.Query("SELECT seq, id, topic, type, " + key + ", time, data, meta FROM change_log ORDER BY seq")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	count := 0
	for rows.Next() {
		var seq int64
		var id, topic, kind, key, meta *string
		var at any
		var data []byte
		if err := rows.Scan(&seq, &id, &topic, &kind, &key, &at, &data, &meta); err != nil {
			b.Fatal(err)
		}
		count++
	}
	if count != n || rows.Err() != nil {
		b.Fatalf("%d rows, %v", count, rows.Err())
	}
	return time.Since(start)
}
