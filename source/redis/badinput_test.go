package redislog_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// impatient is a client that does not try again by itself.
func impatient(t *testing.T, o redis.Options) *redis.Client {
	t.Helper()
	o.MaxRetries = -1
	c := redis.NewClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wantHint fails unless the error has all texts and is no unknown outcome.
func wantHint(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got error %v, want one with %q", err, text)
		}
	}
	if errors.Is(err, cdc.ErrUnknownOutcome) {
		t.Errorf("got an unknown outcome: %v", err)
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	if err := newClient(t, server).ConfigSet(t.Context(), "requirepass", "right").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := redislog.Open(t.Context(), impatient(t, redis.Options{Addr: server.Addr}), "x", nil)
	wantHint(t, err, "NOAUTH", "set Password")
	_, err = redislog.Open(t.Context(), impatient(t, redis.Options{Addr: server.Addr, Password: "wrong"}), "x", nil)
	wantHint(t, err, "WRONGPASS", "correct Username and Password")
	l := openLog(t, impatient(t, redis.Options{Addr: server.Addr, Password: "right"}), "x", nil)
	s := subscribe(t, l)
	appendN(t, l, 1, 1)
	if err := next(t, s); err != nil {
		t.Fatal(err)
	}
}

func TestClusterDown(t *testing.T) {
	t.Parallel()
	bus, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(bus.Addr().(*net.TCPAddr).Port)
	_ = bus.Close()
	server := testserver.StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", port) // no slots
	_, err = redislog.Open(t.Context(), impatient(t, redis.Options{Addr: server.Addr}), "x", nil)
	wantHint(t, err, "CLUSTERDOWN", "see CLUSTER INFO")
}

func TestBusyScript(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--busy-reply-threshold", "10")
	client := impatient(t, redis.Options{Addr: server.Addr})
	l := openLog(t, client, "x", nil)
	epoch := appendN(t, l, 1, 1).Epoch
	ended := make(chan error)
	go func() { ended <- newClient(t, server).Eval(context.Background(), "while true do end", nil).Err() }()
	untilRefused(t, client, "BUSY")
	_, err := l.Append(t.Context(), cdc.Event{})
	wantHint(t, err, "BUSY", "SCRIPT KILL")
	_, err = l.Read(t.Context(), cdc.Cursor{Epoch: epoch}, 5)
	wantHint(t, err, "BUSY", "SCRIPT KILL")
	_, err = redislog.Open(t.Context(), client, "x", nil)
	wantHint(t, err, "BUSY", "SCRIPT KILL")
	if err := client.ScriptKill(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the script was not killed")
	}
	if r := appendN(t, l, 2, 1); r.Seqs[0] != 2 || r.Epoch != epoch {
		t.Errorf("got %+v, want seq 2 of %s", r, epoch)
	}
}

// untilRefused returns when the server answers everybody with the error.
func untilRefused(t *testing.T, client *redis.Client, prefix string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if redis.HasErrorPrefix(client.Ping(t.Context()).Err(), prefix) {
			return
		}
	}
	t.Fatalf("the server did not answer %s within 20 s", prefix)
}

func TestLoading(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--loading-process-events-interval-bytes", "1024", "--rdbcompression", "no")
	client := impatient(t, redis.Options{Addr: server.Addr})
	l := openLog(t, client, "x", nil)
	epoch := appendN(t, l, 1, 1).Epoch
	for i := range 100 {
		if err := client.Set(t.Context(), strconv.Itoa(i), strings.Repeat("x", 2000), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.ConfigSet(t.Context(), "key-load-delay", "50000").Err(); err != nil { // microseconds
		t.Fatal(err)
	}
	slow := impatient(t, redis.Options{Addr: server.Addr, ReadTimeout: time.Minute})
	ended := make(chan error)
	go func() { ended <- slow.Do(context.Background(), "DEBUG", "RELOAD").Err() }()
	untilRefused(t, client, "LOADING")
	_, err := l.Append(t.Context(), cdc.Event{})
	wantHint(t, err, "LOADING", "try again")
	_, err = redislog.Open(t.Context(), client, "x", nil)
	wantHint(t, err, "LOADING", "try again")
	if err := client.ConfigSet(t.Context(), "key-load-delay", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if r := appendN(t, l, 2, 1); r.Seqs[0] != 2 || r.Epoch != epoch {
		t.Errorf("got %+v, want seq 2 of %s", r, epoch)
	}
}

// A script that begins with memory and ends without it is done whole.
func TestOutOfMemoryInTheMiddle(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t, "--maxmemory-policy", "noeviction"))
	l := openLog(t, client, "x", nil)
	used, err := client.InfoMap(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	now, _ := strconv.Atoi(used["Memory"]["used_memory"])
	if err := client.ConfigSet(t.Context(), "maxmemory", strconv.Itoa(now+(3<<20))).Err(); err != nil {
		t.Fatal(err)
	}
	events := make([]cdc.Event, 500)
	for i := range events {
		events[i] = cdc.Event{ID: strconv.Itoa(i), Data: make([]byte, 1000)}
	}
	added, refused := uint64(0), false
	for round := 0; !refused; round++ {
		for i := range events {
			events[i].ID = strconv.Itoa(round*len(events) + i)
		}
		r, err := l.Append(t.Context(), events...)
		if refused = err != nil; refused {
			wantHint(t, err, "OOM", "maxmemory")
			break
		}
		added = r.Seqs[len(events)-1]
	}
	b := bounds(t, l)
	if b.Head != added || added == 0 {
		t.Errorf("got head %d, want %d: all or nothing", b.Head, added)
	}
	if got := readAll(t, l, cdc.Cursor{Epoch: b.Epoch}, 512); len(got) != int(added) {
		t.Errorf("got %d events, want %d", len(got), added)
	}
	if n := client.HLen(t.Context(), "gapless:{x}").Val(); n != 6+int64(added) {
		t.Errorf("the hash has %d fields, want %d", n, 6+added)
	}
}
