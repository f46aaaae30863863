package postgres

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// lowWater is how far the passes of this process have emptied the inbox. A row
// that was moved stays in the inbox's index as long as anybody has an old
// snapshot, and reading would pass by all of them.
//
// A pass reads the flushed position of the server's log of writes, lists the
// transactions that hold the lock of an INSERT, and moves what it sees in a
// snapshot that is newer than both. A row below that position got it before the
// position was read, after its transaction had taken the lock. So it is moved,
// or rolled back, or its transaction is listed: low is the position, and writers
// are those listed, each with a bound below which it has no row. One that is
// listed for the first time began after the previous listing, so its bound is
// the low of then. When a writer is no longer listed, a pass begins at its bound.
//
// A position that is not flushed may come again after a crash; hence the flushed
// one, and a pass that commits without a flush learns nothing. The names of
// transactions come again after a restart and on another server, hence the start
// time of the server: of another one nothing is known.
type lowWater struct {
	inbox, quotedInbox string

	mu   sync.Mutex
	text string // of what is known, for the pass
	known
}

// known is what the function of a pass takes and returns.
type known struct {
	Server  string           `json:"server"`
	Low     int64            `json:"low"`
	Writers map[string]int64 `json:"writers"`
}

// The places of what is known in a statement.
const (
	knownPlace   = "\x00K" // a literal for the pass
	pendingPlace = "\x00P" // an expression: are there committed rows?
)

// Learn implements engine.Memory. Whatever a pass has learnt stays right, so
// that passes beside each other may come in any order.
func (w *lowWater) Learn(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var k known
	if json.Unmarshal([]byte(text), &k) != nil { // a pass that has learnt nothing
		return
	}
	w.text, w.known = text, k
}

// Recall implements engine.Memory.
func (w *lowWater) Recall(query string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := "NULL"
	if w.text != "" {
		text = literal(w.text)
	}
	return strings.NewReplacer(knownPlace, text, pendingPlace, w.pending()).Replace(query)
}

// pending must be called with mu held. It is not EXISTS, which would read all
// of the index where that soon knows what is gone.
func (w *lowWater) pending() string {
	look := func(where string) string {
		return "(SELECT true FROM " + w.inbox + where + " ORDER BY pos LIMIT 1)"
	}
	if w.text == "" {
		return look("")
	}
	ended := "false"
	if len(w.Writers) > 0 {
		names := slices.Sorted(maps.Keys(w.Writers))
		for i, name := range names {
			names[i] = literal(name)
		}
		ended = fmt.Sprintf("(SELECT count(*) < %d FROM (%s) held WHERE writer IN (%s))", len(names), writersOf(w.quotedInbox), strings.Join(names, ", "))
	}
	return fmt.Sprintf("CASE WHEN %s = %s THEN coalesce(%s, %s) ELSE %s END",
		serverStart, literal(w.Server), look(fmt.Sprintf(" WHERE pos >= %d", w.Low)), ended, look(""))
}

// serverStart is an expression: when this server was started, as text that no
// setting changes.
const serverStart = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text"

// writersOf lists the transactions of others that hold the lock of an INSERT on
// a table, which is an expression.
func writersOf(table string) string {
	return "SELECT DISTINCT virtualtransaction AS writer FROM pg_locks WHERE locktype = 'relation' AND granted AND mode = 'RowExclusiveLock'" +
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = " + table + "::regclass" +
		" AND pid IS DISTINCT FROM pg_backend_pid()"
}

var _ engine.Memory = (*lowWater)(nil)
