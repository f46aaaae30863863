// Package gaplessprom makes Prometheus metrics of what Gapless does. It is a
// module of its own, so that only those who use it get its dependencies.
//
//	metrics := gaplessprom.New()
//	handler, err := sse.NewHandler(log, &sse.Options{Observer: metrics})
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
)

// Collector is a [cdc.Observer] and a [prometheus.Collector]. Use [New].
type Collector struct {
	streams prometheus.Gauge
	opened  prometheus.Counter
	ended   *prometheus.CounterVec // by reason
	refused *prometheus.CounterVec // by reason
	events  *prometheus.CounterVec // by state
	bytes   prometheus.Counter
	delay   prometheus.Histogram
	reads   *prometheus.CounterVec // by where from
	errors  prometheus.Counter

	hub                                 atomic.Pointer[cdc.Hub]
	head, tail, lag, waiting, followers *prometheus.Desc
}

var (
	_ cdc.Observer         = (*Collector)(nil)
	_ prometheus.Collector = (*Collector)(nil)
)

// New returns a collector to be given to a handler and to be registered.
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
		reads:  by("gapless_hub_reads_total", "Reads of followers, from the tail in memory or the log.", "from"),
		errors: counter("gapless_source_errors_total", "Failures of the log, met by followers or by the Hub."),

		head:      prometheus.NewDesc("gapless_hub_head", "Newest seq that the Hub has.", nil, nil),
		tail:      prometheus.NewDesc("gapless_hub_tail_bytes", "Bytes of events in the tail.", nil, nil),
		lag:       prometheus.NewDesc("gapless_hub_lag_events", "Seqs that the slowest follower is behind the Hub.", nil, nil),
		waiting:   prometheus.NewDesc("gapless_hub_lag_seconds", "Age of the oldest event that the slowest follower has not got; at least this, if it is behind the tail.", nil, nil),
		followers: prometheus.NewDesc("gapless_hub_followers", "Followers of the Hub, streams or not.", nil, nil),
	}
}

// Watch adds the metrics of the Hub.
func (c *Collector) Watch(hub *cdc.Hub) { c.hub.Store(hub) }

// HubRead implements [cdc.Observer].
func (c *Collector) HubRead(r cdc.HubRead) {
	switch {
	case r.Err != nil:
		c.errors.Inc()
	case r.Tail:
		c.reads.WithLabelValues("tail").Inc()
	default:
		c.reads.WithLabelValues("log").Inc()
	}
}

// StreamOpened implements [cdc.Observer].
func (c *Collector) StreamOpened() {
	c.opened.Inc()
	c.streams.Inc()
}

// StreamSent implements [cdc.Observer].
func (c *Collector) StreamSent(s cdc.StreamSent) {
	c.events.WithLabelValues(s.State.String()).Add(float64(s.Events))
	c.bytes.Add(float64(s.Bytes))
	if s.State == cdc.Live {
		c.delay.Observe(s.Delay.Seconds())
	}
}

// StreamEnded implements [cdc.Observer].
func (c *Collector) StreamEnded(reason string, admitted bool) {
	if !admitted {
		c.refused.WithLabelValues(reason).Inc()
		return
	}
	c.ended.WithLabelValues(reason).Inc()
	c.streams.Dec()
}

func (c *Collector) parts() []prometheus.Collector {
	return []prometheus.Collector{c.streams, c.opened, c.ended, c.refused, c.events, c.bytes, c.delay, c.reads, c.errors}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, p := range c.parts() {
		p.Describe(out)
	}
	for _, d := range []*prometheus.Desc{c.head, c.tail, c.lag, c.waiting, c.followers} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	for _, p := range c.parts() {
		p.Collect(out)
	}
	hub := c.hub.Load()
	if hub == nil {
		return
	}
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
}
