package engine

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
)

// A page is read by one statement, so that it and the bounds are of one view:
//
//	seq, id,    topic, type, key,  time, data, meta
//	0,   epoch, floor, head, last, NULL, NULL, "<pending> <stored> <current>"   the state
//	…                                                                           the events
//
// The rows of a union cost MySQL and MariaDB a third more than those of a plain
// SELECT. So there the state may stand in a ninth column of the first event,
// "<epoch> <floor> <head> <last> <pending> <stored> <current>".

// State is the row of our head table, with what the store says about itself.
type State struct {
	Bounds  cdc.Bounds
	Pending bool   // there are committed events that have no seq yet
	Stored  string // the server that the head table was last used on, "-" where servers have no identity
	Current string // the identity of this server and its history; ReplicaServer on a replica
}

// ReplicaServer stands for a server that is not a primary.
const ReplicaServer = "replica"

// row is one row of a page; its layout is above.
type row struct {
	seq                 int64
	id, topic, typ, key sql.NullString
	time                any
	data                []byte
	meta                sql.NullString
	beside              sql.NullString // the state, where it has no row of its own

	fields []any // that the columns are scanned into
}

func (r *row) scan(rows *sql.Rows) error {
	if r.fields == nil {
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		all := []any{&r.seq, &r.id, &r.topic, &r.typ, &r.key, &r.time, &r.data, &r.meta, &r.beside}
		r.fields = all[:len(columns)]
	}
	r.data = nil
	return rows.Scan(r.fields...)
}

// state reads the state, if the row has it.
func (r *row) state() (s State, has bool, err error) {
	if r.seq > 0 && !r.beside.Valid {
		return s, false, nil
	}
	words := []string{r.id.String, r.topic.String, r.typ.String, r.key.String, r.meta.String}
	if r.beside.Valid {
		words = strings.SplitN(r.beside.String, " ", len(words))
	}
	if len(words) < 5 || strings.Count(words[4], " ") != 2 {
		return s, false, fmt.Errorf("the head table holds %q where the server's identity belongs", words[len(words)-1])
	}
	number := func(text string) uint64 {
		n, e := strconv.ParseUint(text, 10, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("the head table holds %q where a number belongs", text)
		}
		return n
	}
	s.Bounds.Epoch = words[0]
	s.Bounds.Floor = number(words[1])
	s.Bounds.Head = max(number(words[2]), s.Bounds.Floor)
	s.Bounds.Last = max(number(words[3]), s.Bounds.Head)
	server := strings.Split(words[4], " ")
	s.Pending, s.Stored, s.Current = server[0] == "1", server[1], server[2]
	return s, true, err
}

// event reads the row as an event. Whatever another program has written into it,
// there is one: a row that is an error would stop every reader for ever.
func (r *row) event() cdc.Event {
	e := cdc.Event{
		Seq: uint64(r.seq), ID: r.id.String, Topic: r.topic.String, Type: r.typ.String, Key: r.key.String, Data: r.data,
	}
	e.Time = parseTime(r.time)
	if r.meta.Valid && r.meta.String != "" && r.meta.String != "{}" {
		e.Meta = parseMeta(r.meta.String)
	}
	return e
}

// unreadableMeta is the key of a Meta that is no JSON object: its value is the
// text as it is stored.
const unreadableMeta = "cdc.unreadable-meta"

// parseMeta reads a JSON object; values that are no strings, as other programs
// may have written them, are kept as their JSON text.
func parseMeta(text string) map[string]string {
	var meta map[string]string
	if json.Unmarshal([]byte(text), &meta) == nil {
		return meta
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &raw) != nil {
		return map[string]string{unreadableMeta: strings.ToValidUTF8(text, "\ufffd")}
	}
	meta = make(map[string]string, len(raw))
	for k, v := range raw {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		meta[k] = s
	}
	return meta
}

func formatMeta(meta map[string]string) any {
	if len(meta) == 0 {
		return nil
	}
	text, _ := json.Marshal(meta) // a map of strings always encodes
	return string(text)
}

// sizer guesses how many rows make a page, so that the store does not send
// many that are thrown away.
type sizer struct {
	average atomic.Int64 // bytes of an event lately; 0: unknown
}

// rows is how many rows to ask for when at most limit are wanted.
func (s *sizer) rows(limit int) int {
	average := s.average.Load()
	if average == 0 {
		return min(limit, 128)
	}
	return min(limit, int(cdc.PageBytes*5/4/average)+8)
}

func (s *sizer) seen(bytes, events int) {
	if events > 0 {
		s.average.Store((s.average.Load() + int64(bytes/events)) / 2)
	}
}

// RowPage is what a page's statement returned.
type RowPage struct {
	State  State
	At     *cdc.Event // the event at the cursor
	Events []cdc.Event
	Full   bool // ended by the limit or by its size: there may be more

	// Of a page that has only the events of some topics.
	byTopic  bool
	Low, Top *cdc.Event // the lowest above the cursor, and the highest, of any topic
}

// collect reads the rows of a statement that was asked for `asked` events
// above after, and perhaps the one at it, and returns at most limit of them.
func (s *sizer) collect(rows *sql.Rows, after uint64, asked, limit int) (RowPage, error) {
	defer func() { _ = rows.Close() }() // only frees it
	var p RowPage
	var r row
	found, bytes, seen, last := false, 0, 0, after
	for rows.Next() {
		if err := r.scan(rows); err != nil {
			return p, err
		}
		st, has, err := r.state()
		if err != nil {
			return p, err
		}
		if has {
			p.State, found = st, true
		}
		if r.seq == 0 {
			continue
		}
		e := r.event()
		if e.Seq == after {
			p.At = &e
			continue
		}
		if e.Seq <= last { // a union promises no order between its rows
			return p, fmt.Errorf("the database returned event %d after event %d", e.Seq, last)
		}
		last = e.Seq
		seen++
		if bytes >= cdc.PageBytes || len(p.Events) == limit {
			p.Full = true
			break
		}
		bytes += e.Size()
		p.Events = append(p.Events, e)
	}
	if err := rows.Err(); err != nil && !p.Full {
		return p, err
	}
	if !found {
		return p, ErrNoHead
	}
	p.Full = p.Full || seen >= asked
	s.seen(bytes, len(p.Events))
	return p, nil
}
