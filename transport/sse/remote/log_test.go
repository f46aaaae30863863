package remote_test

import (
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

func TestReadIsExact(t *testing.T) {
	s, log := serveNew(t, nil)
	ctx := t.Context()
	data := []string{"{\"a\":1}\n", "{\r\n}", "", "\x00\xff", ` 1 `, "plain"}
	for i, d := range data {
		e := cdc.Event{ID: strconv.Itoa(i), Topic: "t\n", Type: "ä", Key: "\"k\"", Data: []byte(d), Meta: map[string]string{"trace": "1\n2"}}
		if _, err := log.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, s.URL, nil)
	want, err := log.Bounds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	bounds, err := l.Bounds(ctx)
	if err != nil || bounds != want {
		t.Fatalf("bounds %+v, %v; want %+v", bounds, err, want)
	}
	for limit := 1; limit <= len(data)+1; limit++ {
		got := readInPages(t, l, bounds.Epoch, limit)
		origin, err := log.Read(ctx, cdc.Cursor{Epoch: bounds.Epoch}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if len(got[i].Data) == 0 && len(origin.Events[i].Data) == 0 {
				got[i].Data = origin.Events[i].Data
			}
			if !reflect.DeepEqual(got[i], origin.Events[i]) {
				t.Errorf("limit %d: event %+v, want %+v", limit, got[i], origin.Events[i])
			}
		}
		if len(got) != len(data) {
			t.Errorf("limit %d: %d events, want %d", limit, len(got), len(data))
		}
	}
}

// readInPages reads all events, at most limit at a time.
func readInPages(t *testing.T, l cdc.Source, epoch string, limit int) []cdc.Event {
	t.Helper()
	at := cdc.Cursor{Epoch: epoch}
	var got []cdc.Event
	for {
		page, err := l.Read(t.Context(), at, limit)
		if err != nil {
			t.Fatal(err)
		}
		if page.Next == at.Seq {
			return got
		}
		if len(page.Events) > limit {
			t.Fatalf("%d events, limit %d", len(page.Events), limit)
		}
		got = append(got, page.Events...)
		at.Seq = page.Next
	}
}

func TestErrors(t *testing.T) {
	s, log := serveNew(t, nil)
	receipt := appendData(t, log, `1`, `2`, `3`)
	if _, err := log.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	l := open(t, s.URL, nil)
	for reason, c := range map[cdc.Reason]cdc.Cursor{
		cdc.ReasonTruncated: {Epoch: receipt.Epoch, Seq: 1},
		cdc.ReasonFuture:    {Epoch: receipt.Epoch, Seq: 9},
		cdc.ReasonForeign:   {Epoch: "other", Seq: 3},
		cdc.ReasonDiverged:  {Epoch: receipt.Epoch, Seq: 3, Tag: "AAAAAAAAAAA"},
	} {
		_, err := l.Read(t.Context(), c, 10)
		if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != reason || reset.Floor != 2 || reset.Head != 3 {
			t.Errorf("%s: error %v", reason, err)
		}
	}
	missing := open(t, s.URL+"?after=", &remote.Options{Prepare: func(r *http.Request) error {
		r.URL.RawQuery = "heartbeat=never"
		return nil
	}})
	if _, err := missing.Subscribe(t.Context()); err == nil {
		t.Error("a status of 400 was taken for a subscription")
	} else if status, ok := errors.AsType[*remote.StatusError](err); !ok || status.Status != 400 {
		t.Errorf("error %v, want status 400", err)
	}
}

func TestSubscriptionEndsWhenTheEpochChanges(t *testing.T) {
	s, log := serveNew(t, nil)
	appendData(t, log, `1`)
	l := open(t, s.URL, nil)
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	appendData(t, log, `2`)
	if events, err := sub.Next(t.Context()); err != nil || len(events) != 1 || string(events[0].Data) != `2` {
		t.Fatalf("events %v, %v; want the second", events, err)
	}
	if _, err := log.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = sub.Next(t.Context())
	if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonEpochChanged {
		t.Errorf("error %v, want a reset: epoch-changed", err)
	}
}

func TestSilenceIsNoticed(t *testing.T) {
	s, log := serveNew(t, &sse.Options{Retry: time.Millisecond})
	var failures errorLog
	l := open(t, s.URL, &remote.Options{Silence: 50 * time.Millisecond, OnError: failures.add})
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	appendData(t, log, `1`)
	if events, err := sub.Next(t.Context()); err != nil || len(events) != 1 {
		t.Errorf("events %v, %v", events, err)
	}
	if failures.String() == "[]" {
		t.Error("OnError was not told of the reconnect")
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
	if err := sub.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

func TestOpenRefusesWrongOptions(t *testing.T) {
	for name, opts := range map[string]*remote.Options{
		"a client with a timeout": {Client: &http.Client{Timeout: time.Minute}},
		"a negative silence":      {Silence: -time.Second},
		"a negative buffer":       {Buffer: -1},
	} {
		if _, err := remote.Open("http://127.0.0.1/events", opts); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := remote.Open("no url", nil); err == nil {
		t.Error("an address without a host was accepted")
	}
}
