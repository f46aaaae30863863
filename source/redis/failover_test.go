package redislog_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// failover is a master with a replica that can be made to lack the last events
// and then be promoted; the client speaks to whichever the proxy points to.
type failover struct {
	master, replica *testserver.Redis
	proxy           *testserver.Proxy
	client          *redis.Client
}

func startFailover(t *testing.T) *failover {
	t.Helper()
	f := &failover{master: testserver.StartRedis(t)}
	f.replica = testserver.StartReplica(t, f.master)
	f.proxy = testserver.StartProxy(t, f.master.Port())
	f.client = redis.NewClient(&redis.Options{Addr: f.proxy.Addr, MaxRetries: -1})
	t.Cleanup(func() { _ = f.client.Close() })
	return f
}

// detach lets the replica lose what the master gets from now on.
func (f *failover) detach(t *testing.T) {
	t.Helper()
	if err := newClient(t, f.replica).Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
}

func (f *failover) promote() {
	f.master.Kill()
	f.proxy.Point(f.replica.Addr)
	f.proxy.Cut()
}

// synced waits until the replica has the master's head.
func (f *failover) synced(t *testing.T) {
	t.Helper()
	head := newClient(t, f.master).HGet(t.Context(), "gapless:{x}", "head").Val()
	c := newClient(t, f.replica)
	for range 1000 {
		if c.HGet(t.Context(), "gapless:{x}", "head").Val() == head {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("the replica did not reach %s", head)
}

// startLagging has a log of ten events, which the replica has, too. It will lack
// what the master gets from now on.
func startLagging(t *testing.T) (f *failover, l *redislog.Log, epoch string) {
	t.Helper()
	f = startFailover(t)
	l = openLog(t, f.client, "x", nil)
	epoch = appendN(t, l, 1, 10).Epoch
	f.synced(t)
	f.detach(t)
	return f, l, epoch
}

func TestFailoverThatLosesEvents(t *testing.T) {
	t.Parallel()
	for _, regrow := range []int{0, 5, 8} {
		t.Run(fmt.Sprint("regrown by ", regrow), func(t *testing.T) { failOver(t, regrow) })
	}
}

// failOver promotes a replica that lacks five of fifteen events, and to which
// somebody has appended others.
func failOver(t *testing.T, regrow int) {
	t.Helper()
	f := startFailover(t)
	l := openLog(t, f.client, "x", nil)
	second := openLog(t, f.client, "x", nil)
	s, s2 := subscribe(t, l), subscribe(t, second)
	old := appendN(t, l, 1, 10).Epoch
	f.synced(t)
	f.detach(t)
	appendN(t, l, 11, 5)
	events := readAll(t, l, cdc.Cursor{Epoch: old}, 100)
	if len(events) != 15 {
		t.Fatalf("got %d events, want 15", len(events))
	}
	for bounds(t, second).Last != 15 {
		t.Fatal("the second handle does not see 15")
	}
	// Somebody who knows nothing makes the promoted replica grow.
	stranger := openLog(t, newClient(t, f.replica), "x", nil)
	appendN(t, stranger, 100, regrow)
	f.promote()

	awaitReset(t, l, events[14].Cursor(old))
	now := bounds(t, l)
	if now.Epoch == old {
		t.Errorf("the epoch is still %s", old)
	}
	if b := bounds(t, second); b.Epoch != now.Epoch {
		t.Errorf("the handles see epochs %s and %s", now.Epoch, b.Epoch)
	}
	for _, sub := range []cdc.Subscription{s, s2} {
		err := next(t, sub)
		for err == nil {
			err = next(t, sub)
		}
		_ = wantReset(t, err, cdc.ReasonEpochChanged)
	}
	if r := appendN(t, stranger, 200, 1); r.Epoch != now.Epoch || r.Seqs[0] != uint64(10+regrow+1) {
		t.Errorf("got %+v, want seq %d of %s", r, 11+regrow, now.Epoch)
	}
}

// awaitReset reads from the cursor of a lost event until it is refused: no read
// may accept it, but the promotion may take a while.
func awaitReset(t *testing.T, l *redislog.Log, lost cdc.Cursor) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		_, err := l.Read(t.Context(), lost, 10)
		if _, ok := errors.AsType[*cdc.ResetError](err); ok {
			break
		}
		if err == nil {
			t.Fatal("a cursor of a lost event was accepted")
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// The one who appends may be the first to come back.
func TestFailoverNoticedByAppend(t *testing.T) {
	t.Parallel()
	f, l, old := startLagging(t)
	appendN(t, l, 11, 5)
	f.promote()
	var r cdc.Receipt
	err := errors.New("not tried")
	for range 200 {
		if r, err = l.Append(t.Context(), cdc.Event{ID: "retry"}); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil || r.Epoch == old || r.Seqs[0] != 11 {
		t.Fatalf("got %+v, %v, want seq 11 of another epoch than %s", r, err, old)
	}
}

// New connections may reach another master while no call has failed: the next
// one, whichever it is, finds out by an event that both have differently.
func TestAnotherMasterWithoutAnError(t *testing.T) {
	t.Parallel()
	for what, call := range map[string]func(*redislog.Log, cdc.Cursor) error{
		"append": func(l *redislog.Log, _ cdc.Cursor) error {
			_, err := l.Append(t.Context(), cdc.Event{Type: "next"})
			return err
		},
		"bounds": func(l *redislog.Log, _ cdc.Cursor) error {
			_, err := l.Bounds(t.Context())
			return err
		},
		"read": func(l *redislog.Log, beginning cdc.Cursor) error {
			_, err := l.Read(t.Context(), beginning, 100)
			if _, ok := errors.AsType[*cdc.ResetError](err); !ok {
				return fmt.Errorf("got %v, want a reset", err)
			}
			return nil
		},
	} {
		for batch, add := range map[string]func(testing.TB, *redislog.Log, int) cdc.Receipt{"singly": appendSingly, "in batches": appendBatch} {
			t.Run(what+"/"+batch, func(t *testing.T) {
				t.Parallel()
				switchMaster(t, add, call)
			})
		}
	}
}

func appendSingly(t testing.TB, l *redislog.Log, n int) cdc.Receipt {
	t.Helper()
	return appendN(t, l, 1, n)
}

// switchMaster has new connections reach the replica, which has the same number
// of events and more, when no call has failed; call must notice it.
func switchMaster(t *testing.T, add func(testing.TB, *redislog.Log, int) cdc.Receipt, call func(*redislog.Log, cdc.Cursor) error) {
	t.Helper()
	f := startFailover(t)
	// A connection that is not in use is closed and another one made.
	client := redis.NewClient(&redis.Options{Addr: f.proxy.Addr, MaxRetries: -1, ConnMaxIdleTime: time.Millisecond})
	t.Cleanup(func() { _ = client.Close() })
	l := openLog(t, client, "x", nil)
	old := appendN(t, l, 1, 10).Epoch
	f.synced(t)
	f.detach(t)
	add(t, l, 5)
	stranger := openLog(t, newClient(t, f.replica), "x", nil)
	if r := add(t, stranger, 9); r.Epoch != old { // knows of no loss
		t.Fatalf("got epoch %s, want %s", r.Epoch, old)
	}
	f.proxy.Point(f.replica.Addr)
	time.Sleep(10 * time.Millisecond)

	if err := call(l, cdc.Cursor{Epoch: old}); err != nil {
		t.Fatal(err)
	}
	if b := bounds(t, stranger); b.Epoch == old {
		t.Errorf("the log has the epoch %s still, and events 11 to 15 that are not those acknowledged", old)
	}
}
