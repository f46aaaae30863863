package bank_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// boltBank is a file. Its instances, and who appends, are in one process.
type boltBank struct {
	db    *bbolt.DB
	l     *boltlog.Log
	place *boltlog.Place
}

var (
	boltAccounts = []byte("accounts")
	boltEffects  = []byte("effects")
)

func openBolt(ctx context.Context, path string) (*boltBank, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Minute})
	if err != nil {
		return nil, err
	}
	store, err := boltlog.NewStore(db)
	if err != nil {
		return nil, err
	}
	b := &boltBank{db: db}
	if b.l, err = store.Open(ctx, "transfers", nil); err != nil {
		return nil, err
	}
	if b.place, err = store.Place("workers"); err != nil {
		return nil, err
	}
	return b, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{boltAccounts, boltEffects} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *boltBank) consume(ctx context.Context, h how) error {
	return cdc.Consume(ctx, b.l, worker, behind[*bbolt.Tx](b.place, h), cdc.Handler[*bbolt.Tx]{
		Prepare: prepare,
		Apply: func(_ context.Context, tx *bbolt.Tx, d *cdc.Delivery) error {
			t, err := parse(d.Event)
			if err != nil {
				return err
			}
			for _, step := range []struct {
				bucket []byte
				key    string
				n      int
			}{{boltAccounts, strconv.Itoa(t.from), -t.amount}, {boltAccounts, strconv.Itoa(t.to), t.amount}, {boltEffects, d.Event.ID, 1}} {
				if err := addTo(tx.Bucket(step.bucket), step.key, step.n); err != nil {
					return err
				}
			}
			return nil
		},
	}, h.opts)
}

// addTo adds to the number at the key.
func addTo(b *bbolt.Bucket, key string, n int) error {
	if v := b.Get([]byte(key)); v != nil {
		n += int(int64(binary.BigEndian.Uint64(v)))
	}
	return b.Put([]byte(key), binary.BigEndian.AppendUint64(nil, uint64(int64(n))))
}

func (b *boltBank) read(context.Context) (books, error) {
	r := books{map[int]int{}, map[string]int{}}
	number := func(v []byte) int { return int(int64(binary.BigEndian.Uint64(v))) }
	return r, b.db.View(func(tx *bbolt.Tx) error {
		err := tx.Bucket(boltAccounts).ForEach(func(k, v []byte) error {
			account, err := strconv.Atoi(string(k))
			r.balances[account] = number(v)
			return err
		})
		if err != nil {
			return err
		}
		return tx.Bucket(boltEffects).ForEach(func(k, v []byte) error {
			r.effects[string(k)] = number(v)
			return nil
		})
	})
}

// workBolt is the process of all instances. Each line of its input is the number
// of transfers that there are to be from then on; it tells which instance is
// active and how many transfers were handled.
func workBolt(ctx context.Context, s spec) error {
	b, err := openBolt(ctx, s.dsn)
	if err != nil {
		return err
	}
	var gates [instancesOfAStore]sync.RWMutex
	var active atomic.Int64
	ended := make(chan error, len(gates)+2)
	for i := range gates {
		opts := s.options()
		opts.OnActive = func(l cdc.Lease) {
			active.Store(int64(i))
			fmt.Println("active", l.Generation, i)
		}
		go func() { ended <- b.consume(ctx, how{s.fenced, &gates[i], opts}) }()
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			g := &gates[active.Load()]
			g.Lock()
			time.Sleep(s.term * 3 / 2)
			g.Unlock()
		}
	}()
	go func() { ended <- b.appendAsTold(ctx) }()
	go func() { ended <- b.report(ctx) }()
	return <-ended
}

func (b *boltBank) appendAsTold(ctx context.Context) error {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		last, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		bounds, err := b.l.Bounds(ctx)
		if err != nil {
			return err
		}
		if err := appendUpTo(ctx, b.l, int(bounds.Head), last); err != nil {
			return err
		}
	}
	return errors.New("the campaign is gone")
}

func (b *boltBank) report(ctx context.Context) error {
	for at := uint64(0); ; time.Sleep(20 * time.Millisecond) {
		state, err := b.place.Load(ctx, worker)
		if err != nil {
			return err
		}
		if state.Cursor.Seq != at {
			at = state.Cursor.Seq
			fmt.Println("handled", at)
		}
	}
}
