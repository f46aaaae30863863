package redislog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Appends that wait while maxSenders calls are under way are sent together, up
// to this many events or bytes; one that is larger goes alone. Two calls keep
// the server busy while we prepare the next.
const (
	maxSenders     = 2
	maxBatchEvents = 1000
	maxBatchBytes  = 1 << 20
)

// writer sends appends, few script calls at a time: concurrent ones share them.
// That is what makes many writers fast, and keeps them to two connections.
type writer struct {
	log *Log

	mu      sync.Mutex
	queue   []*request
	senders int // goroutines that run
}

// request is one call of Append.
type request struct {
	values  []any         // what is stored of each event, a string
	size    int           // bytes of all events
	largest int           // bytes of the largest one
	ids     int           // events with an ID
	sent    bool          // guarded by writer.mu
	done    chan struct{} // closed when receipt and err are set
	receipt cdc.Receipt
	err     error
}

// Append implements [cdc.Appender]: one script numbers and stores all events in
// one step of the server. Concurrent calls share one such step. Time is the
// server's.
//
// An error that wraps [cdc.ErrUnknownOutcome] means that the reply was lost or
// that too few replicas answered; any other error means that nothing was
// appended. A retry is safe for events with IDs. More than [MaxBatchEvents] or
// [MaxBatchBytes] are a [*cdc.BatchTooLargeError].
func (l *Log) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	receipt, err := l.append(ctx, events)
	if err != nil {
		return receipt, fmt.Errorf("redis: append: %w", explain(err))
	}
	return receipt, nil
}

func (l *Log) append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	if err := cdc.CheckAppend(events, l.opts.MaxEventBytes); err != nil {
		return cdc.Receipt{}, err
	}
	switch {
	case ctx.Err() != nil:
		return cdc.Receipt{}, context.Cause(ctx)
	case insideHandler(ctx):
		return cdc.Receipt{}, errInHandler
	}
	if len(events) == 0 {
		b, err := l.Bounds(ctx)
		return cdc.Receipt{Epoch: b.Epoch}, err
	}
	r, err := newRequest(events)
	if err != nil {
		return cdc.Receipt{}, err
	}
	if !l.writer.enqueue(r) {
		return cdc.Receipt{}, cdc.ErrClosed
	}
	return l.writer.wait(ctx, r)
}

func tooLarge(events []cdc.Event, bytes int) error {
	return &cdc.BatchTooLargeError{Events: len(events), MaxEvents: MaxBatchEvents, Bytes: bytes, MaxBytes: MaxBatchBytes}
}

// newRequest copies everything it needs of the events.
func newRequest(events []cdc.Event) (*request, error) {
	if len(events) > MaxBatchEvents {
		return nil, tooLarge(events, 0)
	}
	r := &request{values: make([]any, len(events)), done: make(chan struct{})}
	room := 0
	for i := range events {
		size := events[i].Size()
		r.size += size
		r.largest = max(r.largest, size)
		room += size + valueOverhead(&events[i])
		if events[i].ID != "" {
			r.ids++
		}
	}
	if r.size > MaxBatchBytes {
		return nil, tooLarge(events, r.size)
	}
	var all strings.Builder // one allocation for all values
	all.Grow(room)
	for i := range events {
		at := all.Len()
		writeValue(&all, &events[i])
		r.values[i] = all.String()[at:]
	}
	return r, nil
}

// enqueue returns false if the log is closed.
func (w *writer) enqueue(r *request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.log.ctx.Err() != nil {
		return false
	}
	w.queue = append(w.queue, r)
	if w.senders < maxSenders {
		if !w.log.spawn(w.run) {
			return false
		}
		w.senders++
	}
	return true
}

// wait returns when the request is done, or ctx or the log ends. A request that
// was not sent by then never will be.
func (w *writer) wait(ctx context.Context, r *request) (cdc.Receipt, error) {
	var cause error
	select {
	case <-r.done:
		return r.receipt, r.err
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-w.log.ctx.Done():
		cause = cdc.ErrClosed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.sent {
		select {
		case <-r.done:
			return r.receipt, r.err
		default:
			return cdc.Receipt{}, fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, cause)
		}
	}
	for i, q := range w.queue {
		if q == r {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			break
		}
	}
	return cdc.Receipt{}, cause
}

// run sends until the queue is empty.
func (w *writer) run() {
	for {
		batch := w.take()
		if len(batch) == 0 {
			return
		}
		done := make(chan struct{})
		go func() { // ends by the client's timeouts
			defer close(done)
			w.log.send(batch)
		}()
		select {
		case <-done:
		case <-w.log.ctx.Done(): // the callers have got ErrUnknownOutcome
			return
		}
	}
}

// take removes the next batch from the queue. An empty one ends the sender.
func (w *writer) take() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, events, size := 0, 0, 0
	for n < len(w.queue) {
		r := w.queue[n]
		if n > 0 && (events+len(r.values) > maxBatchEvents || size+r.size > maxBatchBytes) {
			break
		}
		n, events, size = n+1, events+len(r.values), size+r.size
		r.sent = true
	}
	batch := append([]*request(nil), w.queue[:n]...)
	clear(w.queue[:n])
	w.queue = w.queue[n:]
	if n == 0 {
		w.senders--
	}
	return batch
}

// send appends a batch and tells every request its part of the outcome.
func (l *Log) send(batch []*request) {
	receipts, err := l.appendBatch(batch)
	for i, r := range batch {
		if receipts != nil {
			r.receipt = receipts[i]
		}
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}

// appendBatch has receipts beside an error if too few replicas answered.
func (l *Log) appendBatch(batch []*request) ([]cdc.Receipt, error) {
	ctx := context.Background()
	q := l.track.ask()
	touch := "0"
	if l.opts.MinReplicas > 0 {
		touch = "1"
	}
	events, ids, largest := 0, 0, 0
	for _, r := range batch {
		events, ids, largest = events+len(r.values), ids+r.ids, max(largest, r.largest)
	}
	args := append(make([]any, 0, 11+events), cdc.NewEpoch(), q.bounds.Epoch, q.bounds.Last, touch, largest, ids)
	args = append(args, q.mark.Seq, q.mark.time, q.mark.size, q.mark.begin, strings.Join(q.formerEpochs, " "))
	for _, r := range batch {
		args = append(args, r.values...)
	}
	reply, err := l.run(ctx, l.store.scripts.append, args, l.opts.MinReplicas)
	if err != nil && !neverSent(err) && !errors.Is(err, cdc.ErrUnknownOutcome) {
		err = fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
	}
	if reply == nil {
		return nil, err
	}
	receipts, parseErr := l.receipts(q, batch, reply)
	return receipts, errors.Join(err, parseErr)
}

// appendReply is what the append script returns.
type appendReply struct {
	epoch      string
	floor      uint64
	head       uint64 // before
	time       time.Time
	duplicates map[int]uint64 // index → seq
}

func parseAppendReply(reply any) (appendReply, error) {
	parts, ok := reply.([]any)
	if !ok || len(parts) < 4 {
		return appendReply{}, fmt.Errorf("%w: the server answered %T to the append script", cdc.ErrUnknownOutcome, reply)
	}
	number := func(i int) uint64 {
		switch v := parts[i].(type) {
		case string:
			n, err := strconv.ParseUint(v, 10, 64)
			ok = ok && err == nil
			return n
		case int64:
			return uint64(v)
		}
		ok = false
		return 0
	}
	a := appendReply{floor: number(1), head: number(2), time: time.UnixMicro(int64(number(3))).UTC()}
	a.epoch, _ = parts[0].(string)
	if len(parts) > 4 {
		a.duplicates = make(map[int]uint64, (len(parts)-4)/2)
	}
	for i := 4; i+1 < len(parts); i += 2 {
		a.duplicates[int(number(i))] = number(i + 1)
	}
	if !ok || a.epoch == "" {
		return appendReply{}, fmt.Errorf("%w: the server answered %v to the append script", cdc.ErrUnknownOutcome, parts)
	}
	return a, nil
}

// receipts gives every request its seqs.
func (l *Log) receipts(q question, batch []*request, reply any) ([]cdc.Receipt, error) {
	a, err := parseAppendReply(reply)
	if err != nil {
		return nil, err
	}
	receipts := make([]cdc.Receipt, len(batch))
	head, index := a.head, 0
	var newest string
	for i, r := range batch {
		receipt := cdc.Receipt{Epoch: a.epoch, Seqs: make([]uint64, len(r.values)), Duplicate: true}
		for j := range r.values {
			seq, duplicate := a.duplicates[index]
			if !duplicate {
				head++
				seq, receipt.Duplicate = head, false
				newest = r.values[j].(string)
			}
			receipt.Seqs[j] = seq
			index++
		}
		receipts[i] = receipt
	}
	l.track.answer(q, cdc.Bounds{Epoch: a.epoch, Floor: a.floor, Head: head, Last: head})
	if head > a.head {
		value := []byte(newest)
		end, pairs, _ := splitValue(value)
		e := cdc.Event{Seq: head, Time: a.time, Data: value[end:]}
		setTexts(&e, newest[:end], pairs)
		l.track.saw(a.epoch, e)
	}
	return receipts, nil
}

// close ends the requests that were not sent; their callers see the log's end.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = nil
}
