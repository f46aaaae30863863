package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse"
)

// encoded returns the blocks of the events as the encoder has them.
func encoded(t *testing.T, encoder sse.Encoder, events ...cdc.Event) []report.Line {
	t.Helper()
	log := memlog.New(nil)
	if _, err := log.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	handler, err := sse.NewHandler(log, &sse.Options{Encoder: encoder, OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		_ = handler.Close()
		server.Close()
	})
	var blocks []report.Line
	err = readStream(t.Context(), http.DefaultClient, server.URL+"?after=beginning", func(l report.Line) bool {
		if l.Event == "" {
			blocks = append(blocks, l)
		}
		return l.Event != "cdc.live"
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks) != len(events) {
		t.Fatalf("%d blocks came of %d events", len(blocks), len(events))
	}
	return blocks
}

// odd are texts that an encoder could trip over.
var odd = []string{"", "plain", `"quoted" \ <&>`, "line\nends\r\n", "ünï\u2028cödé 🎈", "  "}

// The SDK of CloudEvents reads what the encoder writes, finds nothing to
// complain of, and has the event again.
func TestCloudEventsAreThoseOfTheSDK(t *testing.T) {
	var events []cdc.Event
	for _, text := range odd {
		quoted, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events,
			cdc.Event{Topic: text, Type: text, Key: text, Data: quoted},
			cdc.Event{ID: text + "/bytes", Topic: text, Type: text, Key: text, Data: []byte("\xff\x00" + text)})
	}
	for i, block := range encoded(t, sse.CloudEvents{Source: "https://example.com/log"}, events...) {
		want := events[i]
		var got cloudevents.Event
		if err := json.Unmarshal([]byte(block.Data), &got); err != nil {
			t.Fatalf("%s: %v", block.Data, err)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", block.Data, err)
		}
		id, typ, subject := want.ID, want.Type, want.Key
		if id == "" {
			id = block.ID
		}
		if strings.TrimSpace(typ) == "" {
			typ, subject = "event", ""
		}
		if got.ID() != id || got.Type() != typ || got.Subject() != subject || got.Extensions()["cursor"] != block.ID || string(got.Data()) != string(want.Data) {
			t.Errorf("the SDK reads %v of %+v in %s", got, want, block.Data)
		}
	}
}

// The schema of the State Protocol takes what the encoder writes.
func TestStateMessagesAreThoseOfTheSchema(t *testing.T) {
	needNode(t)
	var events []cdc.Event
	for _, text := range odd {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		key, row := "k"+text, `{"text":`+string(quoted)+`}`
		events = append(events,
			cdc.Event{Type: "table.insert", Key: key, Data: []byte(`{"old":null,"new":` + row + `}`)},
			cdc.Event{Type: "table.update", Key: key, Data: []byte(`{"old":` + row + `,"new":{"n":1e3}}`), Meta: map[string]string{"txid": "7"}},
			cdc.Event{Type: "table.delete", Key: key, Data: []byte(`{"old":` + row + `,"new":null}`)},
			cdc.Event{Type: "order.created", Key: key, Data: quoted},
			cdc.Event{Type: "order.deleted", Key: key})
	}
	var lines strings.Builder
	for _, block := range encoded(t, sse.StateProtocol{}, events...) {
		lines.WriteString(block.Data + "\n")
	}
	file := filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(node(t, nil, "node/state.js", file)); got != "30 messages" {
		t.Errorf("the schema takes %q, want 30 messages", got)
	}
}
