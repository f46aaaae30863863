package jetstreamlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
)

// Bounds implements [cdc.Source]: the stream's leader answers.
func (h *handle) Bounds(ctx context.Context) (cdc.Bounds, error) {
	return ask(ctx, h, "bounds", func(ctx context.Context) (cdc.Bounds, error) {
		return h.current(ctx, cdc.Cursor{}, false)
	})
}

// Read implements [cdc.Source]. Any replica answers. Messages that other programs
// removed are found by the sequences, which have no holes: it is a
// [*cdc.ResetError] with [cdc.ReasonTruncated] for every cursor below them.
func (h *handle) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return ask(ctx, h, "read", func(ctx context.Context) (cdc.Page, error) {
		return h.read(ctx, after, max(limit, 1))
	})
}

// read takes the events first and the bounds afterwards: an epoch never comes
// back, so a log that still has the cursor's had it when the events were taken,
// and whatever a purge removed before that is below the floor.
func (h *handle) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	from := max(after.Seq, after.Seq+1) // it may be the highest of all numbers
	if after.Tag != "" && after.Seq > 0 {
		from = after.Seq
	}
	request := get{Seq: from, Batch: min(limit, math.MaxInt32) + 1, MaxBytes: cdc.PageBytes}
	events, more, err := h.events(ctx, request)
	if err == nil && more && len(events) == 1 && events[0].Seq == after.Seq { // its own event has filled the answer
		var rest []cdc.Event
		request.Seq++
		rest, _, err = h.events(ctx, request)
		events = append(events, rest...)
	}
	if err != nil {
		return cdc.Page{}, h.unanswered(ctx, err)
	}
	b, err := h.current(ctx, after, h.advanceMark(after, events))
	if err != nil {
		return cdc.Page{}, err
	}
	if err := b.Check(after); err != nil {
		return cdc.Page{}, err
	}
	if n := len(events); n > 0 && events[n-1].Seq > b.Head {
		return cdc.Page{}, errBehind // the leader
	}
	var at *cdc.Event
	if len(events) > 0 && events[0].Seq == after.Seq {
		at, events = &events[0], events[1:]
	}
	mustHaveOwn := from == after.Seq && after.Seq > b.Floor
	switch {
	case len(events) == 0 && after.Seq < b.Head:
		return h.nothing(ctx, b, after, after.Seq+1)
	case len(events) == 0 && at == nil && after.Seq == b.Head && mustHaveOwn:
		return h.nothing(ctx, b, after, after.Seq)
	case at == nil && h.ignoreDeleted:
	default:
		if err := b.CheckTag(after, at); err != nil {
			return cdc.Page{}, err
		}
	}
	return h.page(b, after, events[:min(len(events), limit)])
}

// page ends at about cdc.PageBytes, and before a hole.
func (h *handle) page(b cdc.Bounds, after cdc.Cursor, events []cdc.Event) (cdc.Page, error) {
	page := cdc.Page{Next: after.Seq}
	size := 0
	for i, e := range events {
		if e.Seq != page.Next+1 && !h.ignoreDeleted {
			if i == 0 {
				return cdc.Page{}, hole(b, after, e.Seq)
			}
			break
		}
		if size >= cdc.PageBytes {
			break
		}
		size += e.Size()
		page.Events, page.Next = events[:i+1:i+1], e.Seq
	}
	return page, nil
}

// hole is the reset for a cursor behind which messages are missing up to next.
func hole(b cdc.Bounds, after cdc.Cursor, next uint64) error {
	b.Floor = next - 1
	return b.Reset(cdc.ReasonTruncated, after.String())
}

// nothing decides what it means that a replica has no event from a seq on though
// the head is not below it: the replica is behind, or they were removed. Only the
// leader knows.
func (h *handle) nothing(ctx context.Context, b cdc.Bounds, after cdc.Cursor, from uint64) (cdc.Page, error) {
	m, found, err := h.stored(ctx, from, ">")
	if err != nil {
		return cdc.Page{}, err
	}
	next := b.Head + 1
	if found {
		next = m.Seq
	}
	switch {
	case next == from:
		return cdc.Page{}, errBehind
	case h.ignoreDeleted:
		return cdc.Page{Next: max(after.Seq, min(next-1, b.Head))}, nil
	case from == after.Seq:
		return cdc.Page{}, b.CheckTag(after, nil)
	}
	return cdc.Page{}, hole(b, after, next)
}

// storedMessage is what the server says of a message beside its data.
type storedMessage struct {
	Seq     uint64    `json:"seq"`
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
}

// stored asks the stream's leader for the message with the seq, or for the first
// from there on that has the subject, if that is not empty.
func (h *handle) stored(ctx context.Context, seq uint64, subject string) (m storedMessage, found bool, err error) {
	request := struct {
		Seq  uint64 `json:"seq"`
		Next string `json:"next_by_subj,omitempty"`
	}{seq, subject}
	var answer struct {
		Message storedMessage `json:"message"`
	}
	err = h.api(ctx, "STREAM.MSG.GET", request, &answer)
	if code(err) == jetstream.JSErrCodeMessageNotFound {
		return storedMessage{}, false, nil
	}
	return answer.Message, err == nil, err
}

// current returns the bounds as the stream's leader has them. A leader that has
// less than it or the cursor's reader had before has lost it if it has a quorum
// and has led for a while; without one it is a former leader, and a new one may
// not have applied everything yet: both are asked again. A log that has lost what
// this process knows gets another epoch: a cursor without a tag has no other way
// to be told. checked says that the marks need not be looked for.
func (h *handle) current(ctx context.Context, cursor cdc.Cursor, checked bool) (cdc.Bounds, error) {
	before, kept := h.remembered(), h.currentMarks()
	info, err := h.info(ctx)
	if err != nil {
		return cdc.Bounds{}, err
	}
	epoch, err := h.epochOf(info)
	if err != nil {
		return cdc.Bounds{}, err
	}
	last := info.State.LastSeq
	b := cdc.Bounds{Epoch: epoch, Floor: max(info.State.FirstSeq, 1) - 1, Head: last, Last: last}
	shrunk := epoch == before.Epoch && last < before.Last // this process has seen more
	if gone := shrunk || epoch == cursor.Epoch && last < cursor.Seq; gone && (!hasQuorum(info.Cluster) || !hasSettled(info)) {
		return cdc.Bounds{}, errBehind
	}
	if h.renews && shrunk {
		return h.replaceEpoch(ctx, epoch)
	}
	if h.renews && !checked && hasQuorum(info.Cluster) {
		lost, err := h.wentBack(ctx, kept, b, info.State.LastTime.Truncate(time.Microsecond))
		if err != nil {
			return cdc.Bounds{}, err
		}
		if lost {
			return h.replaceEpoch(ctx, epoch)
		}
	}
	h.remember(before, b)
	return b, nil
}

// hasQuorum reports whether most replicas have answered the leader since another
// one could have been elected.
func hasQuorum(c *jetstream.ClusterInfo) bool {
	if c == nil {
		return true
	}
	const election = 3 * time.Second // the shortest is 4 s
	votes := 1
	for _, r := range c.Replicas {
		if !r.Offline && r.Active < election {
			votes++
		}
	}
	return votes > (len(c.Replicas)+1)/2
}

// hasSettled reports whether the answer is of a leader that had the time to apply
// what the one before it had acknowledged; a single replica has nothing to apply.
// One that does not say since when it leads is none any more.
func hasSettled(info *jetstream.StreamInfo) bool {
	const applied = 2 * time.Second // it is milliseconds where the machines have time
	c := info.Cluster
	if c == nil || info.Config.Replicas <= 1 {
		return true
	}
	return c.LeaderSince != nil && info.TimeStamp.Sub(*c.LeaderSince) >= applied
}

func (h *handle) remembered() cdc.Bounds {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newest
}

// remember takes note of an answer to what was asked when before was the newest.
func (h *handle) remember(before, b cdc.Bounds) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.newest == before || h.newest.Epoch == b.Epoch && b.Last > h.newest.Last {
		h.newest = b
	}
}

// get is a request for several messages: of a range, or the last of each subject.
type get struct {
	Seq      uint64   `json:"seq,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
	Last     []string `json:"multi_last,omitempty"`
}

// events returns what one replica has, in order. It may be less than all: more
// says that the replica has some behind them.
func (h *handle) events(ctx context.Context, request get) (events []cdc.Event, more bool, err error) {
	msgs, more, err := h.messages(ctx, request)
	if err != nil {
		return nil, false, err
	}
	events = make([]cdc.Event, len(msgs))
	for i, msg := range msgs {
		if events[i], err = h.event(msg); err != nil {
			return nil, false, err
		}
	}
	return events, more, nil
}

// headerPending, of the message that ends an answer, has how many the replica has
// behind it; nats.go has no name for it.
const headerPending = "Nats-Num-Pending"

func (h *handle) messages(ctx context.Context, request get) (msgs []*nats.Msg, more bool, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, false, err
	}
	sub, err := h.conn.SubscribeSync(h.conn.NewInbox())
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	if err := h.conn.PublishRequest(h.prefix+"DIRECT.GET."+h.name, sub.Subject, body); err != nil {
		return nil, false, err
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, err
		}
		if added(msg, jetstream.SequenceHeader) == "" {
			pending := added(msg, headerPending)
			return msgs, pending != "" && pending != "0", status(msg)
		}
		msgs = append(msgs, msg)
	}
}

// status is the error of a message that ends an answer.
func status(msg *nats.Msg) error {
	switch s := msg.Header.Get("Status"); s {
	case "204", "404": // the end, nothing there
		return nil
	case "503":
		return nats.ErrNoResponders
	default:
		return fmt.Errorf("the server answered %s %s", s, msg.Header.Get("Description"))
	}
}

func (h *handle) event(msg *nats.Msg) (cdc.Event, error) {
	seq, err1 := strconv.ParseUint(added(msg, jetstream.SequenceHeader), 10, 64)
	at, err2 := time.Parse(time.RFC3339Nano, added(msg, jetstream.TimeStampHeaer))
	if err := errors.Join(err1, err2); err != nil {
		return cdc.Event{}, fmt.Errorf("the server answered a message with the headers %v: %w", msg.Header, err)
	}
	e, err := h.eventOf(msg)
	if err != nil {
		return cdc.Event{}, fmt.Errorf("message %d: %w", seq, err)
	}
	e.Seq = seq
	if e.Time.IsZero() {
		e.Time = at
	}
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	return e, nil
}

// added is a header that the server has added behind those of the message, which
// may have one of that name.
func added(msg *nats.Msg, key string) string {
	values := msg.Header[key]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
