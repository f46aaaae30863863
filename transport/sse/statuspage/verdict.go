package statuspage

import (
	"fmt"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// verdict says whether all is well and, if not, what needs somebody, the most
// urgent first.
type verdict struct {
	Well  bool   `json:"well"`
	Needs []need `json:"needs"`
}

// need is one thing that is wrong, and what to do about it.
type need struct {
	About string     `json:"about"`          // log, streams, resets, workers, or errors
	Name  string     `json:"name,omitempty"` // of the worker
	What  string     `json:"what"`
	Do    string     `json:"do"`
	Since *time.Time `json:"since,omitempty"` // if it is known
}

// falling is for how long a reader has caught up with nothing when it falls
// behind, and how old the oldest event is that it has not got.
const falling = 5 * time.Second

// judge returns what is wrong in the snapshot, after those before it.
func (p *page) judge(now time.Time, s *snapshot) verdict {
	p.past.add(now, s)
	v := verdict{Needs: slices.Concat(needsOfLog(s.Log), p.needsOfStreams(now, s), p.needsOfResets(s), p.needsOfWorkers(s.Workers), needsOfErrors(s))}
	if v.Needs == nil {
		v.Needs = []need{}
	}
	v.Well = len(v.Needs) == 0
	return v
}

func needsOfLog(l logged) []need {
	n := need{About: "log", Since: &l.Since}
	switch l.State {
	case logReachable:
		return nil
	case logEnded:
		n.What = "The log is closed for good: no stream goes on."
		n.Do = "Open the log again, which usually means to start this program again."
	case logUnreachable:
		n.What = "The log cannot be reached: nobody gets new events."
		n.Do = "See that the store runs and that this host reaches it. Streams wait, and go on by themselves."
	case logUnfollowed:
		n.What = "The log answers, but cannot be followed: events come late."
		n.Do = "Mend what the error in the card of the log names: usually rights, or a connection that waits for news."
	case logWaiting:
		n.What = "The log has not been reached yet."
		n.Do = "Wait a moment. If it stays so, see that the store runs and that its address and rights are right."
	}
	return []need{n}
}

func (p *page) needsOfStreams(now time.Time, s *snapshot) []need {
	var needs []need
	if s.Streams.Draining {
		needs = append(needs, need{
			About: "streams", What: "The server drains: clients are told to connect again elsewhere.",
			Do: "Nothing, if this instance is to end. Otherwise start it again.",
		})
	}
	turned := p.past.since(func(m moment) uint64 { return m.refused })
	if full := s.Streams.Max > 0 && s.Streams.Open >= s.Streams.Max; full || turned > 0 {
		n := need{About: "streams", Do: "Start another instance, or raise Limits.Streams if this one has memory and processor left."}
		switch {
		case full && turned > 0:
			n.What = fmt.Sprintf("All %d streams are taken, and clients were turned away %s.", s.Streams.Max, times(turned))
		case full:
			n.What = fmt.Sprintf("All %d streams are taken: the next client is turned away.", s.Streams.Max)
		default:
			n.What = fmt.Sprintf("Clients were turned away %s: the server was full, or Authorize was.", times(turned))
		}
		needs = append(needs, n)
	}
	if s.Lag != nil && s.Lag.Median > 0 && p.past.falls(now, "", s.Lag.Median) {
		end := s.Tail.End + s.Log.Behind
		if w := p.waits(now, end-s.Lag.Median, end); w.Seconds >= falling.Seconds() {
			needs = append(needs, need{
				About: "streams", What: fmt.Sprintf("Half of the streams fall behind, by %d events or more.", s.Lag.Median),
				Do: "See whether this process has processor and network left. If only the clients are slow, nothing is lost: they go on when they read.",
			})
		}
	}
	return needs
}

// advice is what a reset says, and what to do about it. That of a malformed
// cursor is the client's own affair.
var advice = []struct {
	reasons  []cdc.Reason
	what, do string
}{
	{
		[]cdc.Reason{cdc.ReasonTruncated},
		"Retention had removed what clients still wanted, %s: they had to reload.",
		"Keep more, or for longer: raise MaxEvents or MaxAge of cdc.Retain.",
	},
	{
		[]cdc.Reason{cdc.ReasonTooFar},
		"Clients wanted more history than Replay.Max allows, %s: they had to reload.",
		"Nothing, if they can. Otherwise raise Replay.Max.",
	},
	{
		[]cdc.Reason{cdc.ReasonForeign, cdc.ReasonFuture, cdc.ReasonDiverged, cdc.ReasonEpochChanged},
		"The log was not the one that clients knew, %s: they had to reload.",
		"Nothing, if it was restored or made anew. Otherwise see who writes to the store, and which log this server opens.",
	},
}

func (p *page) needsOfResets(s *snapshot) []need {
	if s.Log.State == logEnded {
		return nil
	}
	var needs []need
	for _, a := range advice {
		n := p.past.since(func(m moment) (sum uint64) {
			for _, reason := range a.reasons {
				sum += m.resets[reason]
			}
			return sum
		})
		if n > 0 {
			needs = append(needs, need{About: "resets", What: fmt.Sprintf(a.what, times(n)), Do: a.do})
		}
	}
	return needs
}

func (p *page) needsOfWorkers(w *workers) []need {
	if w == nil {
		return nil
	}
	var needs []need
	for _, one := range w.List {
		add := func(what, do string) {
			needs = append(needs, need{About: "workers", Name: one.Name, What: "Worker " + one.Name + " " + what, Do: do})
		}
		switch {
		case one.State == "reset":
			add("cannot go on from where it stands ("+one.Error+").", "Say in ConsumeOptions what a reset does, or seek it to where it is to go on.")
		case one.Paused:
			add("is paused.", "Resume it when it may go on.")
		case one.Holder == "":
			add("is stopped: no instance has its lease.", "Start an instance. After a kill another takes over within seconds.")
		case one.Lag != nil && one.Lag.Seconds >= falling.Seconds() && p.past.falls(p.past.now(), one.Name, one.Lag.Events):
			add(fmt.Sprintf("falls behind, by %d events.", one.Lag.Events), "See its errors: the handler fails and is retried, or is slower than events come.")
		}
		if one.Parked > 0 {
			add(fmt.Sprintf("has parked %s, and what has the same keys waits behind.", count(one.Parked, "event")), "Look at them, then retry or drop them.")
		}
	}
	if w.Error != "" {
		needs = append(needs, need{About: "workers", What: "Some workers cannot be listed: " + w.Error, Do: "See that their place can be reached: it is the store that they write to."})
	}
	return needs
}

// needsOfErrors leaves out what is told of the log already.
func needsOfErrors(s *snapshot) []need {
	if s.Log.State != logReachable {
		return nil
	}
	for _, f := range s.Errors.Recent {
		if !f.Past {
			return []need{{About: "errors", What: "The last error is of less than a minute ago: " + f.Text, Do: "Mend what it names. All of the last errors are in their card."}}
		}
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// times says how often something happened of late.
func times(n uint64) string {
	if n == 1 {
		return "once in the last two minutes"
	}
	return fmt.Sprintf("%d times in the last two minutes", n)
}

// memory is how long past answers are remembered, and step how far they are
// apart at least.
const (
	memory = 2 * time.Minute
	step   = time.Second
)

// past is what the page remembers of its answers. It knows nothing of a time
// when nobody looked.
type past struct{ moments []moment }

// moment is of one answer.
type moment struct {
	at      time.Time
	resets  map[cdc.Reason]uint64 // since the handler was made
	refused uint64                // for overload
	lags    map[string]uint64     // events: of the median stream as "", of the workers by name
}

func (p *past) now() time.Time { return p.moments[len(p.moments)-1].at }

func (p *past) add(now time.Time, s *snapshot) {
	m := moment{at: now, resets: s.Resets, refused: s.Streams.Refused[sse.EndOverload], lags: map[string]uint64{}}
	if s.Lag != nil {
		m.lags[""] = s.Lag.Median
	}
	if s.Workers != nil {
		for _, w := range s.Workers.List {
			if w.Lag != nil {
				m.lags[w.Name] = w.Lag.Events
			}
		}
	}
	if n := len(p.moments); n > 1 && now.Sub(p.moments[n-2].at) < step {
		p.moments = p.moments[:n-1] // the newest is always there
	}
	p.moments = append(p.moments, m)
	p.moments = slices.DeleteFunc(p.moments, func(old moment) bool { return now.Sub(old.at) > memory })
}

// since is by how much a count has grown in what is remembered.
func (p *past) since(count func(moment) uint64) uint64 {
	return count(p.moments[len(p.moments)-1]) - count(p.moments[0])
}

// falls reports whether a reader was behind at each moment of the last time,
// and never less than before.
func (p *past) falls(now time.Time, name string, events uint64) bool {
	next := events
	for _, m := range slices.Backward(p.moments) {
		lag := m.lags[name]
		if lag == 0 || lag > next {
			return false
		}
		if next = lag; now.Sub(m.at) >= falling {
			return lag < events
		}
	}
	return false
}
