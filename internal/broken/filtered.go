package broken

import (
	"errors"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// Bugs of a Source that filters by itself.
const (
	FilterFoldsCase    Bug = "filter ignores case"                         // a column that is NOCASE, or utf8mb4_general_ci
	FilterPads         Bug = "filter ignores spaces at the end"            // PAD SPACE, of every utf8mb4_bin
	FilterIsPattern    Bug = "filter value taken for a pattern"            // LIKE without ESCAPE
	FilterIsPrefix     Bug = "filter value taken for a prefix"             // LIKE value || '%', a range scan without an end
	FilterCut          Bug = "filter value cut at 255 bytes"               // an index on the first characters alone
	FilterNumber       Bug = "filter value compared as a number"           // a column without a type: '1' = '01'
	FilterEmptyIsAny   Bug = "empty filter value matches everything"       // if topic != "" { … }
	FilterRefuses      Bug = "filter value that cannot be stored errors"   // invalid byte sequence for encoding "UTF8": 0x00
	FilterOrs          Bug = "fields of a filter taken for alternatives"   // WHERE topic IN (…) OR type IN (…)
	FilterFirstValue   Bug = "only the first filter value used"            // query.Get where query["topic"] was meant
	FilterLongCut      Bug = "long filter list cut"                        // the first hundred of an IN list
	FilterTopicsAlone  Bug = "types and keys of a filter forgotten"        // an index that has the topic, and nobody who looks at the rest
	FilterTwice        Bug = "value given twice returned twice"            // UNION ALL over the values
	FilterNotMerged    Bug = "topics read one after the other"             // a UNION without ORDER BY, cut at its limit
	FilterLimitEach    Bug = "limit of each topic, Next of the last"       // the topics' pages appended, and the highest seq taken
	FilterNextIsHead   Bug = "head as Next of a full filtered page"        // what lies between is skipped
	FilterLimitsBefore Bug = "limit before the filter, Next of the last"   // LIMIT inside, WHERE outside, and the head as Next
	FilterNextAbove    Bug = "Next of a filtered page above the head"      // the last number drawn, since nothing matched
	FilterSeesOpen     Bug = "filtered read sees open transactions"        // an index that is written before the commit
	FilterSkipsFloor   Bug = "filtered read does not look at the floor"    // the checks of Read, written once and not twice
	FilterSkipsEpoch   Bug = "filtered read does not look at the epoch"    // the same
	FilterSkipsTag     Bug = "filtered read does not look at the tag"      // the event at the cursor does not match, so it is not read
	FilterSkipsLast    Bug = "filtered read accepts the future"            // the same
	FilterUntagged     Bug = "filtered page without the tag of its Next"   // this library: a rewound log went unnoticed behind a filter
	FilterBytes        Bug = "large event empties a filtered page"         // a byte budget that is checked before the first event
	FilterStops        Bug = "filtered page ends at the first other event" // a run of equal topics taken for all
)

func filterMutants() []Mutant {
	of := func(kills string, bugs ...Bug) (list []Mutant) {
		for _, b := range bugs {
			list = append(list, Mutant{Bug: b, Layer: Source, Kills: kills})
		}
		return list
	}
	return slices.Concat(
		of("Reliable/FilteredExact", FilterFoldsCase, FilterPads, FilterIsPattern, FilterIsPrefix, FilterCut, FilterNumber, FilterEmptyIsAny),
		of("Reliable/FilteredUnstorable", FilterRefuses),
		of("Reliable/FilteredFields", FilterOrs, FilterFirstValue, FilterLongCut, FilterTopicsAlone, FilterTwice),
		of("Reliable/FilteredMerged", FilterNotMerged, FilterLimitEach, FilterNextIsHead, FilterLimitsBefore, FilterStops),
		of("Reliable/FilteredNextIsCovered", FilterNextAbove),
		of("Reliable/FilteredLarge", FilterBytes),
		of("Committed/Filtered", FilterSeesOpen),
		of("Resumable/FilteredTruncated", FilterSkipsFloor),
		of("Resumable/FilteredForeign", FilterSkipsEpoch),
		of("Resumable/FilteredDiverged", FilterSkipsTag),
		of("Resumable/FilteredFuture", FilterSkipsLast),
		of("Resumable/FilteredRewound", FilterUntagged),
	)
}

// unchecked is the cursor that is checked for a filtered read.
func (s *Store) unchecked(after cdc.Cursor, f cdc.Filter) cdc.Cursor {
	b := s.disk.bounds
	switch {
	case f.Empty():
	case s.bug == FilterSkipsFloor:
		after.Seq = max(after.Seq, b.Floor)
	case s.bug == FilterSkipsEpoch:
		after.Epoch = b.Epoch
	case s.bug == FilterSkipsTag:
		after.Tag = ""
	case s.bug == FilterSkipsLast:
		after.Seq = min(after.Seq, b.Last)
	}
	return after
}

// selects is Filter.Match with the bug.
func (s *Store) selects(f cdc.Filter, e cdc.Event) bool {
	switch {
	case f.Empty():
		return true
	case s.bug == FilterOrs:
		return slices.Contains(f.Topics, e.Topic) || slices.Contains(f.Types, e.Type) || slices.Contains(f.Keys, e.Key)
	case s.bug == FilterTopicsAlone && len(f.Topics) > 0:
		return slices.Contains(f.Topics, e.Topic)
	}
	match := func(values []string, text string) bool {
		if s.bug == FilterFirstValue && len(values) > 0 {
			values = values[:1]
		}
		if s.bug == FilterLongCut {
			values = values[:min(len(values), 100)]
		}
		return len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return s.sameText(v, text) })
	}
	if len(f.TopicPrefixes) > 0 {
		topics := f
		topics.Topics, topics.TopicPrefixes = nil, nil
		return s.matchesTopic(f, e.Topic) && topics.Match(e)
	}
	return match(f.Topics, e.Topic) && match(f.Types, e.Type) && match(f.Keys, e.Key)
}

func (s *Store) sameText(value, text string) bool {
	switch s.bug {
	case FilterFoldsCase:
		return strings.EqualFold(value, text)
	case FilterPads:
		return strings.TrimRight(value, " ") == strings.TrimRight(text, " ")
	case FilterIsPattern:
		return like(value, text)
	case FilterIsPrefix:
		return strings.HasPrefix(text, value)
	case FilterCut:
		return value[:min(len(value), 255)] == text[:min(len(text), 255)]
	case FilterNumber:
		return value == text || strings.Trim(value, "0123456789") == "" && strings.TrimLeft(value, "0") == strings.TrimLeft(text, "0")
	case FilterEmptyIsAny:
		return value == "" || value == text
	}
	return value == text
}

// like is SQL's.
func like(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	switch pattern[0] {
	case '%':
		return like(pattern[1:], text) || text != "" && like(pattern, text[1:])
	case '_':
		return text != "" && like(pattern[1:], text[1:])
	}
	return text != "" && text[0] == pattern[0] && like(pattern[1:], text[1:])
}

// filteredPage is what follows the cursor and matches.
func (s *Store) filteredPage(after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	if s.bug == FilterRefuses && slices.ContainsFunc(slices.Concat(f.Topics, f.Types, f.Keys), func(v string) bool { return strings.Contains(v, "\x00") }) {
		return cdc.Page{}, errors.New(`broken: invalid byte sequence for encoding "UTF8": 0x00`)
	}
	page, err := s.page(after, limit, f)
	if err != nil {
		return page, err
	}
	d := s.disk
	page = s.spoilFiltered(page, after, limit, f)
	page = s.tires(page, d.events[d.search(after.Seq):], f)
	if i := d.search(page.Next); i > 0 && d.events[i-1].Seq == page.Next && s.bug != FilterUntagged {
		page.Tag = d.events[i-1].Tag()
	}
	return page, nil
}

func (s *Store) spoilFiltered(page cdc.Page, after cdc.Cursor, limit int, f cdc.Filter) cdc.Page {
	head, above := s.disk.bounds.Head, s.disk.events[s.disk.search(after.Seq):]
	n := len(page.Events)
	switch s.bug {
	case FilterNextIsHead:
		page.Next = max(page.Next, head)
	case FilterNextAbove:
		if n == 0 {
			page.Next = max(after.Seq, head+1)
		}
	case FilterLimitsBefore:
		page = cdc.Page{Events: f.Select(above[:min(limit, len(above))]), Next: max(after.Seq, head)}
	case FilterStops:
		if i := slices.IndexFunc(above, f.Match); i >= 0 {
			above = above[i:]
			if end := slices.IndexFunc(above, func(e cdc.Event) bool { return !f.Match(e) }); end > 0 {
				page.Events = slices.Clone(above[:min(end, limit)])
				page.Next = lastSeq(page.Events)
				if end <= limit {
					page.Next = max(after.Seq, head)
				}
			}
		}
	case FilterBytes:
		if n > 0 && page.Events[0].Size() > cdc.PageBytes/4 {
			page = cdc.Page{Next: after.Seq}
		}
	case FilterTwice, FilterNotMerged, FilterLimitEach:
		return s.topicByTopic(page, above, limit, f)
	}
	return page
}

// topicByTopic reads each topic of the filter for itself.
func (s *Store) topicByTopic(page cdc.Page, above []cdc.Event, limit int, f cdc.Filter) cdc.Page {
	if len(f.Topics) < 2 {
		return page
	}
	var events []cdc.Event
	for _, topic := range f.Topics {
		own := f.Select(slices.DeleteFunc(slices.Clone(above), func(e cdc.Event) bool { return e.Topic != topic }))
		events = append(events, own[:min(len(own), limit)]...)
	}
	if len(events) == 0 {
		return page
	}
	if s.bug == FilterNotMerged {
		events = events[:min(len(events), limit)]
	}
	sortBySeq(events)
	if s.bug == FilterTwice {
		page.Events = events[:min(len(events), limit)]
		return page
	}
	events = slices.CompactFunc(events, func(a, b cdc.Event) bool { return a.Seq == b.Seq })
	if s.bug == FilterLimitEach && len(events) > limit {
		return cdc.Page{Events: events[:limit], Next: lastSeq(events)}
	}
	return cdc.Page{Events: events, Next: max(lastSeq(events), page.Next)}
}
