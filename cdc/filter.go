package cdc

import (
	"slices"
	"strings"
)

// Filter selects events. Values of one field are alternatives, fields must all
// match, an empty field matches everything. Comparison is exact; a topic that
// ends in "*" is a prefix.
type Filter struct {
	Topics []string
	Types  []string
	Keys   []string
}

// Empty reports whether the filter matches every event.
func (f Filter) Empty() bool {
	return len(f.Topics) == 0 && len(f.Types) == 0 && len(f.Keys) == 0
}

// Match reports whether the filter selects the event.
func (f Filter) Match(e Event) bool {
	return (len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) &&
		(len(f.Keys) == 0 || slices.Contains(f.Keys, e.Key)) &&
		(len(f.Topics) == 0 || slices.ContainsFunc(f.Topics, func(p string) bool { return matchTopic(p, e.Topic) }))
}

// Select returns the matching events in order: the slice itself if all do,
// otherwise a new one. It never writes to events.
func (f Filter) Select(events []Event) []Event {
	if f.Empty() {
		return events
	}
	first := slices.IndexFunc(events, func(e Event) bool { return !f.Match(e) })
	if first < 0 {
		return events
	}
	selected := slices.Clone(events[:first])
	for _, e := range events[first:] {
		if f.Match(e) {
			selected = append(selected, e)
		}
	}
	return selected
}

// Intersect returns the filter that selects what both select, and false if
// there can be no such event.
func (f Filter) Intersect(g Filter) (Filter, bool) {
	topics, ok1 := intersect(f.Topics, g.Topics, narrowerTopic)
	types, ok2 := intersect(f.Types, g.Types, equalText)
	keys, ok3 := intersect(f.Keys, g.Keys, equalText)
	return Filter{Topics: topics, Types: types, Keys: keys}, ok1 && ok2 && ok3
}

// intersect of two lists of alternatives, where an empty list is everything;
// both gives what two values have in common.
func intersect(a, b []string, both func(x, y string) (string, bool)) ([]string, bool) {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b), true
	}
	var common []string
	for _, x := range a {
		for _, y := range b {
			if z, ok := both(x, y); ok && !slices.Contains(common, z) {
				common = append(common, z)
			}
		}
	}
	return common, len(common) > 0
}

func equalText(x, y string) (string, bool) { return x, x == y }

// narrowerTopic of two patterns: one contains the other or they are disjoint.
func narrowerTopic(x, y string) (string, bool) {
	switch {
	case x == y:
		return x, true
	case coversTopic(x, y):
		return y, true
	case coversTopic(y, x):
		return x, true
	}
	return "", false
}

func coversTopic(wide, narrow string) bool {
	prefix, ok := strings.CutSuffix(wide, "*")
	return ok && strings.HasPrefix(strings.TrimSuffix(narrow, "*"), prefix)
}

func matchTopic(pattern, topic string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(topic, prefix)
	}
	return pattern == topic
}
