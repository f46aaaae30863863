package redislog

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// Entry is one entry of a stream that other programs write.
type Entry struct {
	ID     string    // <ms>-<n>
	Time   time.Time // of its ID, UTC
	Fields []string  // names and values in their order
}

// StreamOptions of [OpenStream]; nil means the defaults.
type StreamOptions struct {
	// Event makes an event of an entry. Seq is set afterwards, ID and Time too if
	// they are zero. It must always return the same for the same entry, because
	// the tag of a cursor is taken from the event. nil means that Data is a JSON
	// object of the fields.
	Event func(Entry) cdc.Event

	// IgnoreDeleted says that entries which XDEL removed are not missed. By
	// default one above a cursor is a reset: something was there.
	IgnoreDeleted bool
}

// Stream is a stream that other programs write with XADD, as a read-only
// [cdc.Log]. All its methods may be called concurrently. Use [OpenStream].
type Stream struct {
	handle
	opts  StreamOptions
	epoch string
	// rewinds counts how often this process saw the stream go back.
	rewinds atomic.Int64
	average atomic.Int64 // bytes of an event of the last page, 0 if none was read
}

var _ cdc.Log = (*Stream)(nil)

// String names the kind of store and the key.
func (s *Stream) String() string { return "redis " + s.stream }

// OpenStream opens a stream that other programs write, with ids as XADD * makes
// them. It never writes, and the stream need not exist yet. An id <ms>-<n> is the
// seq ms<<22 | n.
//
// Nothing is stored for it, so less can be promised than for a [Log]. Its epoch
// is made from the key: a stream that was deleted and written again is noticed
// by the tag in a cursor, and by who was following. Of what was removed only the
// newest is known: a cursor whose own entry was trimmed is truncated even if
// nothing behind it was. See docs/redis.md.
func OpenStream(ctx context.Context, client redis.UniversalClient, key string, opts *StreamOptions) (*Stream, error) {
	s := &Stream{epoch: epochOf(key)}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Event == nil {
		s.opts.Event = jsonEvent
	}
	err := s.init(client, key, nil, s.look)
	if err == nil {
		_, err = await(ctx, func(ctx context.Context) (cdc.Bounds, error) {
			if _, err := checkServer(ctx, s.node, nil); err != nil {
				return cdc.Bounds{}, err
			}
			return s.current(ctx)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("redis: open stream %q: %w", key, explain(err))
	}
	return s, nil
}

func epochOf(key string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // cannot fail
	return "s" + strconv.FormatUint(h.Sum64(), 36)
}

// jsonEvent is the default of StreamOptions.Event.
func jsonEvent(e Entry) cdc.Event {
	fields := map[string]string{}
	for pair := range slices.Chunk(e.Fields, 2) {
		fields[pair[0]] = pair[1]
	}
	data, _ := json.Marshal(fields) // a map of strings always has a JSON form
	return cdc.Event{Data: data}
}

// Close ends every subscription with [cdc.ErrClosed] and closes the stream's own
// connection. It is idempotent.
func (s *Stream) Close() error {
	s.end()
	s.background.Wait()
	return nil
}

// Bounds implements [cdc.Source].
func (s *Stream) Bounds(ctx context.Context) (cdc.Bounds, error) {
	return call(ctx, &s.handle, "bounds", s.current)
}

// Subscribe implements [cdc.Subscriber], as [Log.Subscribe] does.
func (s *Stream) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	return s.subscribe(ctx, s.current)
}

// Read implements [cdc.Source].
func (s *Stream) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return call(ctx, &s.handle, "read", func(ctx context.Context) (cdc.Page, error) {
		return s.read(ctx, after, max(limit, 1))
	})
}

func (s *Stream) current(ctx context.Context) (cdc.Bounds, error) {
	v, err := s.view(ctx, s.client, nil)
	return v.bounds, err
}

func (s *Stream) look(ctx context.Context, conn *redis.Client) (string, error) {
	v, err := s.view(ctx, conn, nil)
	return seqID(v.bounds.Last), err
}

func (s *Stream) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	average := s.average.Load()
	if average == 0 {
		limit, average = min(limit, 64), 1
	}
	count := min(limit, int(cdc.PageBytes/average)+1)
	v, err := s.view(ctx, s.client, []any{"XRANGE", s.stream, seqID(after.Seq), "+", "COUNT", count + 1})
	if err != nil {
		return cdc.Page{}, err
	}
	if err := v.bounds.Check(after); err != nil {
		return cdc.Page{}, err
	}
	events, err := s.parse(v.page.raw)
	v.page.release()
	if err != nil {
		return cdc.Page{}, err
	}
	var at *cdc.Event
	if len(events) > 0 && events[0].Seq == after.Seq {
		at, events = &events[0], events[1:]
	}
	if err := s.checkCursor(v, after, at); err != nil {
		return cdc.Page{}, err
	}
	return s.page(after, events[:min(len(events), count)]), nil
}

// checkCursor says whether nothing behind the cursor was removed.
func (s *Stream) checkCursor(v streamView, after cdc.Cursor, at *cdc.Event) error {
	switch {
	case at != nil || !v.removed:
		return v.bounds.CheckTag(after, at)
	case after.Seq <= v.bounds.Floor || s.opts.IgnoreDeleted:
		return nil
	}
	b := v.bounds
	b.Floor = after.Seq + 1 // its entry is gone, and perhaps others behind it
	return b.Check(after)
}

func (s *Stream) page(after cdc.Cursor, events []cdc.Event) cdc.Page {
	page := cdc.Page{Next: after.Seq}
	size := 0
	for _, e := range events {
		if size >= cdc.PageBytes {
			break
		}
		size += e.Size()
		page.Events = append(page.Events, e)
		page.Next = e.Seq
	}
	if n := len(page.Events); n > 0 {
		s.average.Store(int64(max(size/n, 1)))
	}
	return page
}

// parse makes events of a reply to XRANGE.
func (s *Stream) parse(raw []byte) ([]cdc.Event, error) {
	p := parser{rest: raw}
	events := make([]cdc.Event, 0, 64)
	for range p.array() {
		if p.array() != 2 {
			return nil, errReply
		}
		entry := Entry{ID: string(p.bulk())}
		for range p.array() {
			entry.Fields = append(entry.Fields, string(p.bulk()))
		}
		if p.err != nil {
			return nil, p.err
		}
		seq, err := idSeq(entry.ID)
		if err != nil {
			return nil, err
		}
		entry.Time = time.UnixMilli(int64(seq >> bitsPerMilli)).UTC()
		e := s.opts.Event(entry)
		e.Seq = seq
		if e.ID == "" {
			e.ID = entry.ID
		}
		if e.Time.IsZero() {
			e.Time = entry.Time
		}
		events = append(events, e)
	}
	return events, p.err
}

// A seq has 42 bits of milliseconds, good until the year 2109, and 22 bits for
// the entries of one of them.
const (
	bitsPerMilli = 22
	maxMilli     = 1<<(64-bitsPerMilli) - 1
	maxPerMilli  = 1<<bitsPerMilli - 1
)

// idSeq is the seq of an id.
func idSeq(id string) (uint64, error) {
	milli, n, _ := strings.Cut(id, "-")
	ms, err1 := strconv.ParseUint(milli, 10, 64)
	i, err2 := strconv.ParseUint(n, 10, 64)
	if err1 != nil || err2 != nil || ms > maxMilli || i > maxPerMilli {
		return 0, fmt.Errorf("entry %q has no id as XADD * makes them (up to %d-%d): it cannot be a cursor", id, uint64(maxMilli), maxPerMilli)
	}
	return ms<<bitsPerMilli | i, nil
}

// seqID is the id of a seq.
func seqID(seq uint64) string {
	return strconv.FormatUint(seq>>bitsPerMilli, 10) + "-" + strconv.FormatUint(seq&maxPerMilli, 10)
}
