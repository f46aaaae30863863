package cdc_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

var sample = cdc.Event{
	Seq: 41, ID: "id-1", Topic: "orders", Type: "order.created", Key: "7",
	Time: time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC),
	Data: []byte(`{"total":12}`), Meta: map[string]string{"trace": "abc"},
}

// Cursors live for weeks in browsers and files: the tag of an event must not
// change from one version to the next.
func TestTagIsStable(t *testing.T) {
	const want = "XyCvjiKmc1U" // computed by another implementation of the two CRCs
	if got := sample.Tag(); got != want {
		t.Errorf("Tag() = %q, want %q", got, want)
	}
}

func TestTagCoversTimeTypeKeyAndDataOnly(t *testing.T) {
	differs := map[string]func(*cdc.Event){
		"time":            func(e *cdc.Event) { e.Time = e.Time.Add(time.Microsecond) },
		"type":            func(e *cdc.Event) { e.Type = "order.changed" },
		"key":             func(e *cdc.Event) { e.Key = "8" },
		"data":            func(e *cdc.Event) { e.Data = []byte(`{"total":13}`) },
		"type moved":      func(e *cdc.Event) { e.Type, e.Key = "order.create", "d7" },
		"key moved":       func(e *cdc.Event) { e.Key, e.Data = `7{`, []byte(`"total":12}`) },
		"zero byte added": func(e *cdc.Event) { e.Data = append([]byte{0}, e.Data...) },
	}
	for name, change := range differs {
		if e := sample.Clone(); func() bool { change(&e); return e.Tag() == sample.Tag() }() {
			t.Errorf("%s changed and the tag did not", name)
		}
	}
	same := sample.Clone()
	same.Seq, same.ID, same.Topic, same.Meta = 1, "other", "other", nil
	same.Time = same.Time.Add(999 * time.Nanosecond).In(time.FixedZone("x", 3600))
	if same.Tag() != sample.Tag() {
		t.Error("the tag depends on more than microseconds, type, key and data")
	}
}

func TestCloneSharesNothing(t *testing.T) {
	e := sample.Clone()
	c := e.Clone()
	c.Data[0], c.Meta["trace"] = 'x', "changed"
	if e.Data[0] != '{' || e.Meta["trace"] != "abc" {
		t.Error("a change of the clone shows in the event")
	}
	if empty := (cdc.Event{Data: []byte{}}).Clone(); empty.Data == nil {
		t.Error("empty data became nil")
	}
}

func TestSizeCountsTextsPayloadAndMeta(t *testing.T) {
	if got, want := sample.Size(), len("id-1ordersorder.created7")+len(`{"total":12}`)+len("traceabc"); got != want {
		t.Errorf("Size() = %d, want %d", got, want)
	}
}

func TestCheckAppend(t *testing.T) {
	ok := cdc.Event{Type: "t", Data: []byte{0, 0xff}}
	if err := cdc.CheckAppend([]cdc.Event{ok, sample, {}}, 0); err != nil {
		t.Errorf("good events: %v", err)
	}
	bad := map[string]cdc.Event{
		"reserved type":        {Type: "cdc.hello"},
		"type not UTF-8":       {Type: "a\xff"},
		"NUL in key":           {Key: "a\x00b"},
		"NUL in topic":         {Topic: "\x00"},
		"ID not UTF-8":         {ID: "\xc3"},
		"NUL in meta value":    {Meta: map[string]string{"k": "\x00"}},
		"meta key not UTF-8":   {Meta: map[string]string{"\xff": ""}},
		"both ends of meta":    {Meta: map[string]string{"\xff": "\x00"}},
		"reserved, but longer": {Type: "cdc."},
	}
	for name, e := range bad {
		err := cdc.CheckAppend([]cdc.Event{ok, e}, 0)
		invalid, is := errors.AsType[*cdc.InvalidEventError](err)
		if !is || invalid.Index != 1 || invalid.Field == "" || invalid.Error() == "" {
			t.Errorf("%s: got %v, want an InvalidEventError for event 1", name, err)
		}
	}
}

func TestCheckAppendSize(t *testing.T) {
	for _, tt := range []struct{ size, limit, over int }{
		{cdc.DefaultMaxEventBytes, 0, 0},
		{cdc.DefaultMaxEventBytes + 1, 0, 1},
		{10, 10, 0},
		{11, 10, 1},
		{2 << 20, 2 << 20, 0},
	} {
		err := cdc.CheckAppend([]cdc.Event{{Data: make([]byte, tt.size)}}, tt.limit)
		large, is := errors.AsType[*cdc.TooLargeError](err)
		if is != (tt.over > 0) {
			t.Errorf("%d bytes with limit %d: got %v", tt.size, tt.limit, err)
		}
		if is && (large.Size != tt.size || !strings.Contains(err.Error(), "MaxEventBytes")) {
			t.Errorf("%d bytes: the error does not say its size or what to do: %v", tt.size, err)
		}
	}
}

func BenchmarkTag(b *testing.B) {
	e := sample.Clone()
	e.Data = make([]byte, 200)
	for b.Loop() {
		_ = e.Tag()
	}
}
