package sql_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// unindexed is a log that filters nothing by itself.
type unindexed struct{ cdc.Log }

// spread gives the events of fill a thousand topics, each every thousandth.
func spread(b *testing.B, db *sqlx.DB, topics int) {
	b.Helper()
	number := fmt.Sprintf("seq %% %d", topics)
	switch db.DriverName() {
	case "mysql":
		exec(b, db, "UPDATE change_log SET topic = concat('topic', "+number+")")
	case "postgres":
		exec(b, db, "UPDATE change_log SET topic = 'topic' || ("+number+")")
		exec(b, db, "VACUUM ANALYZE change_log")
	default:
		exec(b, db, "UPDATE change_log SET topic = 'topic' || ("+number+")")
	}
}

// BenchmarkTopics lets clients of a Hub come back to one topic each, with the
// index and without it, in turns.
func BenchmarkTopics(b *testing.B) {
	rows, topics, clients := number("GAPLESS_ROWS", 200_000), number("GAPLESS_TOPICS", 1000), number("GAPLESS_CLIENTS", 1000)
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			driver, dsn := m.start(b)
			db := open(b, driver, dsn)
			db.SetMaxOpenConns(16)
			log := openLog(b, db, "change_log", m.opts)
			fill(b, db, m.opts.Mode, rows)
			spread(b, db, topics)
			var with, without, alone, aloneWithout time.Duration
			for b.Loop() {
				with += comeBack(b, log, topics, clients, rows/topics)
				without += comeBack(b, unindexed{log}, topics, clients, rows/topics)
				alone += comeBack(b, log, topics, 1, rows/topics)
				aloneWithout += comeBack(b, unindexed{log}, topics, 1, rows/topics)
			}
			ms := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) }
			b.ReportMetric(ms(with), "indexed-ms")
			b.ReportMetric(ms(without), "unindexed-ms")
			b.ReportMetric(ms(alone), "one-indexed-ms")
			b.ReportMetric(ms(aloneWithout), "one-unindexed-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// comeBack follows from the beginning until every client is live, over a new
// Hub.
func comeBack(b *testing.B, log cdc.Log, topics, clients, each int) time.Duration {
	b.Helper()
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	start := time.Now()
	var group sync.WaitGroup
	for n := range clients {
		group.Go(func() {
			got := 0
			f := cdc.Filter{Topics: []string{fmt.Sprint("topic", n%topics)}}
			for batch, err := range cdc.Follow(context.Background(), hub, cdc.Beginning(), &cdc.FollowOptions{Filter: f}) {
				got += len(batch.Events)
				if err != nil {
					b.Error(err)
				}
				if batch.State == cdc.Live {
					break
				}
			}
			if got != each {
				b.Errorf("client %d got %d events, want %d", n, got, each)
			}
		})
	}
	group.Wait()
	return time.Since(start)
}

// BenchmarkTopicIndex appends to two logs in turns, one of which has lost its
// index of topics.
func BenchmarkTopicIndex(b *testing.B) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			driver, dsn := m.start(b)
			db := open(b, driver, dsn)
			with, without := openLog(b, db, "change_log", m.opts), openLog(b, db, "bare_log", m.opts)
			drop := "DROP INDEX bare_log_topic"
			if driver == "mysql" {
				drop += " ON bare_log"
			}
			exec(b, db, drop)
			for _, size := range []int{1, 100} {
				var indexed, bare time.Duration
				for turn := range number("GAPLESS_TURNS", 40) {
					if turn%2 == 0 { // whoever is first may pay for the other
						indexed += appendTurn(b, with, size)
						bare += appendTurn(b, without, size)
					} else {
						bare += appendTurn(b, without, size)
						indexed += appendTurn(b, with, size)
					}
				}
				b.ReportMetric(100*indexed.Seconds()/bare.Seconds(), fmt.Sprintf("%%-of-%d", size))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func appendTurn(b *testing.B, log *sqllog.Log, size int) time.Duration {
	b.Helper()
	events := make([]cdc.Event, size)
	start := time.Now()
	for n := range 50 {
		for i := range events {
			events[i] = cdc.Event{Topic: fmt.Sprint("topic", (n*size+i)%1000), Type: "order.changed", Key: fmt.Sprint(n), Data: make([]byte, 200)}
		}
		if _, err := log.Append(context.Background(), events...); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}
