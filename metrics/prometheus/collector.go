// Package gaplessprom makes Prometheus metrics of what Gapless does. It is a
// module of its own, so that only those who use it get its dependencies.
//
//	metrics := gaplessprom.New()
//	handler, err := sse.NewHandler(log, &sse.Options{Observer: metrics.Streams()})
//	metrics.Watch(handler.Hub())
//	prometheus.MustRegister(metrics)
//
// docs/grafana.json in the repository is a dashboard for them.
package gaplessprom

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// Collector is a [prometheus.Collector] of what its observer is told, of the
// status of a Hub, and of workers. Use [New].
type Collector struct {
	streams prometheus.Gauge
	opened  prometheus.Counter
	ended   *prometheus.CounterVec // by reason
	refused *prometheus.CounterVec // by reason
	events  *prometheus.CounterVec // by state
	bytes   prometheus.Counter
	delay   prometheus.Histogram

	hub                                 atomic.Pointer[cdc.Hub]
	head, tail, lag, waiting, followers *prometheus.Desc
	failing, reads, errors              *prometheus.Desc

	workers *workers
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns a collector to be registered, whose observer is for a handler.
func New() *Collector {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	by := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	return &Collector{
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gapless_streams", Help: "Open streams."}),
		opened:  counter("gapless_streams_opened_total", "Streams that were admitted."),
		ended:   by("gapless_streams_ended_total", "Streams that have ended, by reason.", "reason"),
		refused: by("gapless_streams_refused_total", "Streams that were turned away, by reason.", "reason"),
		events:  by("gapless_events_sent_total", "Events sent, replayed and live.", "state"),
		bytes:   counter("gapless_bytes_sent_total", "Bytes of events sent."),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gapless_delivery_seconds", Help: "Time from append to the end of the write to a live client.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),

		head:      prometheus.NewDesc("gapless_hub_head", "Newest seq that the Hub has.", nil, nil),
		tail:      prometheus.NewDesc("gapless_hub_tail_bytes", "Bytes of events in the tail.", nil, nil),
		lag:       prometheus.NewDesc("gapless_hub_lag_events", "Seqs that the slowest follower is behind the Hub.", nil, nil),
		waiting:   prometheus.NewDesc("gapless_hub_lag_seconds", "Age of the oldest event that the slowest follower has not got; at least this, if it is behind the tail.", nil, nil),
		followers: prometheus.NewDesc("gapless_hub_followers", "Followers of the Hub, streams or not.", nil, nil),
		failing:   prometheus.NewDesc("gapless_hub_failing_seconds", "For how long the Hub has not been able to follow the log, 0 while it can; what it is behind is not known then.", nil, nil),
		reads:     prometheus.NewDesc("gapless_hub_reads_total", "Reads of followers, from the tail in memory or the log.", []string{"from"}, nil),
		errors:    prometheus.NewDesc("gapless_source_errors_total", "Failures of the log, met by followers or by the Hub.", nil, nil),

		workers: newWorkers(),
	}
}

// Watch adds the metrics of the Hub.
func (c *Collector) Watch(hub *cdc.Hub) { c.hub.Store(hub) }

// Streams returns the observer for the options of a handler.
func (c *Collector) Streams() sse.Observer {
	return sse.Observer{
		StreamOpened: func(sse.StreamOpened) {
			c.opened.Inc()
			c.streams.Inc()
		},
		StreamSent: func(s sse.StreamSent) {
			c.events.WithLabelValues(s.State.String()).Add(float64(s.Events))
			c.bytes.Add(float64(s.Bytes))
			if s.State == cdc.Live {
				c.delay.Observe(s.Delay.Seconds())
			}
		},
		StreamEnded: func(e sse.StreamEnded) {
			if !e.Admitted {
				c.refused.WithLabelValues(string(e.Reason)).Inc()
				return
			}
			c.ended.WithLabelValues(string(e.Reason)).Inc()
			c.streams.Dec()
		},
	}
}

func (c *Collector) parts() []prometheus.Collector {
	return []prometheus.Collector{c.streams, c.opened, c.ended, c.refused, c.events, c.bytes, c.delay, c.workers}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, p := range c.parts() {
		p.Describe(out)
	}
	for _, d := range []*prometheus.Desc{c.head, c.tail, c.lag, c.waiting, c.followers, c.failing, c.reads, c.errors} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	for _, p := range c.parts() {
		p.Collect(out)
	}
	if hub := c.hub.Load(); hub != nil {
		c.collectHub(hub, out)
	}
}

func (c *Collector) collectHub(hub *cdc.Hub, out chan<- prometheus.Metric) {
	s := hub.Status()
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(c.head, float64(s.End.Seq))
	gauge(c.tail, float64(s.Bytes))
	gauge(c.lag, float64(s.End.Seq-s.Slowest))
	age := 0.0
	if since, _ := hub.Waiting(s.Slowest); !since.IsZero() {
		age = max(0, time.Since(since).Seconds())
	}
	gauge(c.waiting, age)
	gauge(c.followers, float64(s.Followers))
	failing := 0.0
	if !s.Failing.IsZero() {
		failing = max(time.Nanosecond, time.Since(s.Failing)).Seconds()
	}
	gauge(c.failing, failing)
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	counter(c.reads, s.Hits, "tail")
	counter(c.reads, s.Misses, "log")
	counter(c.errors, s.Errors)
}
