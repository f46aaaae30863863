package statuspage

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// snapshot is the answer of ?data. Counts are since Started. Seqs are texts:
// they have 64 bits.
type snapshot struct {
	Time    time.Time          `json:"time"`
	Started time.Time          `json:"started"` // the page
	Verdict verdict            `json:"verdict"`
	Log     logged             `json:"log"`
	Streams streams            `json:"streams"`
	Sent    sent               `json:"sent"`
	Lag     *lag               `json:"lag"` // null while the log is away: nobody knows
	Tail    tail               `json:"tail"`
	Workers *workers           `json:"workers"` // null without Options.Workers
	Resets  counts[cdc.Reason] `json:"resets"`
	Errors  failures           `json:"errors"`
	List    []listed           `json:"list"`
}

// counts are by reason.
type counts[K ~string] map[K]uint64

type streams struct {
	Open      int                   `json:"open"`
	Max       int                   `json:"max"` // that can be open; 0 is no limit
	Draining  bool                  `json:"draining"`
	Starting  int                   `json:"starting"` // nothing was delivered yet
	Replaying int                   `json:"replaying"`
	Live      int                   `json:"live"`    // everything was sent, or will be at once
	Waiting   int                   `json:"waiting"` // they were live, and the log is away
	Parked    int                   `json:"parked"`  // of the open ones: they have no goroutine at this moment
	Opened    uint64                `json:"opened"`
	Ended     counts[sse.EndReason] `json:"ended"`
	Refused   counts[sse.EndReason] `json:"refused"`
}

// sent is what was handed to the operating system. What the clients have
// received nobody here knows.
type sent struct {
	Events   uint64 `json:"events"`
	Replayed uint64 `json:"replayed"` // of the events
	Bytes    uint64 `json:"bytes"`
}

// lag is how much is still to be sent to the streams, without those that start.
type lag struct {
	Behind  int    `json:"behind"` // streams
	Slowest waits  `json:"slowest"`
	Median  uint64 `json:"median,string"` // events
}

// waits is how much is still to be sent from one position on.
type waits struct {
	Events  uint64  `json:"events,string"` // seqs, which is more where there are holes
	Seconds float64 `json:"seconds"`       // for the oldest of them that is in the tail
	AtLeast bool    `json:"atLeast"`       // older ones are in the log
}

type tail struct {
	Base      uint64 `json:"base,string"`
	End       uint64 `json:"end,string"`
	Events    int    `json:"events"`
	Bytes     int    `json:"bytes"`
	MaxEvents int    `json:"maxEvents"`
	MaxBytes  int    `json:"maxBytes"`
	Followers int    `json:"followers"`
	Hits      uint64 `json:"hits"`
	Misses    uint64 `json:"misses"`
	Errors    uint64 `json:"errors"`
}

type failures struct {
	Count  uint64    `json:"count"`
	Recent []failure `json:"recent"` // the newest first
}

type failure struct {
	Time  time.Time `json:"time"`
	Text  string    `json:"text"`
	Count uint64    `json:"count"`
	Past  bool      `json:"past"` // the log has recovered since, or it is a minute ago
}

// listed is one stream of the sample.
type listed struct {
	Remote   string   `json:"remote,omitempty"`
	Topics   []string `json:"topics,omitempty"`
	Types    []string `json:"types,omitempty"`
	Keys     []string `json:"keys,omitempty"`
	More     int      `json:"more,omitempty"` // values of the filter that are left out
	State    string   `json:"state"`
	Age      float64  `json:"age"` // seconds
	Position uint64   `json:"position,string"`
	Lag      *waits   `json:"lag"` // null while the log is away
	Events   uint64   `json:"events"`
	Bytes    uint64   `json:"bytes"`
}

// answer returns the snapshot as JSON, which must not be changed. Those who ask
// at the same time get the same.
func (p *page) answer(ctx context.Context) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.data == nil || time.Since(p.made) >= freshness {
		log, hub := p.watch.look(ctx, p.opts.Workers)
		now := time.Now()
		s := p.snapshot(now, log, hub)
		s.Verdict = p.judge(now, &s)
		data, err := json.Marshal(s)
		if err != nil {
			panic(err) // it has nothing that JSON cannot hold
		}
		p.data, p.made = data, now
	}
	return p.data
}

func (p *page) snapshot(now time.Time, log logged, hub cdc.HubStatus) snapshot {
	status := p.handler.Status()
	s := snapshot{
		Time: now.UTC(), Started: p.started.UTC(), Log: log, Workers: p.watch.workers,
		Streams: streams{
			Open: status.Open, Max: status.Max, Draining: status.Draining, Parked: status.Parked, Opened: status.Opened,
			Ended: orEmpty(status.Ended), Refused: orEmpty(status.Refused),
		},
		Sent: sent{Events: status.Events, Replayed: status.Replayed, Bytes: status.Bytes},
		Tail: tail{
			Base: hub.Base.Seq, End: hub.End.Seq, Events: hub.Events, Bytes: hub.Bytes,
			MaxEvents: hub.MaxEvents, MaxBytes: hub.MaxBytes, Followers: hub.Followers,
			Hits: hub.Hits, Misses: hub.Misses, Errors: hub.Errors,
		},
		Resets: orEmpty(status.Resets),
		Errors: failures{Count: status.Failures, Recent: []failure{}},
		List:   []listed{},
	}
	for _, f := range status.Recent {
		recovered := log.State == logReachable && f.Time.Before(log.Since)
		s.Errors.Recent = append(s.Errors.Recent, failure{
			Time: f.Time.UTC(), Text: f.Text, Count: f.Count, Past: recovered || now.Sub(f.Time) > errorAge,
		})
	}
	end := hub.End.Seq + log.Behind
	for _, one := range p.survey(&s, status, end) {
		s.List = append(s.List, p.entry(now, one, log.State))
	}
	if s.Lag.Slowest.Events > 0 {
		s.Lag.Slowest = p.waits(now, end-s.Lag.Slowest.Events, end)
	}
	if !log.State.lagKnown() {
		s.Lag = nil
		s.Streams.Live, s.Streams.Waiting = 0, s.Streams.Live
	}
	return s
}

// survey counts the streams by state, measures their lag, and returns the
// sample: those furthest behind, among equals the oldest.
func (p *page) survey(s *snapshot, status sse.Status, end uint64) []measured {
	worst := sample{max: max(p.opts.Streams, 0)}
	lags := make([]uint64, 0, status.Open)
	for one := range status.Streams() {
		m := measured{StreamStatus: one, end: end}
		switch {
		case one.State == cdc.Live:
			s.Streams.Live++
		case m.starting():
			s.Streams.Starting++
		default:
			s.Streams.Replaying++
		}
		if !m.starting() {
			lags = append(lags, m.lag())
		}
		worst.add(m)
	}
	slices.Sort(lags)
	s.Lag = &lag{}
	if n := len(lags); n > 0 {
		first, _ := slices.BinarySearch(lags, 1)
		s.Lag = &lag{Behind: n - first, Median: lags[n/2], Slowest: waits{Events: lags[n-1]}}
	}
	return worst.sorted()
}

// measured is a stream, and the end of the log at that time.
type measured struct {
	sse.StreamStatus
	end uint64
}

// starting reports whether the stream has no position yet.
func (m measured) starting() bool { return m.Position == 0 && m.State != cdc.Live }

// lag is in seqs. A position beyond the end is one of the next moment.
func (m measured) lag() uint64 {
	if m.starting() || m.Position > m.end {
		return 0
	}
	return m.end - m.Position
}

func (p *page) waits(now time.Time, position, end uint64) waits {
	if position >= end {
		return waits{}
	}
	since, exact := p.handler.Hub().Waiting(position)
	w := waits{Events: end - position, AtLeast: !exact}
	if since.IsZero() {
		since = p.watch.beyond.Time // the Hub has not read it yet
	}
	if !since.IsZero() {
		w.Seconds = max(0, now.Sub(since).Seconds())
	}
	return w
}

func (p *page) entry(now time.Time, m measured, state logState) listed {
	l := listed{
		State: m.State.String(), Age: max(0, now.Sub(m.Opened).Seconds()), Position: m.Position,
		Events: m.Events, Bytes: m.Bytes,
	}
	switch {
	case m.starting():
		l.State = "starting"
	case !state.lagKnown() && m.State == cdc.Live:
		l.State = "waiting"
	}
	if state.lagKnown() {
		l.Lag = new(p.waits(now, m.end-m.lag(), m.end))
	}
	if p.opts.Remote {
		l.Remote = shortened(m.Remote)
	}
	topics := slices.Clone(m.Filter.Topics)
	for _, prefix := range m.Filter.TopicPrefixes {
		topics = append(topics, prefix+"*")
	}
	l.Topics = l.some(topics)
	l.Types = l.some(m.Filter.Types)
	l.Keys = l.some(m.Filter.Keys)
	return l
}

// Of a filter, which clients choose, this much is shown.
const (
	maxValues     = 6 // of each field
	maxValueRunes = 80
)

func (l *listed) some(values []string) []string {
	n := min(len(values), maxValues)
	l.More += len(values) - n
	var shown []string
	for _, v := range values[:n] {
		shown = append(shown, shortened(v))
	}
	return shown
}

// shortened keeps the text short, and of a long one costs no more than that.
func shortened(text string) string {
	text = text[:min(len(text), 4*(maxValueRunes+1))]
	runes := []rune(strings.ToValidUTF8(text, "\uFFFD"))
	if len(runes) > maxValueRunes {
		return string(runes[:maxValueRunes]) + "…"
	}
	return string(runes)
}

// sample keeps the streams that are furthest behind.
type sample struct {
	max   int
	of    []measured
	floor *measured // the last of those that were kept when it was full
}

// add sorts once for each max streams that could belong to the sample.
func (s *sample) add(m measured) {
	if s.max == 0 || s.floor != nil && m.compare(*s.floor) >= 0 {
		return
	}
	s.of = append(s.of, m)
	if len(s.of) >= 2*s.max {
		s.of = s.sorted()
		floor := s.of[s.max-1]
		s.floor = &floor
	}
}

func (s *sample) sorted() []measured {
	slices.SortFunc(s.of, measured.compare)
	return s.of[:min(len(s.of), s.max)]
}

// compare orders by lag, the most first, then by age.
func (m measured) compare(o measured) int {
	return cmp.Or(cmp.Compare(o.lag(), m.lag()), m.Opened.Compare(o.Opened))
}

// orEmpty makes {} of no counts rather than null.
func orEmpty[K ~string](m map[K]uint64) counts[K] {
	if m == nil {
		return counts[K]{}
	}
	return m
}
