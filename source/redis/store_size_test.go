package redislog_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// TestStoreSharesScripts: an open log is small, because what is the same for all
// logs belongs to the Store.
func TestStoreSharesScripts(t *testing.T) {
	const logs, most = 200, 12 << 10
	s := newStore(t, newClient(t, testserver.StartRedis(t)))
	open := make([]*redislog.Log, 0, logs+1)
	open = append(open, in(t, s, "first")) // and what the client makes for the first
	before := heap()
	for i := range logs {
		open = append(open, in(t, s, fmt.Sprint(i)))
	}
	if each := (heap() - before) / logs; each > most {
		t.Errorf("an open log has %d bytes, want at most %d", each, most)
	}
	runtime.KeepAlive(open)
}

func heap() int64 {
	var m runtime.MemStats
	for range 2 { // pools keep for one collection what nobody uses
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
