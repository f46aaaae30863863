package gaplessprom_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gapless-go/gapless/cdc"
	gaplessprom "github.com/gapless-go/gapless/metrics/prometheus"
	memlog "github.com/gapless-go/gapless/source/mem"
)

const metricsOfWorkers = `
# HELP gapless_worker_active 1 if the instance works or waits for events, 0 if it was the last and no other has followed.
# TYPE gapless_worker_active gauge
gapless_worker_active{holder="host/1",worker="mails"} 1
# HELP gapless_worker_head Newest seq of the log that the worker reads.
# TYPE gapless_worker_head gauge
gapless_worker_head{worker="mails"} 3
gapless_worker_head{worker="new"} 3
# HELP gapless_worker_lag_events Seqs that the worker is behind the log; absent while that is not known.
# TYPE gapless_worker_lag_events gauge
gapless_worker_lag_events{worker="mails"} 2
# HELP gapless_worker_list_errors_total Failures to list workers.
# TYPE gapless_worker_list_errors_total counter
gapless_worker_list_errors_total 1
# HELP gapless_worker_parked_events Events that are parked.
# TYPE gapless_worker_parked_events gauge
gapless_worker_parked_events{worker="lost"} 0
gapless_worker_parked_events{worker="mails"} 1
gapless_worker_parked_events{worker="new"} 0
# HELP gapless_worker_paused 1 if the worker was paused.
# TYPE gapless_worker_paused gauge
gapless_worker_paused{worker="lost"} 0
gapless_worker_paused{worker="mails"} 1
gapless_worker_paused{worker="new"} 0
# HELP gapless_worker_position Seq up to which everything took effect or is parked.
# TYPE gapless_worker_position gauge
gapless_worker_position{worker="lost"} 7
gapless_worker_position{worker="mails"} 1
gapless_worker_position{worker="new"} 0
`

type brokenPlace struct{}

func (brokenPlace) Workers(context.Context) ([]cdc.Worker, error) { return nil, errors.New("down") }

func TestMetricsOfWorkers(t *testing.T) {
	log, place := memlog.New(nil), memlog.NewPlace()
	if _, err := log.Append(t.Context(), cdc.Event{}, cdc.Event{}, cdc.Event{}); err != nil {
		t.Fatal(err)
	}
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]cdc.Change{
		"mails": {Cursor: cdc.Cursor{Epoch: b.Epoch, Seq: 1}, Paused: true, Park: []cdc.Parked{{Event: cdc.Event{Seq: 1}}}},
		"lost":  {Cursor: cdc.Cursor{Epoch: "before", Seq: 7}},
	} {
		if err := place.Apply(t.Context(), name, 0, func(context.Context, *memlog.PlaceTx) (cdc.Change, error) { return c, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := place.Lease(t.Context(), "mails", "host/1", time.Hour); err != nil {
		t.Fatal(err)
	}
	metrics := gaplessprom.New()
	of := cdc.WorkersOf{Place: place, Names: []string{"mails", "lost", "new"}}
	metrics.WatchWorkers(log, of, cdc.WorkersOf{Place: brokenPlace{}}, of) // a name that comes twice spoils nothing
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(metricsOfWorkers),
		"gapless_worker_active", "gapless_worker_head", "gapless_worker_lag_events", "gapless_worker_list_errors_total",
		"gapless_worker_parked_events", "gapless_worker_paused", "gapless_worker_position"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}
