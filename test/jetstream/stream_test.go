package jetstream_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// newStream makes a stream as other programs do, with n messages.
func newStream(t *testing.T, js jetstream.JetStream, n int, change func(*jetstream.StreamConfig)) jetstream.Stream {
	t.Helper()
	config := jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders.*"}, AllowDirect: true}
	if change != nil {
		change(&config)
	}
	s, err := js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := js.Publish(t.Context(), fmt.Sprint("orders.", i%3), fmt.Append(nil, i), jetstream.WithMsgID(fmt.Sprint("id", i))); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestStreamIsFollowed(t *testing.T) {
	js := newJS(t, startNode(t))
	newStream(t, js, 5, nil)
	stream, err := jetstreamlog.OpenStream(t.Context(), js, "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var seen []string
	for batch, err := range cdc.Follow(t.Context(), stream, cdc.Beginning(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch.Events {
			seen = append(seen, fmt.Sprint(e.Seq, e.Topic, e.ID, string(e.Data)))
		}
		if len(seen) == 5 && batch.State == cdc.Live {
			if _, err := js.Publish(t.Context(), "orders.7", nil); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) == 6 {
			break
		}
	}
	if want := []string{"1orders.0id00", "2orders.1id11", "3orders.2id22", "4orders.0id33", "5orders.1id44", "6orders.7"}; !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

// TestStreamsThatCanBeFollowed have settings that change nothing for who follows.
func TestStreamsThatCanBeFollowed(t *testing.T) {
	js := newJS(t, startNode(t))
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "origin", Subjects: []string{"origin.*"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if _, err := js.Publish(t.Context(), fmt.Sprint("origin.", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"sources": func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "origin"}} },
		"republish": func(c *jetstream.StreamConfig) {
			c.RePublish = &jetstream.RePublish{Source: ">", Destination: "again.>"}
		},
		"memory":       func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"first_seq":    func(c *jetstream.StreamConfig) { c.FirstSeq = 1000 },
		"max_msgs":     func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 100, jetstream.DiscardNew },
		"deny_delete":  func(c *jetstream.StreamConfig) { c.DenyDelete, c.DenyPurge = true, true },
		"persist_mode": func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode },
		"transform": func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "orders.*", Destination: "changed.{{wildcard(1)}}"}
		},
	} {
		newStream(t, js, 4, change)
		want := 4
		if name == "sources" {
			want = 8
		}
		followSome(t, js, name, want)
		if err := js.DeleteStream(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
	}
}

// followSome wants n events of the stream orders, and their seqs without a hole.
func followSome(t *testing.T, js jetstream.JetStream, name string, n int) {
	t.Helper()
	stream, err := jetstreamlog.OpenStream(t.Context(), js, "orders", nil)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer stream.Close()
	var first uint64
	seen := 0
	for batch, err := range cdc.Follow(t.Context(), stream, cdc.Beginning(), nil) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, e := range batch.Events {
			first = max(first, e.Seq-uint64(seen))
			if e.Seq != first+uint64(seen) {
				t.Errorf("%s: event %d has seq %d, the first has %d", name, seen, e.Seq, first)
			}
			seen++
		}
		if seen >= n {
			return
		}
	}
}

// TestStreamThatIsSealed can be followed to its end: it takes nothing more.
func TestStreamThatIsSealed(t *testing.T) {
	js := newJS(t, startNode(t))
	config := newStream(t, js, 4, nil).CachedInfo().Config
	config.Sealed = true
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	followSome(t, js, "sealed", 4)
}

// TestStreamInMemory is gone when its server starts again, and one that is made
// anew is another.
func TestStreamInMemory(t *testing.T) {
	inMemory := func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }
	n := startNode(t)
	js := newJS(t, n)
	newStream(t, js, 4, inMemory)
	stream, err := jetstreamlog.OpenStream(t.Context(), js, "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	bare := cdc.Cursor{Epoch: bounds(t, stream).Epoch, Seq: 4}
	n.stop()
	n.start()
	if _, err := stream.Read(t.Context(), bare, 10); !errors.Is(err, cdc.ErrDeleted) {
		t.Errorf("Read = %v, want ErrDeleted", err)
	}
	newStream(t, js, 8, inMemory)
	_, err = stream.Read(t.Context(), bare, 10)
	if _, ok := errors.AsType[*cdc.ResetError](err); !ok {
		t.Errorf("Read = %v, want a reset", err)
	}
}

func TestStreamsThatCannotBeFollowed(t *testing.T) {
	js := newJS(t, startNode(t))
	for _, c := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		holes  bool // IgnoreDeleted accepts it
	}{
		{"retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, false},
		{"retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, false},
		{"allow_direct", func(c *jetstream.StreamConfig) { c.AllowDirect = false }, false},
		{"max_msgs_per_subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, true},
		{"allow_rollup_hdrs", func(c *jetstream.StreamConfig) { c.AllowRollup = true }, true},
		{"allow_msg_ttl", func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }, true},
		{"allow_msg_schedules", func(c *jetstream.StreamConfig) { c.AllowMsgSchedules = true }, true},
		{"mirror", func(c *jetstream.StreamConfig) {
			c.Subjects, c.Mirror, c.MirrorDirect = nil, &jetstream.StreamSource{Name: "origin"}, true
		}, false},
	} {
		newStream(t, js, 0, c.change)
		for _, ignore := range []bool{false, true} {
			s, err := jetstreamlog.OpenStream(t.Context(), js, "orders", &jetstreamlog.StreamOptions{IgnoreDeleted: ignore})
			if err == nil {
				_ = s.Close()
			}
			if want := ignore && c.holes; want != (err == nil) || err != nil && !strings.Contains(err.Error(), c.name) {
				t.Errorf("%s, IgnoreDeleted %v: %v", c.name, ignore, err)
			}
		}
		if err := js.DeleteStream(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := jetstreamlog.OpenStream(t.Context(), js, "orders", nil); !errors.Is(err, cdc.ErrDeleted) {
		t.Errorf("a stream that does not exist: %v", err)
	}
}

// TestDeletedMessages of a stream of others, at each place and the last one too.
func TestDeletedMessages(t *testing.T) {
	js := newJS(t, startNode(t))
	for _, deleted := range [][]uint64{{1}, {3}, {5}, {2, 3}, {4, 5}, {1, 2, 3, 4, 5}} {
		s := newStream(t, js, 5, nil)
		for _, seq := range deleted {
			if err := s.DeleteMsg(t.Context(), seq); err != nil {
				t.Fatal(err)
			}
		}
		for _, ignore := range []bool{false, true} {
			stream, err := jetstreamlog.OpenStream(t.Context(), js, "orders", &jetstreamlog.StreamOptions{IgnoreDeleted: ignore})
			if err != nil {
				t.Fatal(err)
			}
			checkDeleted(t, stream, deleted, ignore)
			_ = stream.Close()
		}
		if err := js.DeleteStream(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
	}
}

// checkDeleted reads one page at a time from the floor: it has exactly what is
// there, and each hole is a reset unless it is ignored.
func checkDeleted(t *testing.T, stream *jetstreamlog.Stream, deleted []uint64, ignore bool) {
	t.Helper()
	b := bounds(t, stream)
	at, resets := cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 0
	var seqs []uint64
	for at.Seq < b.Head {
		page, err := stream.Read(t.Context(), at, 2)
		if reset, ok := errors.AsType[*cdc.ResetError](err); ok && !ignore && reset.Reason == cdc.ReasonTruncated {
			resets++
			at = cdc.Cursor{Epoch: b.Epoch, Seq: reset.Floor}
			continue
		}
		if err != nil || page.Next == at.Seq {
			t.Fatalf("deleted %v, ignored %v: Read after %d = next %d, %v", deleted, ignore, at.Seq, page.Next, err)
		}
		at.Seq, at.Tag = page.Next, ""
		for _, e := range page.Events {
			seqs = append(seqs, e.Seq)
			at = e.Cursor(b.Epoch)
		}
	}
	var want []uint64
	for seq := b.Floor + 1; seq <= 5; seq++ {
		if !slices.Contains(deleted, seq) {
			want = append(want, seq)
		}
	}
	holes := len(want) < int(b.Head-b.Floor) && !ignore
	if !slices.Equal(seqs, want) || holes != (resets > 0) {
		t.Errorf("deleted %v, ignored %v: got %v and %d resets, want %v", deleted, ignore, seqs, resets, want)
	}
}

// TestStreamThatWentBack: seqs are used again under the same creation time.
func TestStreamThatWentBack(t *testing.T) {
	n := startNode(t)
	js := newJS(t, n)
	newStream(t, js, 6, nil)
	stream, err := jetstreamlog.OpenStream(t.Context(), js, "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	page, err := stream.Read(t.Context(), cdc.Cursor{Epoch: bounds(t, stream).Epoch}, 10)
	if err != nil || len(page.Events) != 6 {
		t.Fatalf("%d events, %v", len(page.Events), err)
	}
	at := page.Events[5].Cursor(bounds(t, stream).Epoch)
	if err := n.rewind("orders", 4); err != nil {
		t.Fatal(err)
	}
	for i, want := range []cdc.Reason{cdc.ReasonFuture, cdc.ReasonFuture, cdc.ReasonDiverged, cdc.ReasonDiverged} {
		_, err := stream.Read(t.Context(), at, 10)
		if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != want {
			t.Errorf("with %d messages: %v, want %s", 4+i, err, want)
		}
		if _, err := js.Publish(t.Context(), "orders.0", []byte("new")); err != nil {
			t.Fatal(err)
		}
	}
}
