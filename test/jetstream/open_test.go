package jetstream_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// changes are settings that the server lets somebody change under a log, or set
// before, and the name that the error has to say.
var changes = []struct {
	name   string
	change func(*jetstream.StreamConfig)
}{
	{"storage", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }},
	{"subjects", func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "more") }},
	{"republish", func(c *jetstream.StreamConfig) { c.RePublish = nil }},
	{"republish", func(c *jetstream.StreamConfig) { c.RePublish.Destination = "elsewhere.>" }},
	{"allow_atomic", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }},
	{"deny_delete", func(c *jetstream.StreamConfig) { c.DenyDelete = false }},
	{"deny_purge", func(c *jetstream.StreamConfig) { c.DenyPurge = true }},
	{"no_ack", func(c *jetstream.StreamConfig) { c.NoAck = true; c.AllowAtomicPublish = false }},
	{"sources", func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "other"}} }},
	{"subject_transform", func(c *jetstream.StreamConfig) {
		c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "gapless.changed.x", Destination: "gapless.changed.y"}
	}},
	{"allow_msg_counter", func(c *jetstream.StreamConfig) { c.AllowMsgCounter = true }},
	{"allow_msg_schedules", func(c *jetstream.StreamConfig) { c.AllowMsgSchedules = true }},
	{"persist_mode", func(c *jetstream.StreamConfig) {
		c.PersistMode, c.AllowAtomicPublish = jetstream.AsyncPersistMode, false
	}},
	{"retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }},
	{"allow_direct", func(c *jetstream.StreamConfig) { c.AllowDirect = false }},
	{"max_msgs_per_subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }},
	{"allow_rollup_hdrs", func(c *jetstream.StreamConfig) { c.AllowRollup = true }},
	{"allow_msg_ttl", func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }},
	{"gapless.version", func(c *jetstream.StreamConfig) { c.Metadata["gapless.version"] = "2" }},
	{"none of a log", func(c *jetstream.StreamConfig) { c.Metadata = nil }},
}

// TestOpenRefusesSettings changes one setting of a log's stream at a time: the
// error names it.
func TestOpenRefusesSettings(t *testing.T) {
	js := newJS(t, startNode(t))
	_ = open(t, js, "changed", nil).Close()
	s, err := js.Stream(t.Context(), "changed")
	if err != nil {
		t.Fatal(err)
	}
	good := s.CachedInfo().Config
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			if err := js.DeleteStream(t.Context(), "changed"); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Fatal(err)
			}
			config := good
			republish := *good.RePublish
			config.RePublish, config.Metadata = &republish, map[string]string{"gapless.epoch": "e", "gapless.version": "1"}
			c.change(&config)
			if _, err := js.CreateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			_, err := jetstreamlog.Open(t.Context(), js, "changed", nil)
			if err == nil || !strings.Contains(err.Error(), c.name) {
				t.Errorf("Open = %v, want an error that names %s", err, c.name)
			}
		})
	}
}

func TestOpenRefusesOptions(t *testing.T) {
	js := newJS(t, startNode(t))
	for _, c := range []struct {
		name string
		opts *jetstreamlog.Options
		says string
	}{
		{"", nil, "the name is empty"},
		{"a.b", nil, "no blanks, dots"},
		{"x", &jetstreamlog.Options{MaxEventBytes: -1}, "Options.MaxEventBytes is -1"},
		{"x", &jetstreamlog.Options{MaxEventBytes: 2<<20 + 1}, "max_payload"},
		{"x", &jetstreamlog.Options{Replicas: -1}, "Options.Replicas is -1"},
	} {
		if _, err := jetstreamlog.Open(t.Context(), js, c.name, c.opts); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("Open %q %+v = %v, want an error that says %q", c.name, c.opts, err, c.says)
		}
	}
	_ = open(t, js, "one", nil).Close()
	if _, err := jetstreamlog.Open(t.Context(), js, "one", &jetstreamlog.Options{Replicas: 3}); err == nil || !strings.Contains(err.Error(), "num_replicas") {
		t.Errorf("Open with other Replicas = %v", err)
	}
}

// TestOpenRefusesAnOldServer: Debian's is from 2022.
func TestOpenRefusesAnOldServer(t *testing.T) {
	server := testserver.StartNATS(t, "")
	nc, js, err := connect(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	version := nc.ConnectedServerVersion()
	if !strings.HasPrefix(version, "2.9.") && !strings.HasPrefix(version, "2.10.") && !strings.HasPrefix(version, "2.11.") {
		t.Skip("the installed nats-server is " + version)
	}
	_, err = jetstreamlog.Open(t.Context(), js, "events", nil)
	if err == nil || !strings.Contains(err.Error(), "nats-server "+version+" is too old: a log needs 2.12") {
		t.Errorf("Open = %v", err)
	}
	if _, err := js.Stream(t.Context(), "events"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("Open has made a stream on a server that it refused: %v", err)
	}
}

// TestDeletedUnderFollowers: a stream that somebody deletes ends those who follow
// it, and one that is made anew is another log.
func TestDeletedUnderFollowers(t *testing.T) {
	js := newJS(t, startNode(t))
	log := open(t, js, "events", nil)
	at := appendN(t, log, 3).Cursor()
	sub, err := log.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if err := js.DeleteStream(t.Context(), "events"); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, cdc.ErrDeleted) {
		t.Errorf("Next = %v, want ErrDeleted", err)
	}
	if _, err := log.Read(t.Context(), at, 10); !errors.Is(err, cdc.ErrDeleted) {
		t.Errorf("Read = %v, want ErrDeleted", err)
	}
	if _, err := log.Append(t.Context(), cdc.Event{}); !errors.Is(err, cdc.ErrDeleted) {
		t.Errorf("Append = %v, want ErrDeleted", err)
	}
	again := open(t, js, "events", nil)
	appendN(t, again, 5)
	for _, l := range []*jetstreamlog.Log{log, again} {
		_, err = l.Read(t.Context(), at, 10)
		if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonForeign {
			t.Errorf("Read = %v, want foreign", err)
		}
	}
}

// TestHoleIsAReset: a purge by subject removes messages between others.
func TestHoleIsAReset(t *testing.T) {
	js := newJS(t, startNode(t))
	log := open(t, js, "events", nil)
	appendN(t, log, 3)
	if _, err := log.Append(t.Context(), cdc.Event{ID: "gone"}); err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 3)
	s, err := js.Stream(t.Context(), "events")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := s.GetMsg(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context(), jetstream.WithPurgeSubject(msg.Subject)); err != nil {
		t.Fatal(err)
	}
	begin := cdc.Cursor{Epoch: bounds(t, log).Epoch}
	page, err := log.Read(t.Context(), begin, 10)
	if err != nil || len(page.Events) != 3 || page.Next != 3 {
		t.Fatalf("Read = %d events next %d, %v, want those before the hole", len(page.Events), page.Next, err)
	}
	_, err = log.Read(t.Context(), page.Events[2].Cursor(begin.Epoch), 10)
	reset, ok := errors.AsType[*cdc.ResetError](err)
	if !ok || reset.Reason != cdc.ReasonTruncated || reset.Floor != 4 {
		t.Fatalf("Read at the hole = %v, want truncated with floor 4", err)
	}
	page, err = log.Read(t.Context(), cdc.Cursor{Epoch: begin.Epoch, Seq: reset.Floor}, 10)
	if err != nil || len(page.Events) != 3 {
		t.Errorf("Read behind the hole = %d events, %v, want 3", len(page.Events), err)
	}
}

// TestTwoNodesOfThreeGoOn: one node of three is lost, nothing else, and an append
// is there once though it was tried again.
func TestTwoNodesOfThreeGoOn(t *testing.T) {
	nodes := startCluster(t)
	log := open(t, newJS(t, nodes...), "events", &jetstreamlog.Options{Replicas: 3})
	appendN(t, log, 20)
	nodes[0].stop()
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := log.Append(t.Context(), cdc.Event{ID: "after"})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	page, err := log.Read(t.Context(), cdc.Cursor{Epoch: bounds(t, log).Epoch}, 100)
	if err != nil || len(page.Events) != 21 {
		t.Errorf("Read = %d events, %v, want 21", len(page.Events), err)
	}
}
