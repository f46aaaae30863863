package main

import (
	"fmt"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// replayed is what a client found that asked for all of a log.
type replayed struct {
	frames         int64
	wall           time.Duration
	cpu            float64 // ns a frame, of the server
	before, during int64   // bytes of the server's own memory; during is the most that was seen
}

// replay gives one client all that the server has kept.
func replay(s size, p *process, t *turn) error {
	if p.history == "" {
		return nil
	}
	if err := p.fill(s.history); err != nil {
		return err
	}
	before, err := p.usage("1")
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := p.open(p.clients, p.history); err != nil {
		return err
	}
	r := replayed{before: before.Resident, during: before.Resident}
	for look := 0; r.frames < int64(s.history); look++ {
		time.Sleep(time.Millisecond)
		if time.Since(begin) > time.Minute {
			return fmt.Errorf("%d of %d events came", r.frames, s.history)
		}
		_, _, r.frames = p.clients.counts()
		r.wall = time.Since(begin)
		if look%50 == 0 {
			u, err := p.usage("")
			if err != nil {
				return err
			}
			r.during = max(r.during, u.Resident)
		}
	}
	after, err := p.usage("")
	r.cpu = float64(after.CPU-before.CPU) / float64(r.frames)
	t.replay = r
	return err
}

// The storm: so many clients come back to so many events each, again and
// again, while others get events live.
const (
	stormClients = 100
	stormEvents  = 20_000
	liveClients  = 20
	liveRate     = 100
)

// storm measures the delay of the live clients in quiet and in the storm, for
// as long.
func storm(s size, p *process, t *turn) error {
	if p.history == "" {
		return nil
	}
	if err := p.fill(stormEvents); err != nil {
		return err
	}
	live, err := newSockets(true)
	if err != nil {
		return err
	}
	defer live.close()
	if err := p.connect(live, liveClients); err != nil {
		return err
	}
	events := control.Load{N: liveRate * int(s.storm.Seconds()), Rate: liveRate}
	if _, err := p.publish(events); err != nil {
		return err
	}
	t.quiet = live.p99()
	done := make(chan error, 1)
	go func() {
		_, err := p.publish(events)
		done <- err
	}()
	for {
		select {
		case err := <-done:
			t.storm = live.p99()
			return err
		default:
		}
		if err := p.comeBack(); err != nil {
			return err
		}
	}
}

// comeBack is one wave of the storm.
func (p *process) comeBack() error {
	clients, err := newSockets(false)
	if err != nil {
		return err
	}
	defer clients.close()
	for range stormClients {
		if err := p.open(clients, p.history); err != nil {
			return err
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		_, connected, frames := clients.counts()
		if frames >= stormClients*stormEvents {
			return nil
		}
		if connected < stormClients || time.Now().After(end) {
			return fmt.Errorf("%d clients have %d frames of %d events each", connected, frames, stormEvents)
		}
	}
}
