package testserver_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

func dialable(port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestPostgresIsKilledAndRestarted(t *testing.T) {
	p := testserver.StartPostgres(t)
	for range 2 {
		if !dialable(p.Port) {
			t.Fatal("a started server does not accept connections")
		}
		p.Kill()
		if dialable(p.Port) {
			t.Fatal("a killed server accepts connections")
		}
		p.Start(t)
	}
}

func TestMariaDBIsKilledAndRestarted(t *testing.T) {
	m := testserver.StartMariaDB(t)
	m.Kill()
	if dialable(m.Port) {
		t.Fatal("a killed server accepts connections")
	}
	m.Start(t)
	if !dialable(m.Port) {
		t.Fatal("a restarted server does not accept connections")
	}
}
