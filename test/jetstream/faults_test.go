package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// rounds is how often a fault is made: a few times, unless it is a long run.
func rounds(few, many int) int {
	if os.Getenv("GAPLESS_SOAK") != "" {
		return many
	}
	return few
}

// TestKilledServer kills a process that syncs every write, again and again, while
// one appends and one follows: what was acknowledged is there once, and the
// follower has exactly the log.
func TestKilledServer(t *testing.T) {
	server := testserver.StartNATS(t, buildServer(t), "-c", syncAlways(t))
	nc, js, err := connect(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	log := open(t, js, "events", nil)
	kills := 0
	events := exactBeside(t, log, rounds(5, 50), func(context.Context) {
		kills++
		time.Sleep(100 * time.Millisecond)
		server.Kill()
		server.Start()
	})
	t.Logf("%d kills, %d events, each once", kills, events)
}

// piece is how long one run makes faults: where machines are slow a campaign is
// several runs, whose numbers add up.
const piece = 12 * time.Minute

// exactBeside makes a fault some times while one appends and one follows, and
// wants each event that was acknowledged to be followed once. It returns how many.
func exactBeside(t *testing.T, log *jetstreamlog.Log, times int, fault func(context.Context)) int {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), piece+5*time.Minute)
	defer cancel()
	var group sync.WaitGroup
	var acknowledged, followed []string
	stop := make(chan struct{})
	group.Go(func() { acknowledged = appendUntil(ctx, log, stop) })
	group.Go(func() { followed = follow(ctx, t, log) })
	for n := 0; n < times && time.Since(began) < piece; n++ {
		fault(ctx)
	}
	close(stop)
	group.Wait()

	slices.Sort(acknowledged)
	if got := slices.Sorted(slices.Values(followed)); !slices.Equal(got, acknowledged) {
		t.Errorf("%d were acknowledged, %d followed", len(acknowledged), len(got))
	}
	return len(followed)
}

// appendUntil appends events, each until it is acknowledged, and at last the one
// that ends follow.
func appendUntil(ctx context.Context, log *jetstreamlog.Log, stop <-chan struct{}) []string {
	var ids []string
	for n := 0; ; n++ {
		id := fmt.Sprint(n)
		select {
		case <-stop:
			id = "end"
		default:
		}
		for ctx.Err() == nil {
			if _, err := log.Append(ctx, cdc.Event{ID: id}); err == nil {
				break
			}
		}
		ids = append(ids, id)
		if id == "end" || ctx.Err() != nil {
			return ids
		}
	}
}

// follow goes on from its cursor after an error, until the event "end".
func follow(ctx context.Context, t *testing.T, log cdc.Log) []string {
	var ids []string
	start := cdc.Beginning()
	for ctx.Err() == nil {
		for batch, err := range cdc.Follow(ctx, log, start, nil) {
			if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
				t.Errorf("nothing was lost, and the follower got %v", reset)
				return ids
			}
			if err != nil {
				break
			}
			start = cdc.After(batch.Cursor)
			for _, e := range batch.Events {
				ids = append(ids, e.ID)
				if e.ID == "end" {
					return ids
				}
			}
		}
	}
	return ids
}

// buildServer builds the program of the module that this one requires.
func buildServer(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "nats-server")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

func syncAlways(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte("jetstream { sync_interval: always }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestLostTailIsTold cuts the block files of a server that is down, as a power
// failure does, and appends others in their place. Who was at the end gets a
// reset. Beside it is the ordered consumer of nats.go on the same stream.
func TestLostTailIsTold(t *testing.T) {
	const before, kept, after = 20, 12, 20 // numbers of messages
	n := startNode(t)
	js := newJS(t, n)
	told, silent := 0, 0
	many := rounds(2, 10)
	for round := range many {
		name := fmt.Sprint("log", round)
		log := open(t, js, name, nil)
		appendN(t, log, before)
		end := readAll(t, log)[before-1].Cursor(bounds(t, log).Epoch)
		seen := startOrdered(t, js, name, before)
		if err := n.rewind(name, kept); err != nil {
			t.Fatal(err)
		}
		appendN(t, log, after)
		_, err := log.Read(t.Context(), end, 10)
		if _, ok := errors.AsType[*cdc.ResetError](err); ok {
			told++
		}
		silent += kept + after - len(seen(kept+after)) // of the events that are in the stream now
	}
	if told != many {
		t.Errorf("%d of %d lost tails were told", told, many)
	}
	t.Logf("%d lost tails of %d events: %d told; the ordered consumer passed over %d events in silence", many, before-kept, told, silent)
}

func readAll(t *testing.T, log *jetstreamlog.Log) []cdc.Event {
	t.Helper()
	page, err := log.Read(t.Context(), cdc.Cursor{Epoch: bounds(t, log).Epoch}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return page.Events
}

// startOrdered consumes n messages, and more until the func that it returns is
// called. That returns which sequences up to last it delivered as they are in
// the stream.
func startOrdered(t *testing.T, js jetstream.JetStream, name string, n int) (delivered func(last uint64) []uint64) {
	t.Helper()
	consumer, err := js.OrderedConsumer(t.Context(), name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	at := map[uint64]time.Time{}
	enough := make(chan struct{})
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if m, err := msg.Metadata(); err == nil {
			at[m.Sequence.Stream] = m.Timestamp
			if len(at) == n {
				close(enough)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-enough
	return func(last uint64) []uint64 {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(15 * time.Second)
		for ; ; time.Sleep(50 * time.Millisecond) {
			mu.Lock()
			_, reached := at[last]
			mu.Unlock()
			if reached || time.Now().After(deadline) {
				break
			}
		}
		consuming.Stop()
		mu.Lock()
		defer mu.Unlock()
		return sameIn(t, stream, at, last)
	}
}

// sameIn are the sequences up to last whose message is the one of that time.
func sameIn(t *testing.T, stream jetstream.Stream, at map[uint64]time.Time, last uint64) []uint64 {
	t.Helper()
	var same []uint64
	for seq := uint64(1); seq <= last; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if msg.Time.Equal(at[seq]) {
			same = append(same, seq)
		}
	}
	return same
}

// TestLostTailIsToldWithoutATag: a bare cursor says nothing about its event, so a
// process that had seen the lost events changes the epoch, also when the stream
// has grown past them before anybody looked.
func TestLostTailIsToldWithoutATag(t *testing.T) {
	const before, kept = 20, 12
	n := startNode(t)
	js := newJS(t, n)
	for i := range 4 {
		after, acked := []int{before - kept + 1, before}[i/2], i%2 > 0 // acked: nobody has looked since the append
		name := fmt.Sprint("log", i)
		log := open(t, js, name, nil)
		appendN(t, log, before)
		bare := cdc.Cursor{Epoch: bounds(t, log).Epoch, Seq: kept + 2}
		if acked {
			bare = appendN(t, log, 1).Cursor()
		}
		if err := n.rewind(name, kept); err != nil {
			t.Fatal(err)
		}
		nc, other, err := connect(n.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		appendN(t, open(t, other, name, nil), after) // a process that had seen nothing
		page, err := log.Read(t.Context(), bare, 10)
		if _, ok := errors.AsType[*cdc.ResetError](err); !ok {
			t.Errorf("%d events lost, %d appended, acked %v: Read = %d events, %v, want a reset", before-kept, after, acked, len(page.Events), err)
		}
		if b := bounds(t, log); b.Epoch == bare.Epoch {
			t.Errorf("%d events lost, %d appended, acked %v: the epoch stays", before-kept, after, acked)
		}
		nc.Close()
	}
}
