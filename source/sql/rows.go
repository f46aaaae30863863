package sqllog

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// A page is read by one statement, so that it and the bounds are of one view:
//
//	seq, id,    topic, type, key,  time, data, meta
//	0,   epoch, floor, head, last, NULL, NULL, "<pending> <stored> <current>"   the state
//	…                                                                           the events

// state is the row of our head table, with what the store says about itself.
type state struct {
	bounds  cdc.Bounds
	pending bool   // there are committed events that have no seq yet
	stored  string // the server that the head table was last used on, "-" where servers have no identity
	current string // the identity of this server and its history; replicaServer on a replica
}

// replicaServer stands for a server that is not a primary.
const replicaServer = "replica"

// row is one row of a page; its layout is above.
type row struct {
	seq                 int64
	id, topic, typ, key sql.NullString
	time                any
	data                []byte
	meta                sql.NullString
}

func (r *row) scan(rows *sql.Rows) error {
	r.data = nil
	return rows.Scan(&r.seq, &r.id, &r.topic, &r.typ, &r.key, &r.time, &r.data, &r.meta)
}

// state reads the row as the first row of a page.
func (r *row) state() (state, error) {
	var s state
	var err error
	s.bounds.Epoch = r.id.String
	number := func(text string) uint64 {
		n, e := strconv.ParseUint(text, 10, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("the head table holds %q where a number belongs", text)
		}
		return n
	}
	s.bounds.Floor = number(r.topic.String)
	s.bounds.Head = max(number(r.typ.String), s.bounds.Floor)
	s.bounds.Last = max(number(r.key.String), s.bounds.Head)
	if words := strings.Split(r.meta.String, " "); len(words) == 3 {
		s.pending, s.stored, s.current = words[0] == "1", words[1], words[2]
	} else if err == nil {
		err = fmt.Errorf("the head table holds %q where the server's identity belongs", r.meta.String)
	}
	return s, err
}

// event reads the row as an event.
func (r *row) event() (cdc.Event, error) {
	e := cdc.Event{
		Seq: uint64(r.seq), ID: r.id.String, Topic: r.topic.String, Type: r.typ.String, Key: r.key.String, Data: r.data,
	}
	var err error
	if e.Time, err = parseTime(r.time); err != nil {
		return e, fmt.Errorf("event %d: %w", r.seq, err)
	}
	if r.meta.Valid && r.meta.String != "" && r.meta.String != "{}" {
		if e.Meta, err = parseMeta(r.meta.String); err != nil {
			return e, fmt.Errorf("event %d: %w", r.seq, err)
		}
	}
	return e, nil
}

// parseMeta reads a JSON object; values that are no strings, as other programs
// may have written them, are kept as their JSON text.
func parseMeta(text string) (map[string]string, error) {
	var meta map[string]string
	if json.Unmarshal([]byte(text), &meta) == nil {
		return meta, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("meta is no JSON object: %.80q", text)
	}
	meta = make(map[string]string, len(raw))
	for k, v := range raw {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		meta[k] = s
	}
	return meta, nil
}

func formatMeta(meta map[string]string) any {
	if len(meta) == 0 {
		return nil
	}
	text, _ := json.Marshal(meta) // a map of strings always encodes
	return string(text)
}

var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02",
}

// parseTime reads what a driver makes of a time column: a time, a text, or a
// number of seconds, milliseconds or microseconds, told apart by its size.
func parseTime(v any) (time.Time, error) {
	switch v := v.(type) {
	case nil:
		return time.Time{}, nil
	case time.Time:
		return v.UTC().Truncate(time.Microsecond), nil
	case int64:
		return unixTime(v), nil
	case float64:
		return time.UnixMicro(int64(math.Round(v * 1e6))).UTC(), nil
	case []byte:
		return parseTimeText(string(v))
	case string:
		return parseTimeText(v)
	}
	return time.Time{}, fmt.Errorf("a time column holds a %T", v)
}

func parseTimeText(text string) (time.Time, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return unixTime(n), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Truncate(time.Microsecond), nil
		}
	}
	return time.Time{}, fmt.Errorf("a time column holds %.40q, which is no time", text)
}

func unixTime(n int64) time.Time {
	switch size := max(n, -n); {
	case size < 1e11:
		return time.Unix(n, 0).UTC()
	case size < 1e14:
		return time.UnixMilli(n).UTC()
	}
	return time.UnixMicro(n).UTC()
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

// rowPage is what a page's statement returned.
type rowPage struct {
	state  state
	at     *cdc.Event // the event at the cursor
	events []cdc.Event
	full   bool // ended by the limit or by its size: there may be more
}

// collect reads the rows of a statement that was asked for `asked` events
// above after, and perhaps the one at it, and returns at most limit of them.
func (s *sizer) collect(rows *sql.Rows, after uint64, asked, limit int) (rowPage, error) {
	defer func() { _ = rows.Close() }() // only frees it
	var p rowPage
	var r row
	found, bytes, seen, last := false, 0, 0, after
	for rows.Next() {
		if err := r.scan(rows); err != nil {
			return p, err
		}
		if r.seq == 0 {
			st, err := r.state()
			if err != nil {
				return p, err
			}
			p.state, found = st, true
			continue
		}
		e, err := r.event()
		if err != nil {
			return p, err
		}
		if e.Seq == after {
			p.at = &e
			continue
		}
		if e.Seq <= last { // a union promises no order between its rows
			return p, fmt.Errorf("the database returned event %d after event %d", e.Seq, last)
		}
		last = e.Seq
		seen++
		if bytes >= cdc.PageBytes || len(p.events) == limit {
			p.full = true
			break
		}
		bytes += e.Size()
		p.events = append(p.events, e)
	}
	if err := rows.Err(); err != nil && !p.full {
		return p, err
	}
	if !found {
		return p, errNoHead
	}
	p.full = p.full || seen >= asked
	s.seen(bytes, len(p.events))
	return p, nil
}
