package broken

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// Bugs of prefixes, long ways, and what is kept of filtered reads.
const (
	PrefixFolds     Bug = "prefix ignores case"                             // LIKE of SQLite
	PrefixIsPattern Bug = "prefix taken for a pattern"                      // LIKE prefix || '%' without ESCAPE
	PrefixRangeEnd  Bug = "range of a prefix ends at U+FFFF"                // topic < prefix || '\uffff', as the guides of some stores say
	PrefixFirstTwo  Bug = "first two prefixes used"                         // a fixed number of placeholders
	PrefixCut       Bug = "prefix cut at 32 bytes"                          // an index on the first characters
	PrefixLonger    Bug = "prefix without the topic itself"                 // topic > prefix
	PrefixLevel     Bug = "prefix selects the level above"                  // subjects of a bus: a.> and a
	FilterUnbounded Bug = "filtered page without a bound of bytes"          // a limit of rows alone
	FilterGivesUp   Bug = "filtered read gives up after 1,000 other events" // a budget, and Next at the last match
	FilterBudget    Bug = "event at the end of the budget skipped"          // the same, and Next at the event that was not looked at
	FilterCached    Bug = "filtered page cached by seq"                     // a key without epoch and tag
	FilterReuses    Bug = "filtered pages share a buffer"                   // a slice of the handle
	FilterSorts     Bug = "values of the filter sorted in place"            // slices.Sort before the merge
)

func pushedMutants() []Mutant {
	return []Mutant{
		{Bug: PrefixFolds, Layer: Source, Kills: "Reliable/FilteredPrefixes"},
		{Bug: PrefixIsPattern, Layer: Source, Kills: "Reliable/FilteredPrefixes"},
		{Bug: PrefixRangeEnd, Layer: Source, Kills: "Reliable/FilteredPrefixes"},
		{Bug: PrefixFirstTwo, Layer: Source, Kills: "Reliable/FilteredPrefixes"},
		{Bug: PrefixCut, Layer: Source, Kills: "Reliable/FilteredPrefixes"},
		{Bug: PrefixLonger, Layer: Source, Kills: "Reliable/FilteredPrefixes"},
		{Bug: PrefixLevel, Layer: Source, Kills: "Reliable/FilteredPrefixes"},
		{Bug: FilterUnbounded, Layer: Source, Kills: "Reliable/FilteredLarge"},
		{Bug: FilterGivesUp, Layer: Source, Kills: "Reliable/FilteredFar"},
		{Bug: FilterBudget, Layer: Source, Kills: "Reliable/FilteredFar"},
		{Bug: FilterCached, Layer: Source, Kills: "Resumable/FilteredAgain"},
		{Bug: FilterReuses, Layer: Source, Kills: "Contained/FilteredImmutable"},
		{Bug: FilterSorts, Layer: Source, Kills: "Contained/FilteredImmutable"},
	}
}

// counted is what an event adds to the bytes of a page.
func (s *Store) counted(f cdc.Filter, e cdc.Event) int {
	if s.bug == FilterUnbounded && !f.Empty() {
		return 0
	}
	return e.Size()
}

// matchesTopic is the topics of [cdc.Filter.Match] with a bug of prefixes.
func (s *Store) matchesTopic(f cdc.Filter, topic string) bool {
	prefixes := f.TopicPrefixes
	if s.bug == PrefixFirstTwo {
		prefixes = prefixes[:min(len(prefixes), 2)]
	}
	return slices.Contains(f.Topics, topic) || slices.ContainsFunc(prefixes, func(p string) bool { return s.begins(topic, p) })
}

func (s *Store) begins(topic, prefix string) bool {
	switch s.bug {
	case PrefixFolds:
		return len(topic) >= len(prefix) && strings.EqualFold(topic[:len(prefix)], prefix)
	case PrefixIsPattern:
		return like(prefix+"%", topic)
	case PrefixRangeEnd:
		return topic >= prefix && topic < prefix+"\uffff"
	case PrefixCut:
		return strings.HasPrefix(topic, prefix[:min(len(prefix), 32)])
	case PrefixLonger:
		return strings.HasPrefix(topic, prefix) && topic != prefix
	case PrefixLevel:
		return strings.HasPrefix(topic, prefix) || topic+"." == prefix
	}
	return strings.HasPrefix(topic, prefix)
}

// cachedPage is filteredPage, and remembers.
func (s *Store) cachedPage(after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	page, err := s.filteredPage(after, limit, f)
	if s.bug == FilterCached && err == nil {
		s.pages[s.pageKey(after, limit, f)] = page
	}
	return page, err
}

func (s *Store) pageKey(after cdc.Cursor, limit int, f cdc.Filter) string {
	return fmt.Sprintf("%d %d %q %d %d", after.Seq, limit, f, s.disk.bounds.Floor, s.disk.bounds.Head)
}

// tires is what a filtered read does when it has looked at much.
func (s *Store) tires(page cdc.Page, above []cdc.Event, f cdc.Filter) cdc.Page {
	const budget = 1000
	switch {
	case s.bug == FilterSorts:
		slices.Sort(f.Topics)
	case s.bug == FilterReuses:
		s.buffer = append(s.buffer[:0], page.Events...)
		page.Events = s.buffer
	case len(above) <= budget || page.Next <= above[budget-1].Seq:
	case s.bug == FilterGivesUp:
		page.Events = f.Select(above[:budget])
		page.Next = max(above[0].Seq-1, lastSeq(page.Events))
	case s.bug == FilterBudget:
		page = cdc.Page{Events: f.Select(above[:budget]), Next: above[budget].Seq}
	}
	return page
}
