package jetstreamlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
)

// Headers of an atomic batch, which nats.go has no names for.
const (
	headerBatch    = "Nats-Batch-Id"
	headerBatchSeq = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"
)

// Append implements [cdc.Appender]: one event is a message, several are an atomic
// batch. Time is that of the stream's leader.
//
// A message that is not acknowledged is sent again. An error that wraps
// [cdc.ErrUnknownOutcome] means that none was acknowledged in time; any other
// error means that nothing was appended. A retry is safe for events with IDs.
// More than [MaxBatchEvents] or [MaxBatchBytes] are a [*cdc.BatchTooLargeError].
func (l *Log) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	return call(ctx, &l.handle, "append", func(ctx context.Context) (cdc.Receipt, error) {
		if err := cdc.CheckAppend(events, l.opts.MaxEventBytes); err != nil {
			return cdc.Receipt{}, err
		}
		if len(events) == 0 {
			b, err := l.current(ctx, cdc.Cursor{}, false)
			return cdc.Receipt{Epoch: b.Epoch}, err
		}
		a, err := l.newAppending(events)
		if err != nil {
			return cdc.Receipt{}, err
		}
		if err := a.run(ctx); err != nil {
			return cdc.Receipt{}, err
		}
		l.live.Notify()
		return a.receipt(), nil
	})
}

// appending is one call of Append.
type appending struct {
	log    *Log
	epoch  string
	msgs   []message         // that are not in the log, as far as we know; each ID once
	found  map[string]uint64 // by token: seqs of the messages that are in the log
	order  []string          // the token of each event, in the order of the arguments
	added  bool
	unsure bool // a message that was not acknowledged may be in the log
}

// message is one event on its way.
type message struct {
	id, token string
	value     []byte
}

func tooLarge(events []cdc.Event, bytes int) error {
	return &cdc.BatchTooLargeError{Events: len(events), MaxEvents: MaxBatchEvents, Bytes: bytes, MaxBytes: MaxBatchBytes}
}

func (l *Log) newAppending(events []cdc.Event) (*appending, error) {
	a := &appending{log: l, epoch: l.remembered().Epoch, found: map[string]uint64{}}
	bytes, seen := 0, map[string]bool{}
	for i := range events {
		e := &events[i]
		if bytes += e.Size(); bytes > MaxBatchBytes {
			return nil, tooLarge(events, bytes)
		}
		t := token(e.ID)
		a.order = append(a.order, t)
		if seen[t] {
			continue
		}
		seen[t] = true
		value, err := encode(e)
		if err != nil {
			return nil, err
		}
		if most := int(l.conn.MaxPayload()) - maxHeaderBytes; len(value) > most {
			return nil, &cdc.TooLargeError{Index: i, Size: e.Size(), Max: most - (len(value) - e.Size())}
		}
		a.msgs = append(a.msgs, message{e.ID, t, value})
	}
	if len(a.msgs) > MaxBatchEvents {
		return nil, tooLarge(events, 0)
	}
	return a, nil
}

// maxHeaderBytes is more than those of a message have.
const maxHeaderBytes = 256

// run publishes until everything is in the log.
func (a *appending) run(ctx context.Context) error {
	limited, cancel := context.WithTimeoutCause(ctx, a.log.timeout, errNoAnswer)
	defer cancel()
	for wait := newBackoff(); ; {
		_, err := attempt(limited, min(a.log.timeout, attemptTimeout), func(ctx context.Context) (struct{}, error) {
			return struct{}{}, a.publish(ctx)
		})
		a.unsure = a.unsure || errors.Is(err, cdc.ErrUnknownOutcome)
		if conflict(err) {
			err = a.split(limited)
		}
		switch {
		case err == nil:
			return nil
		case (a.unsure || transient(err)) && wait.Wait(limited) == nil:
		case a.unsure && !errors.Is(err, cdc.ErrUnknownOutcome):
			return fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
		default:
			return err
		}
	}
}

// publish sends all messages, so that all or none are stored.
func (a *appending) publish(ctx context.Context) error {
	if n := len(a.msgs); n > 1 {
		select {
		case a.log.batches <- struct{}{}:
			defer func() { <-a.log.batches }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	batch := rand.Text()
	last := len(a.msgs) - 1
	for i := range last {
		if err := a.log.conn.PublishMsg(a.message(batch, i)); err != nil {
			return err // without the last one the server forgets the others
		}
	}
	ack, err := a.log.publish(ctx, a.message(batch, last))
	if err != nil {
		return err
	}
	for i, m := range a.msgs {
		a.found[m.token] = ack.Sequence - uint64(last-i) //nolint:gosec // not negative
	}
	a.added = true
	a.log.appended(mark{epoch: a.epoch, seq: ack.Sequence, subject: subjectOf(a.log.name, a.msgs[last].token)})
	return nil
}

func (a *appending) message(batch string, i int) *nats.Msg {
	m := a.msgs[i]
	msg := &nats.Msg{Subject: subjectOf(a.log.name, m.token), Header: nats.Header{}, Data: m.value}
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	if len(a.msgs) > 1 {
		msg.Header.Set(headerBatch, batch)
		msg.Header.Set(headerBatchSeq, strconv.Itoa(i+1))
		if i == len(a.msgs)-1 {
			msg.Header.Set(headerCommit, "1")
		}
	}
	return msg
}

// publish returns when the server has acknowledged the message. Any error but
// cdc.ErrUnknownOutcome says that it is not stored.
func (l *Log) publish(ctx context.Context, msg *nats.Msg) (jetstream.PubAck, error) {
	var ack jetstream.PubAck
	if l.conn.IsClosed() {
		return ack, nats.ErrConnectionClosed
	}
	reply, err := l.conn.RequestMsgWithContext(ctx, msg)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ack, l.unanswered(ctx, err)
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrReconnectBufExceeded):
		return ack, err
	case err != nil && ctx.Err() != nil:
		return ack, fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, context.Cause(ctx))
	case err != nil:
		return ack, fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
	}
	err = unmarshal(reply.Data, &ack)
	if code(err) == codeStoreFailed {
		err = fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err) // another replica may have stored it
	}
	return ack, err
}

// appended takes note of an acknowledged message. The epoch was read before it
// was sent.
func (l *Log) appended(m mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newest.Epoch != m.epoch {
		return
	}
	if m.seq > l.newest.Last {
		l.newest.Head, l.newest.Last = m.seq, m.seq
	}
	if acked := &l.marks.acked; acked.epoch != m.epoch || m.seq > acked.seq {
		*acked = m
	}
}

// split takes the messages out that the log has.
func (a *appending) split(ctx context.Context) error {
	subjects := make([]string, len(a.msgs))
	for i, m := range a.msgs {
		subjects[i] = subjectOf(a.log.name, m.token)
	}
	found, _, err := a.log.messages(ctx, get{Last: subjects})
	if err != nil {
		return err
	}
	for _, msg := range found {
		e, err := a.log.event(msg)
		if err != nil {
			return err
		}
		subject := added(msg, jetstream.SubjectHeader)
		i := slices.Index(subjects, subject)
		if i < 0 || a.msgs[i].id != e.ID {
			return fmt.Errorf("message %d has the subject of another ID: another program published it", e.Seq)
		}
		a.found[a.msgs[i].token] = e.Seq
	}
	a.msgs = slices.DeleteFunc(a.msgs, func(m message) bool { return a.found[m.token] > 0 })
	if len(a.msgs) > 0 {
		return errInFlight
	}
	return nil
}

// errInFlight is found out by publishing what is missing.
var errInFlight = errors.New("another append of the same IDs is under way, or some of them are in the log: try again")

func (a *appending) receipt() cdc.Receipt {
	r := cdc.Receipt{Epoch: a.epoch, Duplicate: !a.added && !a.unsure}
	for _, token := range a.order {
		r.Seqs = append(r.Seqs, a.found[token])
	}
	return r
}
