package sse

import (
	"encoding/json"
	"slices"

	"github.com/gapless-go/gapless/cdc"
)

// Scope is the part of a log that a client may see. The zero Scope is nothing,
// and so is one that was made of an empty list: what a user's rooms allow is
// [Topics](rooms...), whatever the rooms are. Topics are exact: no character in
// one has a meaning. Scopes are values; use [Everything], [Topics] or
// [TopicPrefixes].
type Scope struct {
	allowed bool
	filter  cdc.Filter // empty is everything, if allowed
}

// Everything is the whole log.
func Everything() Scope { return Scope{allowed: true} }

// Topics are the events of these topics.
func Topics(topics ...string) Scope {
	return Scope{allowed: len(topics) > 0, filter: cdc.Filter{Topics: slices.Clone(topics)}}
}

// TopicPrefixes are the events of the topics that begin with one of these. An
// empty prefix, of a name that was not set perhaps, is left out: it would be
// everything. End a prefix that holds a name with a separator, or "user:al"
// lets al read what is ali's.
func TopicPrefixes(prefixes ...string) Scope { return Scope{}.OrTopicPrefixes(prefixes...) }

// OrTopicPrefixes adds to the topics of the Scope those of [TopicPrefixes].
func (s Scope) OrTopicPrefixes(prefixes ...string) Scope {
	if s.allowed && len(s.filter.Topics)+len(s.filter.TopicPrefixes) == 0 {
		return s // every topic already
	}
	add := slices.DeleteFunc(slices.Clone(prefixes), func(p string) bool { return p == "" })
	s.allowed = s.allowed || len(add) > 0
	s.filter.TopicPrefixes = slices.Concat(s.filter.TopicPrefixes, add)
	return s
}

// OnlyTypes narrows the Scope to events of these types.
func (s Scope) OnlyTypes(types ...string) Scope { return s.only(cdc.Filter{Types: types}, len(types)) }

// OnlyKeys narrows the Scope to events with these keys.
func (s Scope) OnlyKeys(keys ...string) Scope { return s.only(cdc.Filter{Keys: keys}, len(keys)) }

// only narrows the Scope by one list of n values.
func (s Scope) only(f cdc.Filter, n int) Scope {
	narrowed, overlap := s.filter.Intersect(f)
	if !s.allowed || !overlap || n == 0 {
		return Scope{}
	}
	return Scope{allowed: true, filter: narrowed}
}

// narrow returns what of the Scope is asked for, and false if nothing is.
func (s Scope) narrow(asked cdc.Filter) (cdc.Filter, bool) {
	f, overlap := s.filter.Intersect(asked)
	return f, s.allowed && overlap
}

// scopeText is a Scope in a ticket: of one without a filter it says so.
type scopeText struct {
	Everything bool        `json:"everything,omitempty"`
	Filter     *cdc.Filter `json:"filter,omitempty"`
}

// MarshalJSON writes what [Scope.UnmarshalJSON] reads.
func (s Scope) MarshalJSON() ([]byte, error) {
	switch {
	case !s.allowed:
		return json.Marshal(scopeText{})
	case s.filter.Empty():
		return json.Marshal(scopeText{Everything: true})
	}
	return json.Marshal(scopeText{Filter: &s.filter})
}

// UnmarshalJSON reads a Scope. What says nothing is nothing.
func (s *Scope) UnmarshalJSON(data []byte) error {
	var text scopeText
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*s = Scope{allowed: text.Everything}
	if f := text.Filter; f != nil && !f.Empty() {
		*s = Scope{allowed: true, filter: *f}
	}
	return nil
}
