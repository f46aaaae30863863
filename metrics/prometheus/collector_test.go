package gaplessprom_test

import (
	"bufio"
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gapless-go/gapless/cdc"
	gaplessprom "github.com/gapless-go/gapless/metrics/prometheus"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestMetricsOfAStream(t *testing.T) {
	log := memlog.New(nil)
	metrics := gaplessprom.New()
	handler, err := sse.NewHandler(log, &sse.Options{Observer: metrics})
	if err != nil {
		t.Fatal(err)
	}
	metrics.Watch(handler.Hub())
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	if _, err := log.Append(t.Context(), cdc.Event{Data: []byte(`1`)}, cdc.Event{Data: []byte(`2`)}); err != nil {
		t.Fatal(err)
	}

	server := httptest.NewServer(handler)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"?after=beginning", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for live := false; !live && lines.Scan(); {
		live = lines.Text() == "event: cdc.live"
	}
	if err := handler.Close(); err != nil {
		t.Error(err)
	}
	metrics.HubRead(cdc.HubRead{Err: errors.New("down")})
	metrics.StreamEnded("overload", false)
	for more := true; more; { // to the end: the stream has been accounted for
		more = lines.Scan()
	}

	want := `
# HELP gapless_events_sent_total Events sent, replayed and live.
# TYPE gapless_events_sent_total counter
gapless_events_sent_total{state="replaying"} 2
# HELP gapless_hub_head Newest seq that the Hub has.
# TYPE gapless_hub_head gauge
gapless_hub_head 2
# HELP gapless_source_errors_total Failures of the log, met by followers or by the Hub.
# TYPE gapless_source_errors_total counter
gapless_source_errors_total 1
# HELP gapless_streams Open streams.
# TYPE gapless_streams gauge
gapless_streams 0
# HELP gapless_streams_ended_total Streams that have ended, by reason.
# TYPE gapless_streams_ended_total counter
gapless_streams_ended_total{reason="drain"} 1
# HELP gapless_streams_opened_total Streams that were admitted.
# TYPE gapless_streams_opened_total counter
gapless_streams_opened_total 1
# HELP gapless_streams_refused_total Streams that were turned away, by reason.
# TYPE gapless_streams_refused_total counter
gapless_streams_refused_total{reason="overload"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"gapless_events_sent_total", "gapless_hub_head", "gapless_source_errors_total", "gapless_streams",
		"gapless_streams_ended_total", "gapless_streams_opened_total", "gapless_streams_refused_total"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

// A follower that stands still is behind by events and by a time that grows.
func TestLagOfTheSlowestFollower(t *testing.T) {
	log := memlog.New(nil)
	hub := cdc.NewHub(log, nil)
	defer func() { _ = hub.Close() }()
	metrics := gaplessprom.New()
	metrics.Watch(hub)
	lag := func() (events, seconds float64) {
		t.Helper()
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(metrics)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			switch f.GetName() {
			case "gapless_hub_lag_events":
				events = f.GetMetric()[0].GetGauge().GetValue()
			case "gapless_hub_lag_seconds":
				seconds = f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return events, seconds
	}
	next, stop := iter.Pull2(cdc.Follow(t.Context(), hub, cdc.Beginning, nil))
	defer stop()
	for live := false; !live; {
		b, err, _ := next()
		if err != nil {
			t.Fatal(err)
		}
		live = b.State == cdc.Live
	}
	if events, seconds := lag(); events != 0 || seconds != 0 {
		t.Errorf("a follower that has everything is behind by %v events and %v s", events, seconds)
	}
	for range 2 {
		if _, err := log.Append(t.Context(), cdc.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	events, first := lag()
	for ; events < 2; events, first = lag() { // until the Hub has both
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Millisecond)
	if _, later := lag(); first <= 0 || later <= first {
		t.Errorf("behind by %v s, then by %v s", first, later)
	}
}

// down is a log that cannot be reached.
type down struct{ *memlog.Log }

func (down) Subscribe(context.Context) (cdc.Subscription, error) {
	return nil, errors.New("down")
}

func TestErrorsOfTheHubAreCounted(t *testing.T) {
	metrics, told := gaplessprom.New(), make(chan error, 1)
	hub := cdc.NewHub(down{memlog.New(nil)}, &cdc.HubOptions{Observer: metrics, OnError: func(err error) {
		select {
		case told <- err:
		default:
		}
	}})
	defer func() { _ = hub.Close() }()
	<-told
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "gapless_source_errors_total" && f.GetMetric()[0].GetCounter().GetValue() >= 1 {
			return
		}
	}
	t.Error("no error is counted that nobody but the Hub met")
}
