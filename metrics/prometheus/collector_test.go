package gaplessprom_test

import (
	"bufio"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
# HELP gapless_source_errors_total Reads that the log failed.
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
