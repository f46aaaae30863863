package sqllog_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func TestListenDSNThatCannotBeReadIsRefused(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	for _, mode := range []sqllog.Mode{sqllog.Sequencer, sqllog.Fence, sqllog.AtCommit} {
		_, err := sqllog.Open(t.Context(), db, "log_"+strings.ReplaceAll(string(mode), "-", "_"), &sqllog.Options{Mode: mode, ListenDSN: "garbage"})
		if err == nil || !strings.Contains(err.Error(), "ListenDSN") {
			t.Errorf("%s: Open returned %v, want an error that names ListenDSN", mode, err)
		}
	}
}

// TestListenThatDoesNotWorkIsReported: once, however often it is tried, and again
// after it has worked in between.
func TestListenThatDoesNotWorkIsReported(t *testing.T) {
	t.Parallel() // it waits
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	_, other := freshPostgres(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	proxy := testserver.StartProxy(t, serverPort(driver))
	for _, tt := range []struct {
		name, dsn string
		cut       bool
	}{
		{"dead host", at(dsn, serverPort(driver), dead.Addr().(*net.TCPAddr).Port), false},
		{"another database", other, false},
		{"cut", at(dsn, serverPort(driver), proxy.Port), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			errs := make(chan error, 100)
			l := openLog(t, db, sqllog.Options{ListenDSN: tt.dsn, OnError: func(err error) { errs <- err }})
			sub, err := l.Subscribe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Close() }()
			times := 1
			if tt.cut {
				times = 2
			}
			for range times {
				if tt.cut {
					cutWhatWorks(t, proxy, errs)
				}
				wantListenError(t, errs)
			}
			if _, err := l.Append(t.Context(), cdc.Event{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if len(errs) > 0 {
				t.Errorf("OnError was called again: %v", <-errs)
			}
		})
	}
}

// cutWhatWorks cuts the connection of LISTEN once it has worked for a while, of
// which the log is told nothing.
func cutWhatWorks(t *testing.T, proxy *testserver.Proxy, errs <-chan error) {
	t.Helper()
	time.Sleep(2 * time.Second)
	if len(errs) > 0 {
		t.Fatalf("got %v while LISTEN works", <-errs)
	}
	proxy.Cut()
}

func wantListenError(t *testing.T, errs <-chan error) {
	t.Helper()
	select {
	case err := <-errs:
		if !strings.Contains(err.Error(), "LISTEN does not work") {
			t.Errorf("got %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("OnError was not called")
	}
}
