package sse

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// dispatcher gives the streams of a Handler their turns: to all when the Hub has
// something new, and to one that is parked when its client has left.
type dispatcher struct {
	hub    *cdc.Hub
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	timer *time.Timer   // of the round that watch runs
	begun chan struct{} // gets one when a round has no stream left to begin with

	historians atomic.Int32 // streams that are sending history

	mu      sync.Mutex
	watched bool
	closed  bool
	leavers *leavers // nil before the first parked socket, and where there is none
	streams []*stream
}

func newDispatcher(hub *cdc.Hub) *dispatcher {
	d := &dispatcher{hub: hub, timer: time.NewTimer(roundTime), begun: make(chan struct{}, 1)}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// enter is called before the stream looks for the first time what there is.
func (d *dispatcher) enter(s *stream) {
	d.mu.Lock()
	if !d.watched && !d.closed {
		d.watched = true
		d.tasks.Go(d.watch)
	}
	s.turns.place = len(d.streams)
	d.streams = append(d.streams, s)
	d.mu.Unlock()
	if s.parked != nil {
		d.noticeLeave(s)
	}
}

// noticeLeave ends the stream when its client leaves.
func (d *dispatcher) noticeLeave(s *stream) {
	raw := rawConn(s.parked.conn)
	d.mu.Lock()
	if raw != nil && d.leavers == nil && !d.closed {
		if d.leavers = newLeavers(); d.leavers != nil {
			d.tasks.Go(d.leavers.run)
		}
	}
	leavers := d.leavers
	d.mu.Unlock()
	if raw == nil || leavers == nil || !leavers.add(s, raw) {
		go s.awaitLeave() // until the connection is closed
	}
}

// leave is called before the connection of the stream is closed.
func (d *dispatcher) leave(s *stream) {
	d.mu.Lock()
	last := len(d.streams) - 1
	moved := d.streams[last]
	d.streams[s.turns.place], d.streams[last] = moved, nil
	moved.turns.place = s.turns.place
	d.streams = d.streams[:last]
	leavers := d.leavers
	d.mu.Unlock()
	if s.parked != nil && leavers != nil {
		leavers.remove(s)
	}
}

// watch wakes the streams at each change of the Hub, its end included.
func (d *dispatcher) watch() {
	var change uint64
	for {
		var err error
		change, err = d.hub.Await(d.ctx, change)
		d.wakeAll()
		if err != nil {
			return
		}
	}
}

// wakeAll begins with the last: where one leaves, the last takes its place and
// is woken twice, never not at all. Who enters meanwhile looks by itself.
func (d *dispatcher) wakeAll() {
	d.mu.Lock()
	end := len(d.streams)
	d.mu.Unlock()
	for end > 0 {
		r := &round{}
		d.mu.Lock()
		end = min(end, len(d.streams))
		begin := max(0, end-len(r.streams))
		for _, s := range d.streams[begin:end] {
			if s.claim() {
				r.streams[r.n] = s
				r.n++
			}
		}
		d.mu.Unlock()
		end = begin
		d.run(r)
	}
}

// round is streams that have their turns together. A few goroutines go from one
// to the next: to wake one for each stream, with a stack that is in no cache,
// takes three times what there is to do beside the write.
type round struct {
	streams [64]*stream
	n       int32
	next    atomic.Int32
}

// roundTime is more than a round takes whose clients have room for a frame.
const roundTime = time.Millisecond

// run returns when each stream of the round has begun its turn. One that waits,
// for its client or the log, keeps its goroutine; when all wait there come as
// many again, so that it holds nobody up.
func (d *dispatcher) run(r *round) {
	for workers := int32(runtime.GOMAXPROCS(0)); r.next.Load() < r.n; {
		d.timer.Reset(roundTime)
		for range min(workers, r.n-r.next.Load()) {
			go d.work(r)
		}
		select {
		case <-d.begun: // by this round, or late by an earlier one
		case <-d.timer.C:
			workers *= 2
		}
	}
}

// work gives turns until all streams of the round have had one.
func (d *dispatcher) work(r *round) {
	for {
		i := r.next.Add(1) - 1
		if i >= r.n {
			select {
			case d.begun <- struct{}{}:
			default:
			}
			return
		}
		r.streams[i].turn()
	}
}

// yield is called after each piece of history. Where many send some, as after a
// deploy, those that live streams wait for come before the next piece: a
// goroutine that something has woken is not at the end of the scheduler's queue.
func (d *dispatcher) yield() {
	if d.historians.Load() > 1 {
		runtime.Gosched()
	}
}

// close ends what the dispatcher has started. The streams are not woken by it
// any more.
func (d *dispatcher) close() {
	d.mu.Lock()
	d.closed = true
	if d.leavers != nil {
		d.leavers.close()
	}
	d.mu.Unlock()
	d.cancel()
	d.tasks.Wait()
}
