package sse_test

import (
	"encoding/json"
	"maps"
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
