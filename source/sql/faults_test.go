package sqllog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// server is a private one that a test may kill.
type server struct {
	driver string
	port   int
	dsn    func(port int) string
	kill   func()
	start  func()
}

func privatePostgres(t *testing.T) server {
	p := testserver.StartPostgres(t)
	return server{"postgres", p.Port, func(port int) string { return p.DSNAt(port, "postgres") }, p.Kill, func() { p.Start(t) }}
}

func privateMariaDB(t *testing.T) server {
	m := testserver.StartMariaDB(t)
	db := connect(t, "mysql", m.DSN("mysql"))
	mustExec(t, db, "CREATE DATABASE logs")
	return server{"mysql", m.Port, func(port int) string { return m.DSNAt(port, "logs") }, m.Kill, func() { m.Start(t) }}
}

var faultVariants = []struct {
	name string
	opts sqllog.Options
	open func(t *testing.T) server
}{
	{"postgres/sequencer", sqllog.Options{}, privatePostgres},
	{"postgres/fence", sqllog.Options{Mode: sqllog.Fence}, privatePostgres},
	{"postgres/at-commit", sqllog.Options{Mode: sqllog.AtCommit}, privatePostgres},
	{"mariadb", sqllog.Options{}, privateMariaDB},
}

// appendAlways appends through a failing server; the ID makes it safe to
// repeat what may have been committed.
func appendAlways(ctx context.Context, l *sqllog.Log, id string) error {
	for {
		_, err := l.Append(ctx, cdc.Event{ID: id})
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestStreamsSurviveTheServer follows a Hub while the server is killed with -9
// and restarted, and while a proxy cuts all connections: every acknowledged
// event arrives once, in order.
func TestStreamsSurviveTheServer(t *testing.T) {
	for _, v := range faultVariants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			s := v.open(t)
			proxy := testserver.StartProxy(t, s.port)
			opts := v.opts
			if s.driver == "postgres" {
				opts.ListenDSN = s.dsn(proxy.Port)
			}
			db := connect(t, s.driver, s.dsn(proxy.Port))
			writer := openLog(t, db, v.opts)
			reader := openLog(t, connect(t, s.driver, s.dsn(proxy.Port)), opts)
			hub, err := cdc.NewHub(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer hub.Close()

			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			const events = 300
			got := make(chan []string, 1)
			go func() { got <- collectIDs(ctx, hub, events) }()
			for i := range events {
				switch i {
				case 100:
					s.kill()
					s.start()
				case 50, 150, 200:
					proxy.Cut()
				}
				if err := appendAlways(ctx, writer, fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			for i, id := range <-got {
				if id != fmt.Sprint(i) {
					t.Fatalf("event %d on the stream is %s", i, id)
				}
			}
		})
	}
}

// collectIDs follows from the beginning until n events have come.
func collectIDs(ctx context.Context, l cdc.Log, n int) []string {
	var ids []string
	start := cdc.Beginning()
	for ctx.Err() == nil {
		for batch, err := range cdc.Follow(ctx, l, start, nil) {
			if err != nil {
				break // a stream may end with the store; it resumes at its cursor
			}
			for _, e := range batch.Events {
				ids = append(ids, e.ID)
			}
			if len(ids) >= n {
				return ids
			}
			start = cdc.After(batch.Cursor)
		}
	}
	return append(ids, context.Cause(ctx).Error())
}

func TestOpenSaysThatThereIsNoServer(t *testing.T) {
	for driver, dsn := range map[string]string{
		"postgres": "host=127.0.0.1 port=1 user=x dbname=x sslmode=disable",
		"mysql":    "root@tcp(127.0.0.1:1)/x",
	} {
		_, err := sqllog.Open(t.Context(), connect(t, driver, dsn), "change_log", nil)
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: got %v, want the refused connection", driver, err)
		}
	}
}

func TestASubscriptionShowsThatTheServerIsGone(t *testing.T) {
	s := privatePostgres(t)
	l := openLog(t, connect(t, s.driver, s.dsn(s.port)), sqllog.Options{})
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	s.kill()
	for err == nil {
		_, err = sub.Next(t.Context())
	}
	if !strings.Contains(err.Error(), "subscribe again") || errors.Is(err, cdc.ErrClosed) {
		t.Errorf("got %v, want the server's error and what to do", err)
	}
	if _, err := l.Subscribe(t.Context()); err == nil {
		t.Error("Subscribe succeeds without a server")
	}
	s.start()
	again, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatalf("Subscribe after the restart: %v", err)
	}
	defer again.Close()
	if _, err := l.Append(t.Context(), cdc.Event{}); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestListenWakesAtOnce has a reader that polls once an hour, on connections
// that are cut, and frozen so that they are half-open when the log is closed.
func TestListenWakesAtOnce(t *testing.T) {
	s := privatePostgres(t)
	proxy := testserver.StartProxy(t, s.port)
	writer := openLog(t, connect(t, s.driver, s.dsn(s.port)), sqllog.Options{})
	reader, err := sqllog.Open(t.Context(), connect(t, s.driver, s.dsn(s.port)), "change_log", &sqllog.Options{
		ListenDSN: s.dsn(proxy.Port), PollInterval: time.Hour, MaxPollInterval: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := reader.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := reader.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range 10 {
		if i == 5 {
			proxy.Cut()
		}
		if _, err := writer.Append(ctx, cdc.Event{}); err != nil {
			t.Fatal(err)
		}
		for n := 0; n <= i; n = len(readAll(t, reader, cdc.Cursor{Epoch: b.Epoch})) {
			if _, err := sub.Next(ctx); err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
		}
	}
	proxy.Freeze()
	start := time.Now()
	if err := reader.Close(); err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("Close took %v, %v, while LISTEN hangs on a half-open connection", time.Since(start), err)
	}
}
