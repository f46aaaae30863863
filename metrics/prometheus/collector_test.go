package gaplessprom_test

import (
	"bufio"
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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
	handler, err := sse.NewHandler(log, &sse.Options{Observer: metrics.Streams()})
	if err != nil {
		t.Fatal(err)
	}
	metrics.Watch(handler.Hub())
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	if _, err := log.Append(t.Context(), cdc.Event{Data: []byte(`1`)}, cdc.Event{Data: []byte(`2`)}); err != nil {
		t.Fatal(err)
	}

	endInDrain(t, handler)
	metrics.Streams().StreamEnded(sse.StreamEnded{Reason: sse.EndOverload})
	if err := testutil.GatherAndCompare(registry, strings.NewReader(metricsOfOneStream),
		"gapless_events_sent_total", "gapless_hub_head", "gapless_source_errors_total", "gapless_streams",
		"gapless_streams_ended_total", "gapless_streams_opened_total", "gapless_streams_refused_total"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

// endInDrain follows until the stream is live, ends the handler, and reads what
// is left of the stream.
func endInDrain(t *testing.T, handler *sse.Handler) {
	t.Helper()
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
	for more := true; more; { // to the end: the stream has been accounted for
		more = lines.Scan()
	}
}

const metricsOfOneStream = `
# HELP gapless_events_sent_total Events sent, replayed and live.
# TYPE gapless_events_sent_total counter
gapless_events_sent_total{state="replaying"} 2
# HELP gapless_hub_head Newest seq that the Hub has.
# TYPE gapless_hub_head gauge
gapless_hub_head 2
# HELP gapless_source_errors_total Failures of the log, met by followers or by the Hub.
# TYPE gapless_source_errors_total counter
gapless_source_errors_total 0
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

// A follower that stands still is behind by events and by a time that grows.
func TestLagOfTheSlowestFollower(t *testing.T) {
	log := memlog.New(nil)
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	metrics := gaplessprom.New()
	metrics.Watch(hub)
	lag := func() (events, seconds float64) { return gatherLag(t, metrics) }
	next, stop := iter.Pull2(cdc.Follow(t.Context(), hub, cdc.Beginning(), nil))
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

func gatherLag(t *testing.T, metrics *gaplessprom.Collector) (events, seconds float64) {
	t.Helper()
	return gauge(t, metrics, "gapless_hub_lag_events"), gauge(t, metrics, "gapless_hub_lag_seconds")
}

// gauge is the value of a metric without labels.
func gauge(t *testing.T, metrics *gaplessprom.Collector, name string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// down is a log that cannot be subscribed to while it is away.
type down struct {
	*memlog.Log
	away *atomic.Bool
}

func (d down) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	if d.away.Load() {
		return nil, errors.New("down")
	}
	return d.Log.Subscribe(ctx)
}

func TestFailuresOfTheHub(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	metrics, told := gaplessprom.New(), make(chan error, 1)
	hub, err := cdc.NewHub(down{memlog.New(nil), &away}, &cdc.HubOptions{OnError: func(err error) {
		select {
		case told <- err:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	<-told
	metrics.Watch(hub)
	first := gauge(t, metrics, "gapless_hub_failing_seconds")
	if later := gauge(t, metrics, "gapless_hub_failing_seconds"); first <= 0 || later <= first {
		t.Errorf("the Hub has failed for %v s, then for %v s", first, later)
	}
	if n := testutil.ToFloat64(errorsOf{metrics}); n < 1 {
		t.Errorf("%v errors are counted, want those that nobody but the Hub met", n)
	}
	away.Store(false)
	for gauge(t, metrics, "gapless_hub_failing_seconds") > 0 {
		time.Sleep(time.Millisecond)
	}
}

// errorsOf collects the errors alone.
type errorsOf struct{ *gaplessprom.Collector }

func (e errorsOf) Collect(out chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric, 100)
	e.Collector.Collect(all)
	close(all)
	for m := range all {
		if strings.Contains(m.Desc().String(), "gapless_source_errors_total") {
			out <- m
		}
	}
}
