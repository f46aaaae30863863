package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// dispatched parses what a client got before it was cut: complete frames only.
func dispatched(t testing.TB, text []byte) []frame {
	t.Helper()
	var frames []frame
	p := newParser(bytes.NewReader(text))
	for {
		f, err := p.next()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if !f.comment {
			frames = append(frames, f)
		}
	}
}

// TestLatestCutAfterEveryByte cuts a stream that began at the latest event
// after each of its first bytes, appends during the cut, and resumes.
func TestLatestCutAfterEveryByte(t *testing.T) {
	log := memlog.New(nil)
	s := serve(t, log, nil)
	next := 0
	add := func() {
		next++
		appendData(t, log, strconv.Itoa(next))
	}
	add()
	exercised := 0
	for cut := 1; cut <= 900; cut++ {
		add() // before: must not come
		begin := next
		text := readAndCut(t, s.Listener.Addr().String(), cut, add)
		add() // during the cut

		frames := dispatched(t, text)
		if len(frames) == 0 {
			continue // no hello yet: there is no promise
		}
		exercised++
		for _, f := range frames {
			if f.name == "" {
				begin++
				if got := f.event(t).payload(); got != strconv.Itoa(begin) {
					t.Fatalf("cut %d: event %s, want %d", cut, got, begin)
				}
			}
		}
		again := s.follow(t, "", "Last-Event-ID", frames[len(frames)-1].id)
		again.want("cdc.hello")
		for begin < next {
			begin++
			again.wantPayload(strconv.Itoa(begin))
		}
		again.want("cdc.live")
		again.close()
	}
	if exercised < 500 {
		t.Errorf("%d cuts after the hello, want 500", exercised)
	}
}

// readAndCut reads the first bytes of a stream that begins at the latest event,
// and closes it. When the hello is there for sure, it adds events.
func readAndCut(t *testing.T, addr string, size int, add func()) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	body := &lazyBody{conn: conn}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, size)
	if size <= 150 {
		_, err = io.ReadFull(body, text)
	} else { // the hello is there by now: what follows is live
		if _, err = io.ReadFull(body, text[:150]); err == nil {
			for range 6 {
				add()
			}
			_, err = io.ReadFull(body, text[150:])
		}
	}
	if err != nil {
		t.Fatalf("cut %d: %v", size, err)
	}
	_ = conn.Close()
	return text
}

// TestCutClientsGetEverything has clients that join at random moments, are cut
// at random bytes and resume by Last-Event-ID while many append.
func TestCutClientsGetEverything(t *testing.T) {
	cutClients(t, memlog.New(nil), 4000, 50)
}

func TestSoakCutClients(t *testing.T) {
	if os.Getenv("GAPLESS_SOAK") == "" {
		t.Skip("set GAPLESS_SOAK for 100,000 events")
	}
	cutClients(t, memlog.New(nil), 100_000, 50)
}

func cutClients(t *testing.T, log cdc.Log, events, clients int) {
	const appenders = 8
	s := serveLog(t, log, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()

	var group sync.WaitGroup
	for a := range appenders {
		group.Go(func() {
			for i := range events / appenders {
				e := cdc.Event{Type: "x", Topic: strconv.Itoa(a), Data: []byte(strconv.Itoa(i))}
				if _, err := cdc.Append(ctx, log, e); err != nil {
					t.Error(err)
					return
				}
				if i%20 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	last := uint64(events / appenders * appenders)
	for c := range clients {
		group.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(c)))
			time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
			query := []string{"/", "/?after=beginning", "/?after=0"}[c%3]
			if err := cutClient(ctx, s.Listener.Addr().String(), query, r, last); err != nil {
				t.Errorf("client %d: %v", c, err)
			}
		})
	}
	group.Wait()
}

// cutClient follows until the last seq. The log is dense, so each event must
// have the seq after the one before.
func cutClient(ctx context.Context, addr, target string, r *rand.Rand, last uint64) error {
	c := cuttable{last: last}
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		request := "GET " + target + " HTTP/1.1\r\nHost: x\r\n"
		if c.id != "" {
			request += "Last-Event-ID: " + c.id + "\r\n"
		}
		if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
			return err
		}
		err = c.read(newParser(io.LimitReader(&lazyBody{conn: conn}, 1+r.Int64N(30_000))))
		_ = conn.Close()
		if err != nil || c.begun && c.at == last {
			return err
		}
	}
	return context.Cause(ctx)
}

// cuttable is a client across its connections.
type cuttable struct {
	last  uint64
	id    string // of the last frame
	at    uint64
	begun bool // at is the position, from the hello on
}

// read follows to the last seq or to the cut, which is no error.
func (c *cuttable) read(p *parser) error {
	for !c.begun || c.at != c.last {
		f, err := p.next()
		if err != nil {
			return nil //nolint:nilerr // cut
		}
		if f.comment || f.name == "cdc.reconnect" && f.id == "" {
			continue
		}
		if err := c.accept(f); err != nil {
			return err
		}
	}
	return nil
}

func (c *cuttable) accept(f frame) error {
	c.id = f.id
	cursor, err := cdc.ParseCursor(f.id)
	switch {
	case err != nil:
		return err
	case f.name == "cdc.hello" && !c.begun:
		c.at, c.begun = cursor.Seq, true
	case f.name == "":
		if cursor.Seq != c.at+1 {
			return fmt.Errorf("seq %d after %d", cursor.Seq, c.at)
		}
		c.at = cursor.Seq
	case f.name == "cdc.reset":
		return fmt.Errorf("reset %s", f.data)
	case cursor.Seq != c.at:
		return fmt.Errorf("%s at %d, want %d", f.name, cursor.Seq, c.at)
	}
	return nil
}

// TestSoakReplay replays a million events to one client and bounds the memory
// that this takes beyond the log itself.
func TestSoakReplay(t *testing.T) {
	if os.Getenv("GAPLESS_SOAK") == "" {
		t.Skip("set GAPLESS_SOAK for 1,000,000 events")
	}
	replay(t, 1_000_000)
}

func TestReplayInBoundedMemory(t *testing.T) { replay(t, 50_000) }

func replay(t *testing.T, events int) {
	log := memlog.New(nil)
	data := bytes.Repeat([]byte("x"), 150)
	for range events / 1000 {
		batch := make([]cdc.Event, 1000)
		for i := range batch {
			batch[i] = cdc.Event{Topic: "t", Type: "x", Key: "k", Data: data}
		}
		if _, err := log.Append(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, log, nil)
	before := heap()
	begin := time.Now()
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	var most uint64
	for i := range events {
		got, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		if i%(events/10) == 0 {
			most = max(most, heap())
			if c := cursorOf(t, got.id); c.Seq != uint64(i+1) {
				t.Fatalf("event %v, want %d", c, i+1)
			}
		}
	}
	f.want("cdc.live")
	growth := int64(most) - int64(before)
	t.Logf("%d events in %v, heap grew by at most %d KB beyond the log", events, time.Since(begin), growth>>10)
	if growth > 32<<20 {
		t.Errorf("heap grew by %d MB", growth>>20)
	}
}
