package boltlog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// The benchmarks put the log beside what it stands on, in one run:
//
//	go test -run '^$' -bench . ./source/bolt
//
// Every event has 200 bytes of data.

var payload = bytes.Repeat([]byte("x"), 200)

// report gives events a second in place of the time of one call.
func report(b *testing.B, events int) {
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

// parallel runs do, which appends that many events, in that many goroutines until b.Loop ends in one of them.
func parallel(b *testing.B, producers, each int, do func() error) {
	var total atomic.Int64
	var stop atomic.Bool
	var others sync.WaitGroup
	one := func() {
		if err := do(); err != nil {
			b.Error(err)
			stop.Store(true)
		}
		total.Add(1)
	}
	for range producers - 1 {
		others.Go(func() {
			for !stop.Load() {
				one()
			}
		})
	}
	for b.Loop() {
		one()
	}
	n := int(total.Load())
	stop.Store(true)
	report(b, n*each)
	others.Wait()
}

func BenchmarkAppend(b *testing.B) {
	for _, producers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("log/producers=%d", producers), func(b *testing.B) {
			l := newLog(b)
			parallel(b, producers, 1, func() error {
				_, err := l.Append(context.Background(), cdc.Event{Type: "bench", Data: payload})
				return err
			})
		})
		b.Run(fmt.Sprintf("Update/producers=%d", producers), func(b *testing.B) {
			db, put := rawDB(b)
			parallel(b, producers, 1, func() error { return db.Update(put) })
		})
		b.Run(fmt.Sprintf("Batch/producers=%d", producers), func(b *testing.B) {
			db, put := rawDB(b)
			parallel(b, producers, 1, func() error { return db.Batch(put) })
		})
	}
}

// rawDB is what an application would write without a log: a key from the
// bucket's sequence, and the payload.
func rawDB(b *testing.B) (*bbolt.DB, func(*bbolt.Tx) error) {
	db := newDB(b)
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("raw"))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return db, func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("raw"))
		seq, err := bucket.NextSequence()
		if err != nil {
			return err
		}
		return bucket.Put(binary.BigEndian.AppendUint64(nil, seq), payload)
	}
}

func BenchmarkAppend100(b *testing.B) {
	for _, producers := range []int{1, 8} {
		b.Run(fmt.Sprintf("log/producers=%d", producers), func(b *testing.B) {
			l := newLog(b)
			events := make([]cdc.Event, 100)
			for i := range events {
				events[i] = cdc.Event{Type: "bench", Data: payload}
			}
			parallel(b, producers, 100, func() error {
				_, err := l.Append(context.Background(), events...)
				return err
			})
		})
	}
}

func BenchmarkRead(b *testing.B) {
	l := open(b, newPath(b), &boltlog.FileOptions{NoSync: true})
	batch := make([]cdc.Event, benchPage)
	for i := range batch {
		batch[i] = cdc.Event{Topic: "orders", Type: "order.created", Key: "17", Data: payload}
	}
	for range benchEvents / benchPage {
		if _, err := l.Append(b.Context(), batch...); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("log", func(b *testing.B) { readPages(b, l) })
	b.Run("cursor", func(b *testing.B) { copyValues(b, l.DB()) })
}

const benchEvents, benchPage = 100_000, 1000

func readPages(b *testing.B, l *boltlog.Log) {
	n := 0
	start := cdc.Cursor{Epoch: bounds(b, l).Epoch}
	c := start
	for b.Loop() {
		p, err := l.Read(b.Context(), c, benchPage)
		if err != nil {
			b.Fatal(err)
		}
		if n += len(p.Events); p.Next == benchEvents {
			p.Next = 0
		}
		c.Seq = p.Next
	}
	report(b, n)
}

// copyValues reads with bbolt alone.
func copyValues(b *testing.B, db *bbolt.DB) {
	n, next := 0, uint64(1)
	for b.Loop() {
		err := db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket([]byte(logName)).Bucket([]byte("events")).Cursor()
			k, v := c.Seek(binary.BigEndian.AppendUint64(nil, next))
			for i := 0; i < benchPage && k != nil; i++ {
				_ = bytes.Clone(v)
				n++
				k, v = c.Next()
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if next += benchPage; next > benchEvents {
			next = 1
		}
	}
	report(b, n)
}
