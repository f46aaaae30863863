package cdc

import (
	"fmt"
	"slices"
	"strings"
)

// Filter selects events. A topic matches if it is one of Topics or begins with
// one of TopicPrefixes. The values of Types and of Keys are alternatives too,
// and topic, type and key must all match. A filter with neither Topics nor
// TopicPrefixes matches every topic; so it is with Types and Keys: a Filter is
// what a reader asks for, not what it is allowed.
type Filter struct {
	Topics        []string // exact: no character has a meaning of its own
	TopicPrefixes []string // "" is a prefix of every topic
	Types         []string // exact
	Keys          []string // exact
}

// Empty reports whether the filter matches every event.
func (f Filter) Empty() bool {
	return f.anyTopic() && len(f.Types) == 0 && len(f.Keys) == 0
}

func (f Filter) anyTopic() bool { return len(f.Topics) == 0 && len(f.TopicPrefixes) == 0 }

// key is the same text for the same values, and for no others.
func (f Filter) key() string {
	return fmt.Sprintf("%q", [...][]string{f.Topics, f.TopicPrefixes, f.Types, f.Keys})
}

// Match reports whether the filter selects the event.
func (f Filter) Match(e Event) bool {
	return (len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) &&
		(len(f.Keys) == 0 || slices.Contains(f.Keys, e.Key)) &&
		f.matchTopic(e.Topic)
}

func (f Filter) matchTopic(topic string) bool {
	return f.anyTopic() || slices.Contains(f.Topics, topic) ||
		slices.ContainsFunc(f.TopicPrefixes, func(prefix string) bool { return strings.HasPrefix(topic, prefix) })
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
	both, ok1 := f.intersectTopics(g)
	types, ok2 := intersect(f.Types, g.Types)
	keys, ok3 := intersect(f.Keys, g.Keys)
	both.Types, both.Keys = types, keys
	return both, ok1 && ok2 && ok3
}

// intersectTopics returns a filter with topics alone.
func (f Filter) intersectTopics(g Filter) (both Filter, ok bool) {
	if f.anyTopic() || g.anyTopic() {
		return Filter{
			Topics:        slices.Concat(f.Topics, g.Topics),
			TopicPrefixes: slices.Concat(f.TopicPrefixes, g.TopicPrefixes),
		}, true
	}
	topics, prefixes := setOf(nil), setOf(nil)
	for _, pair := range [2][2]Filter{{f, g}, {g, f}} {
		exact, begins := setOf(pair[1].Topics), setOf(pair[1].TopicPrefixes)
		for _, topic := range pair[0].Topics {
			if (exact.has(topic) || begins.hasPrefixOf(topic)) && topics.add(topic) {
				both.Topics = append(both.Topics, topic)
			}
		}
		for _, prefix := range pair[0].TopicPrefixes { // the longer of two is in the other
			if begins.hasPrefixOf(prefix) && prefixes.add(prefix) {
				both.TopicPrefixes = append(both.TopicPrefixes, prefix)
			}
		}
	}
	return both, !both.anyTopic()
}

// intersect of two lists of alternatives, where an empty list is everything.
func intersect(a, b []string) ([]string, bool) {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b), true
	}
	var common []string
	inB, taken := setOf(b), setOf(nil)
	for _, x := range a {
		if inB.has(x) && taken.add(x) {
			common = append(common, x)
		}
	}
	return common, len(common) > 0
}

// textSet makes the time of Intersect grow with the length of the lists, not
// with its square: a client chooses one of them.
type textSet struct {
	texts   map[string]struct{}
	longest int // bytes; -1 if there are none
}

func setOf(texts []string) *textSet {
	s := &textSet{texts: make(map[string]struct{}, len(texts)), longest: -1}
	for _, text := range texts {
		s.add(text)
	}
	return s
}

func (s *textSet) has(text string) bool {
	_, ok := s.texts[text]
	return ok
}

// add reports whether the text is new.
func (s *textSet) add(text string) bool {
	before := len(s.texts)
	s.texts[text] = struct{}{}
	s.longest = max(s.longest, len(text))
	return len(s.texts) > before
}

// hasPrefixOf reports whether the text begins with one of the set.
func (s *textSet) hasPrefixOf(text string) bool {
	for n := 0; n <= min(len(text), s.longest); n++ {
		if s.has(text[:n]) {
			return true
		}
	}
	return false
}
