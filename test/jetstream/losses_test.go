package jetstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// TestLosses takes events from a log in every way that a stream can lose them, and
// has another process append others. Readers at the end and in the middle, with a
// tag and without, get a reset or every event that was ever appended behind them.
// Beside them in the middle is an ordered consumer of nats.go.
func TestLosses(t *testing.T) {
	n := startNode(t)
	testLosses(t, []*node{n}, []loss{
		{"purge all", rounds(1, 50), func(l *lossy) error { return l.purge() }},
		{"purge up to a seq", rounds(1, 50), func(l *lossy) error { return l.purge(jetstream.WithPurgeSequence(15)) }},
		{"purge a subject", rounds(1, 50), (*lossy).purgeSubject},
		{"delete and make again", rounds(1, 50), func(l *lossy) error { return l.js.DeleteStream(l.t.Context(), l.name) }},
		{"restore a backup", rounds(1, 10), (*lossy).restore},
		{"cut the block files", rounds(1, 10), func(l *lossy) error { return n.rewind(l.name, 12) }},
	})
}

// TestLossesOfReplicas restores a snapshot of the server's, as nats stream restore
// does, to a cluster of three.
func TestLossesOfReplicas(t *testing.T) {
	testLosses(t, startCluster(t), []loss{{"restore a snapshot", rounds(1, 10), (*lossy).restoreSnapshot}})
}

// loss is one way to lose events.
type loss struct {
	name  string
	times int
	lose  func(*lossy) error
}

func testLosses(t *testing.T, nodes []*node, losses []loss) {
	for _, c := range losses {
		t.Run(c.name, func(t *testing.T) {
			told, exact, silent := 0, 0, 0
			for round := range c.times {
				l := newLossy(t, nodes, fmt.Sprint(round))
				l.loseBy(c.lose)
				l.check(&told, &exact)
				silent += l.passedOver()
				l.end()
			}
			t.Logf("%s: %d times, %d readers told, %d had lost nothing; the ordered consumer did not deliver %d and returned no error", c.name, c.times, told, exact, silent)
		})
	}
}

// lossy is a log that loses events.
type lossy struct {
	t       *testing.T
	nodes   []*node // as many as the stream has replicas
	js      jetstream.JetStream
	name    string
	log     *jetstreamlog.Log // of a process that has seen all of them
	ids     []string          // of all that were ever appended
	readers []cdc.Cursor
	backup  string   // of the stream's folder, when it had 12 events
	taken   snapshot // of a stream of several replicas, at the same time
	ordered jetstream.MessagesContext
}

func newLossy(t *testing.T, nodes []*node, name string) *lossy {
	t.Helper()
	l := &lossy{t: t, nodes: nodes, name: "log" + name, backup: t.TempDir()}
	l.js, l.log = l.open()
	l.append(l.log, "old", 12)
	if err := l.backUp(); err != nil {
		t.Fatal(err)
	}
	l.append(l.log, "more", 8)
	events := readAll(t, l.log)
	epoch := bounds(t, l.log).Epoch
	for _, at := range []int{10, 20} {
		l.readers = append(l.readers, events[at-1].Cursor(epoch), cdc.Cursor{Epoch: epoch, Seq: events[at-1].Seq})
	}
	consumer, err := l.js.OrderedConsumer(t.Context(), l.name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if l.ordered, err = consumer.Messages(jetstream.PullMaxMessages(1)); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := l.ordered.Next(); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// open opens the log as another process does.
func (l *lossy) open() (jetstream.JetStream, *jetstreamlog.Log) {
	l.t.Helper()
	js := newJS(l.t, l.nodes...)
	return js, open(l.t, js, l.name, &jetstreamlog.Options{Replicas: len(l.nodes)})
}

func (l *lossy) backUp() (err error) {
	if len(l.nodes) > 1 {
		l.taken, err = takeSnapshot(l.t.Context(), l.js.Conn(), l.name)
		return err
	}
	l.nodes[0].stop()
	defer l.nodes[0].start()
	return os.CopyFS(l.backup, os.DirFS(l.folder()))
}

func (l *lossy) folder() string {
	return filepath.Join(l.nodes[0].opts.StoreDir, "jetstream", "$G", "streams", l.name)
}

func (l *lossy) append(log *jetstreamlog.Log, what string, n int) {
	l.t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s-%s-%d.", l.name, what, i)
		if _, err := log.Append(l.t.Context(), cdc.Event{ID: id}); err != nil {
			l.t.Fatal(err)
		}
		l.ids = append(l.ids, id)
	}
}

// loseBy loses, and then another process appends.
func (l *lossy) loseBy(lose func(*lossy) error) {
	l.t.Helper()
	if err := lose(l); err != nil {
		l.t.Fatal(err)
	}
	_, other := l.open()
	l.append(other, "new", 20)
}

func (l *lossy) purge(opts ...jetstream.StreamPurgeOpt) error {
	s, err := l.js.Stream(l.t.Context(), l.name)
	if err != nil {
		return err
	}
	return s.Purge(l.t.Context(), opts...)
}

// purgeSubject removes the event with seq 15.
func (l *lossy) purgeSubject() error {
	s, err := l.js.Stream(l.t.Context(), l.name)
	if err != nil {
		return err
	}
	msg, err := s.GetMsg(l.t.Context(), 15)
	if err != nil {
		return err
	}
	return s.Purge(l.t.Context(), jetstream.WithPurgeSubject(msg.Subject))
}

func (l *lossy) restore() error {
	l.nodes[0].stop()
	defer l.nodes[0].start()
	if err := os.RemoveAll(l.folder()); err != nil {
		return err
	}
	return os.CopyFS(l.folder(), os.DirFS(l.backup))
}

// restoreSnapshot needs that the stream is deleted.
func (l *lossy) restoreSnapshot() error {
	if err := l.js.DeleteStream(l.t.Context(), l.name); err != nil {
		return err
	}
	return l.taken.restore(l.t.Context(), l.js.Conn(), l.name)
}

// check reads on from every cursor.
func (l *lossy) check(told, exact *int) {
	l.t.Helper()
	for _, at := range l.readers {
		want := l.ids[at.Seq:]
		got, err := l.rest(at)
		_, reset := errors.AsType[*cdc.ResetError](err)
		switch {
		case reset:
			*told++
		case err == nil && slices.Equal(got, want):
			*exact++
		default:
			l.t.Errorf("a reader after %s got %d events of %d, %v", at, len(got), len(want), err)
		}
	}
}

// rest is what a reader gets until the head or an error.
func (l *lossy) rest(at cdc.Cursor) ([]string, error) {
	var ids []string
	for {
		page, err := l.log.Read(l.t.Context(), at, 7)
		if err != nil || len(page.Events) == 0 {
			return ids, err
		}
		for _, e := range page.Events {
			ids = append(ids, e.ID)
			at = e.Cursor(at.Epoch)
		}
	}
}

// passedOver is how many events behind it the ordered consumer does not deliver
// until the last, or within 4 s, though it returns no error.
func (l *lossy) passedOver() int {
	l.t.Helper()
	var seen []byte
	for !bytes.Contains(seen, []byte(l.ids[len(l.ids)-1])) {
		msg, err := l.ordered.Next(jetstream.NextMaxWait(4 * time.Second))
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		if err != nil {
			l.t.Logf("the ordered consumer returned %v", err)
			return 0
		}
		seen = append(seen, msg.Data()...)
	}
	missing := 0
	for _, id := range l.ids[10:] {
		if !bytes.Contains(seen, []byte(id)) {
			missing++
		}
	}
	return missing
}

// end leaves nothing on the server, whose next start would take longer.
func (l *lossy) end() {
	l.t.Helper()
	l.ordered.Stop()
	if err := l.js.DeleteStream(l.t.Context(), l.name); err != nil {
		l.t.Error(err)
	}
	l.js.Conn().Close()
}
