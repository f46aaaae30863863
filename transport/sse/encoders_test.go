package sse_test

import (
	"encoding/json"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestPayload(t *testing.T) {
	s := serve(t, nil, &sse.Options{Encoder: sse.Payload})
	appendData(t, s.log, "two\nlines", "\xff")
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	if got := f.want(""); got.data != "two\nlines" {
		t.Errorf("data %q", got.data)
	}
	if e := f.want("").event(t); string(e.DataBase64) != "\xff" {
		t.Errorf("what is not UTF-8 arrived as %+v", e)
	}
}

func TestCloudEvents(t *testing.T) {
	s := serve(t, nil, &sse.Options{Encoder: sse.CloudEvents{Source: "https://example.com/log"}})
	for _, e := range []cdc.Event{
		{ID: "7", Topic: "shop", Type: "order.created", Key: "o-1", Data: []byte(`{"a":"<"}`)},
		{Data: []byte("\x00")},
	} {
		if _, err := s.log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	for _, want := range []map[string]string{
		{"id": "7", "topic": "shop", "type": "order.created", "subject": "o-1", "datacontenttype": "application/json"},
		{"type": "event", "data_base64": "AA=="},
	} {
		got := f.want("")
		if want["id"] == "" {
			want["id"] = got.id
		}
		maps.Copy(want, map[string]string{"specversion": "1.0", "source": "https://example.com/log", "cursor": got.id})
		var attributes map[string]any
		if err := json.Unmarshal([]byte(got.data), &attributes); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if attributes[name] != value {
				t.Errorf("%s is %v, want %q, in %s", name, attributes[name], value, got.data)
			}
		}
		if _, ok := attributes["time"]; !ok || want["datacontenttype"] != "" && attributes["data"].(map[string]any)["a"] != "<" {
			t.Errorf("event %s", got.data)
		}
	}
}

func TestStateProtocol(t *testing.T) {
	var told atomic.Int32
	s := serve(t, nil, &sse.Options{Encoder: sse.StateProtocol{}, OnError: func(error) { told.Add(1) }})
	steps := stateChanges()
	for _, step := range steps {
		if _, err := s.log.Append(t.Context(), step.event); err != nil {
			t.Fatal(err)
		}
	}
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	refused := int32(0)
	for _, step := range steps {
		got := f.want("")
		if step.want == "" {
			refused++
			if e := got.event(t); e.Type != step.event.Type || string(e.DataBase64) != string(step.event.Data) {
				t.Errorf("%+v arrived as %s, want its envelope", step.event, got.data)
			}
			continue
		}
		if want := step.want + `,"timestamp":"`; !strings.HasPrefix(got.data, want) || !json.Valid([]byte(got.data)) {
			t.Errorf("got %s\nwant %s…", got.data, want)
		}
	}
	f.want("cdc.live")
	if got := told.Load(); got != refused {
		t.Errorf("OnError was told %d errors, want %d", got, refused)
	}
}

// stateChange is an event, and the message that it becomes.
type stateChange struct {
	event cdc.Event
	want  string // without the headers' timestamp; empty: the envelope
}

func stateChanges() []stateChange {
	return []stateChange{
		{
			cdc.Event{Type: "orders.insert", Key: "1", Data: []byte(`{"old":null,"new":{"n":12345678901234567890}}`)},
			`{"type":"orders","key":"1","value":{"n":12345678901234567890},"headers":{"operation":"insert"`,
		},
		{
			cdc.Event{Type: "orders.update", Key: "[1,\"a\"]", Data: []byte(`{"old":{"n":1},"new":{"n":"<"}}`), Meta: map[string]string{"txid": "77"}},
			`{"type":"orders","key":"[1,\"a\"]","value":{"n":"<"},"old_value":{"n":1},"headers":{"operation":"update","txid":"77"`,
		},
		{
			cdc.Event{Type: "shop.order.deleted", Key: "1"},
			`{"type":"shop.order","key":"1","headers":{"operation":"delete"`,
		},
		{
			cdc.Event{Type: "order.created", Key: "2", Data: []byte(`{"old":1}`)},
			`{"type":"order","key":"2","value":{"old":1},"headers":{"operation":"insert"`,
		},
		{event: cdc.Event{Type: "order.shipped", Key: "1", Data: []byte("{}")}},
		{event: cdc.Event{Type: "order.created", Data: []byte("{}")}},
		{event: cdc.Event{Type: "created", Key: "1", Data: []byte("{}")}},
		{event: cdc.Event{Type: "order.created", Key: "1", Data: []byte("no JSON")}},
		{event: cdc.Event{Type: "order.created", Key: "1"}},
	}
}

func TestStateProtocolOfAnApplication(t *testing.T) {
	change := func(e cdc.Event) (sse.StateChange, error) {
		return sse.StateChange{Type: e.Topic, Key: e.ID, Operation: "upsert", Value: e.Data}, nil
	}
	_, err := sse.StateProtocol{Change: change}.Encode(nil, cdc.Cursor{}, cdc.Event{Topic: "a", ID: "b", Data: []byte("1")})
	if err == nil || !strings.Contains(err.Error(), `"upsert"`) {
		t.Errorf("an operation that the protocol does not have: %v", err)
	}
}
