package engine

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
)

// MaxTopics is how many topics are read by the index. To look for more in it
// would take longer than to read pages that all readers share.
const MaxTopics = 100

// Ask is what a reader wants.
type Ask struct {
	After  cdc.Cursor
	Limit  int
	Topics []string // no others; nil: all events
}

// TopicsOf are the topics by which the index finds what the filter selects, but
// for types and keys; ok is false if it cannot. A database may show a text that
// it does not hold, with U+FFFD in it, and such a topic is not looked for.
func TopicsOf(f cdc.Filter) (topics []string, ok bool) {
	if len(f.TopicPrefixes) > 0 || len(f.Topics) == 0 {
		return nil, false
	}
	topics = slices.Compact(slices.Sorted(slices.Values(f.Topics)))
	unfit := func(topic string) bool { return !utf8.ValidString(topic) || strings.ContainsAny(topic, "\x00\uFFFD") }
	return topics, len(topics) <= MaxTopics && !slices.ContainsFunc(topics, unfit)
}

// ReadsTopics implements Engine.
func (t *Base) ReadsTopics() bool { return t.Topics != nil }

// readTopics reads in one statement: the state, the events of the topics, and of
// all topics the event at the cursor, the lowest above it and the highest.
func (t *Base) readTopics(ctx context.Context, a Ask, asked int, args ...int64) (RowPage, error) {
	after := ClampSeq(a.After.Seq)
	selects := []string{t.Topics(a.Topics, int64(ClampSeq(after+1)), asked)}
	seq := t.Settings.Names.Quote("seq")
	if a.After.Tag != "" {
		selects = append(selects, t.Select(Inline(seq+" = "+Number2, 0, int64(after))))
	}
	if t.Dense {
		selects = append(selects, t.Select(Inline(seq+" > "+Number2, 0, int64(after)))+" ORDER BY "+seq+" LIMIT 1")
	}
	selects = append(selects, t.Select("1 = 1")+" ORDER BY "+seq+" DESC LIMIT 1")
	query := t.StateSQL + " UNION ALL SELECT * FROM (" + strings.Join(selects, ") a UNION ALL SELECT * FROM (") + ") a"
	rows, err := t.DB.QueryContext(ctx, Inline(t.recall(query), args...))
	if err != nil {
		return RowPage{}, err
	}
	p := RowPage{byTopic: true}
	events, err := p.scan(rows)
	if err != nil {
		return p, err
	}
	p.sortTopics(a, events, asked)
	bytes := 0
	for _, e := range p.Events {
		bytes += e.Size()
	}
	t.sizer.seen(bytes, len(p.Events))
	return p, nil
}

// scan reads the state, and returns the events as they come.
func (p *RowPage) scan(rows *sql.Rows) (events []cdc.Event, err error) {
	defer func() { _ = rows.Close() }() // only frees it
	var r row
	found := false
	for rows.Next() {
		if err := r.scan(rows); err != nil {
			return nil, err
		}
		if r.seq == 0 {
			if p.State, found, err = r.state(); err != nil {
				return nil, err
			}
			continue
		}
		events = append(events, r.event())
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNoHead
	}
	return events, nil
}

// sortTopics makes the page of the events that were found, some of them twice.
func (p *RowPage) sortTopics(a Ask, events []cdc.Event, asked int) {
	slices.SortFunc(events, func(x, y cdc.Event) int { return cmp.Compare(x.Seq, y.Seq) })
	events = slices.CompactFunc(events, func(x, y cdc.Event) bool { return x.Seq == y.Seq })
	bytes := 0
	for i := range events {
		e := &events[i]
		switch {
		case e.Seq < a.After.Seq:
			continue
		case e.Seq == a.After.Seq:
			p.At = e
			continue
		case p.Low == nil:
			p.Low = e
		}
		p.Top = e
		if !slices.Contains(a.Topics, e.Topic) || p.Full {
			continue
		}
		p.Events = append(p.Events, *e)
		bytes += e.Size()
		p.Full = len(p.Events) == asked || bytes >= cdc.PageBytes
	}
	if p.Top == nil {
		p.Top = p.At
	}
}

// holeAtEnds is hole for a page that has the events of some topics: what was
// removed between two of any other is not seen.
func (p RowPage) holeAtEnds(after uint64) (hole uint64) {
	b := p.State.Bounds
	switch {
	case after >= b.Head:
		return 0
	case p.Low == nil || p.Top.Seq < b.Head:
		return b.Head
	case p.Low.Seq != after+1:
		return p.Low.Seq - 1
	}
	return 0
}
