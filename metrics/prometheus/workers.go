package gaplessprom

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gapless-go/gapless/cdc"
)

// workersTime is how long the places may take to list their workers.
const workersTime = 5 * time.Second

// workers are the metrics of workers.
type workers struct {
	list atomic.Pointer[func(ctx context.Context) ([]cdc.WorkerStatus, error)]

	position, head, lag, waiting *prometheus.Desc
	active, parked, paused       *prometheus.Desc
	errors                       prometheus.Counter
}

func newWorkers() *workers {
	by := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"worker"}, labels...), nil)
	}
	return &workers{
		position: by("gapless_worker_position", "Seq up to which everything took effect or is parked."),
		head:     by("gapless_worker_head", "Newest seq of the log that the worker reads."),
		lag:      by("gapless_worker_lag_events", "Seqs that the worker is behind the log; absent while that is not known."),
		waiting:  by("gapless_worker_lag_seconds", "Age of the oldest event that the worker has not handled; absent while that is not known."),
		active:   by("gapless_worker_active", "1 if the instance works or waits for events, 0 if it was the last and no other has followed.", "holder"),
		parked:   by("gapless_worker_parked_events", "Events that are parked."),
		paused:   by("gapless_worker_paused", "1 if the worker was paused."),
		errors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "gapless_worker_list_errors_total", Help: "Failures to list workers."}),
	}
}

// WatchWorkers adds the metrics of the workers, which read the log. For each
// collection the places and the log are asked. A name should be that of one
// worker: metrics have no other label.
func (c *Collector) WatchWorkers(log cdc.Log, of ...cdc.WorkersOf) {
	list := func(ctx context.Context) ([]cdc.WorkerStatus, error) { return cdc.ListWorkers(ctx, log, of...) }
	c.workers.list.Store(&list)
}

func (w *workers) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{w.position, w.head, w.lag, w.waiting, w.active, w.parked, w.paused} {
		out <- d
	}
	w.errors.Describe(out)
}

func (w *workers) Collect(out chan<- prometheus.Metric) {
	list := w.list.Load()
	if list == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), workersTime)
	defer cancel()
	all, err := (*list)(ctx)
	if err != nil {
		w.errors.Inc()
	}
	w.errors.Collect(out)
	listed := map[string]bool{}
	for _, one := range all {
		if !listed[one.Name] { // a second one would be refused, and all else with it
			listed[one.Name] = true
			w.collectOne(one, out)
		}
	}
}

func (w *workers) collectOne(one cdc.WorkerStatus, out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{one.Name}, labels...)...)
	}
	gauge(w.position, float64(one.Cursor.Seq))
	gauge(w.parked, float64(one.Parked))
	gauge(w.paused, number(one.Paused))
	if one.Lease.Holder != "" {
		gauge(w.active, number(one.Lease.Remaining > 0), one.Lease.Holder)
	}
	if one.Err != nil {
		return
	}
	gauge(w.head, float64(one.Head))
	if one.Cursor != (cdc.Cursor{}) {
		gauge(w.lag, float64(one.Behind))
		gauge(w.waiting, one.Age.Seconds())
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
