package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Verify returns every promise that the history breaks, the streams' first.
// It is a pure function: it changes nothing and reads nothing else.
func Verify(h *History) []*Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := newJudge(h)
	for _, s := range slices.Concat(h.Streams, h.Logs) {
		j.stream(s)
	}
	j.appends(h.Appends)
	return j.found
}

// judge knows the union of all that was seen, epoch by epoch.
type judge struct {
	found  []*Violation
	epochs map[string]*epoch
	times  map[string]int  // how often an ID was appended
	hidden map[string]bool // IDs of transactions that were refused
	logged map[string]bool // epochs whose log was read in the end, from its first event
}

// epoch is what is known of the log in one epoch.
type epoch struct {
	records []Record // sorted by seq, one per seq
	ids     map[string]uint64
}

func newJudge(h *History) *judge {
	j := &judge{epochs: map[string]*epoch{}, times: map[string]int{}, hidden: map[string]bool{}, logged: map[string]bool{}}
	for _, a := range h.Appends {
		if a.Outcome == Acknowledged {
			j.learn(a.Epoch, a.Records)
		}
		for _, r := range a.Records {
			j.times[r.ID]++
			if a.Outcome == Refused && r.ID != "" {
				j.hidden[r.ID] = true
			}
		}
	}
	for _, a := range h.Appends {
		for _, r := range a.Records { // refused once, appended again later
			if a.Outcome != Refused {
				delete(j.hidden, r.ID)
			}
		}
	}
	for _, s := range slices.Concat(h.Logs, h.Streams) {
		for _, step := range s.Steps {
			j.learn(s.Epoch, step.Records)
		}
	}
	for _, s := range h.Logs {
		j.logged[s.Epoch] = s.From == 0 // else an event without a known seq may have been trimmed
	}
	for _, e := range j.epochs {
		j.settle(e)
	}
	return j
}

func (j *judge) learn(name string, records []Record) {
	e := j.epochs[name]
	if e == nil {
		e = &epoch{ids: map[string]uint64{}}
		j.epochs[name] = e
	}
	for _, r := range records {
		if r.Seq > 0 {
			e.records = append(e.records, r)
		}
	}
}

// settle sorts what is known and finds seqs that name two different events.
func (j *judge) settle(e *epoch) {
	slices.SortStableFunc(e.records, func(a, b Record) int { return cmp.Compare(a.Seq, b.Seq) })
	all := e.records
	e.records = all[:0:0]
	for _, r := range all {
		last := len(e.records) - 1
		if last < 0 || e.records[last].Seq != r.Seq {
			e.records = append(e.records, r)
			continue
		}
		known := &e.records[last]
		if known.ID != r.ID || known.Sum != 0 && r.Sum != 0 && known.Sum != r.Sum {
			j.fault(Ordered, "", "seq %d is two different events: %s and %s", r.Seq, known.name(), r.name())
		}
		if known.Sum == 0 {
			known.Sum = r.Sum
		}
	}
	for _, r := range e.records {
		if r.ID == "" {
			continue
		}
		if first, twice := e.ids[r.ID]; twice {
			j.fault(Idempotent, "", "ID %q is in the log twice, at %d and at %d", r.ID, first, r.Seq)
			continue
		}
		e.ids[r.ID] = r.Seq
	}
}

func (r Record) name() string {
	if r.ID != "" {
		return strconv.Quote(r.ID)
	}
	return fmt.Sprintf("content %x", r.Sum)
}

// stream judges one stream against the union.
func (j *judge) stream(s *Stream) {
	at, top := s.From, s.From
	seen := map[uint64]bool{}
	ids := map[string]uint64{}
	var order []uint64
	for _, step := range s.Steps {
		for _, r := range step.Records {
			order = append(order, r.Seq)
			switch {
			case seen[r.Seq]:
				j.around(Unique, s, order, r.Seq, "%d came twice", r.Seq)
			case r.Seq <= s.From:
				j.around(Resumable, s, order, r.Seq, "%d came though the stream began after %d", r.Seq, s.From)
			case r.Seq < top:
				j.around(Ordered, s, order, r.Seq, "%d came after %d", r.Seq, top)
			case r.Seq <= at:
				j.around(Bookmark, s, order, r.Seq, "%d came although the cursor %d before it said that everything up to there had come", r.Seq, at)
			}
			if first, twice := ids[r.ID]; twice && r.ID != "" && first != r.Seq {
				j.around(Unique, s, order, r.Seq, "event %q came twice, as %d and as %d", r.ID, first, r.Seq)
			}
			if j.hidden[r.ID] {
				j.around(Committed, s, order, r.Seq, "%d is event %q, whose append was refused or rolled back", r.Seq, r.ID)
			}
			seen[r.Seq], ids[r.ID] = true, r.Seq
			top = max(top, r.Seq)
		}
		switch {
		case step.Cursor < top:
			j.fault(Bookmark, s.Name, "cursor %d came with event %d: resuming from it would repeat events", step.Cursor, top)
		case step.Cursor < at:
			j.fault(Bookmark, s.Name, "the cursor went back from %d to %d", at, step.Cursor)
		}
		at = max(at, step.Cursor)
	}
	j.complete(s, seen, order, max(at, top))
	if s.Ends > 1 {
		j.fault(Contained, s.Name, "ended with %d errors", s.Ends)
	}
	if s.After > 0 {
		j.fault(Contained, s.Name, "%d batches came after the final error", s.After)
	}
}

// complete finds what the stream should have delivered up to the end.
func (j *judge) complete(s *Stream, seen map[uint64]bool, order []uint64, end uint64) {
	e := j.epochs[s.Epoch]
	if e == nil {
		return
	}
	var missing []uint64
	for _, r := range e.between(s.From, end) {
		if !seen[r.Seq] && (s.Selects == nil || s.Selects(r)) {
			missing = append(missing, r.Seq)
		}
	}
	if len(missing) == 0 {
		return
	}
	where := "middle"
	switch {
	case len(order) == 0 || missing[0] < slices.Min(order):
		where = "beginning"
	case missing[0] > slices.Max(order):
		where = "end"
	}
	j.around(Reliable, s, order, missing[0], "missing %s (%s)", joinSeqs(missing, 12), where)
}

// between returns what is known in (from, to].
func (e *epoch) between(from, to uint64) []Record {
	i, _ := slices.BinarySearchFunc(e.records, from+1, func(r Record, seq uint64) int { return cmp.Compare(r.Seq, seq) })
	k := i
	for k < len(e.records) && e.records[k].Seq <= to {
		k++
	}
	return e.records[i:k]
}

// appends judges the appends against each other and against what was seen.
func (j *judge) appends(all []Append) {
	var acknowledged []Append
	for _, a := range all {
		e := j.epochs[a.Epoch]
		if e == nil {
			continue
		}
		if len(a.Records) > 1 && a.Outcome == Unknown {
			j.atomic(e, a)
		}
		if a.Outcome != Acknowledged {
			continue
		}
		acknowledged = append(acknowledged, a)
		var top uint64
		for _, r := range a.Records {
			if r.Seq == 0 && r.ID != "" && j.logged[a.Epoch] && e.ids[r.ID] == 0 {
				j.fault(Durable, "", "event %q was acknowledged and is not in the log", r.ID)
			}
			if j.again(r) {
				continue
			}
			if r.Seq > 0 && r.Seq < top {
				j.fault(Ordered, "", "one append got the seqs %s", joinSeqs(seqsOf(a.Records), 12))
			}
			top = max(top, r.Seq)
		}
	}
	j.order(acknowledged)
}

func (j *judge) atomic(e *epoch, a Append) {
	n := 0
	for _, r := range a.Records {
		if e.ids[r.ID] != 0 {
			n++
		}
	}
	if n > 0 && n < len(a.Records) {
		j.fault(Atomic, "", "%d of the %d events of one append are in the log", n, len(a.Records))
	}
}

// order checks that what was acknowledged before another append began comes
// first.
func (j *judge) order(appends []Append) {
	byEnd := slices.Clone(appends)
	slices.SortFunc(byEnd, func(a, b Append) int { return cmp.Compare(a.End, b.End) })
	slices.SortFunc(appends, func(a, b Append) int { return cmp.Compare(a.Begin, b.Begin) })
	highest := map[string]uint64{} // of what ended before
	i := 0
	for _, b := range appends {
		for ; i < len(byEnd) && byEnd[i].End < b.Begin; i++ {
			for _, seq := range j.seqs(byEnd[i]) {
				highest[byEnd[i].Epoch] = max(highest[byEnd[i].Epoch], seq)
			}
		}
		for _, seq := range j.seqs(b) {
			if h := highest[b.Epoch]; seq < h {
				j.fault(Ordered, "", "%d was appended after %d had been acknowledged, but comes before it", seq, h)
			}
		}
	}
}

// again reports whether the event was appended more than once: it has the seq
// of its first append, so that it says nothing about the order of the others.
func (j *judge) again(r Record) bool { return r.ID != "" && j.times[r.ID] > 1 }

// seqs returns where the events of an append are, as far as that is known.
func (j *judge) seqs(a Append) []uint64 {
	var seqs []uint64
	for _, r := range a.Records {
		if j.again(r) {
			continue
		}
		if r.Seq == 0 && r.ID != "" && j.epochs[a.Epoch] != nil {
			r.Seq = j.epochs[a.Epoch].ids[r.ID]
		}
		if r.Seq != 0 {
			seqs = append(seqs, r.Seq)
		}
	}
	return seqs
}

func (j *judge) fault(g Guarantee, stream, format string, args ...any) {
	j.found = append(j.found, &Violation{Guarantee: g, Stream: stream, Problem: fmt.Sprintf(format, args...)})
}

// around reports a fault with what was expected and seen near the seq.
func (j *judge) around(g Guarantee, s *Stream, order []uint64, seq uint64, format string, args ...any) {
	const span = 3
	v := &Violation{Guarantee: g, Stream: s.Name, Problem: fmt.Sprintf(format, args...)}
	if e := j.epochs[s.Epoch]; e != nil {
		i, _ := slices.BinarySearchFunc(e.records, seq, func(r Record, seq uint64) int { return cmp.Compare(r.Seq, seq) })
		for _, r := range e.records[max(0, i-span):min(len(e.records), i+span+1)] {
			if r.Seq > s.From {
				v.Expected = append(v.Expected, r.Seq)
			}
		}
	}
	i := len(order) - 1
	if last := slices.Index(order, seq); last < 0 {
		i = slices.IndexFunc(order, func(n uint64) bool { return n > seq })
		if i < 0 {
			i = len(order)
		}
	}
	v.Seen = slices.Clone(order[max(0, i-span):min(len(order), i+span+1)])
	j.found = append(j.found, v)
}

func seqsOf(records []Record) []uint64 {
	seqs := make([]uint64, len(records))
	for i, r := range records {
		seqs[i] = r.Seq
	}
	return seqs
}

func joinSeqs(seqs []uint64, limit int) string {
	var b strings.Builder
	for i, seq := range seqs {
		if i == limit {
			fmt.Fprintf(&b, " and %d more", len(seqs)-limit)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, seq)
	}
	return b.String()
}

// alignSeqs prints both lists so that what one lacks is a blank in it.
func alignSeqs(expected, seen []uint64) (a, b string) {
	i, k := 0, 0
	for i < len(expected) || k < len(seen) {
		switch {
		case i < len(expected) && k < len(seen) && expected[i] == seen[k]:
			text := fmt.Sprint(expected[i], " ")
			a, b, i, k = a+text, b+text, i+1, k+1
		case i < len(expected) && !slices.Contains(seen[k:], expected[i]):
			text := fmt.Sprintf("[%d] ", expected[i])
			a, b, i = a+text, b+strings.Repeat(" ", len(text)), i+1
		case k < len(seen):
			text := fmt.Sprintf("[%d] ", seen[k])
			a, b, k = a+strings.Repeat(" ", len(text)), b+text, k+1
		default:
			text := fmt.Sprint(expected[i], " ")
			a, b, i = a+text, b+strings.Repeat(" ", len(text)), i+1
		}
	}
	return strings.TrimRight(a, " "), strings.TrimRight(b, " ")
}
