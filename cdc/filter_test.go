package cdc_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/gapless-go/gapless/cdc"
)

func TestFilterMatch(t *testing.T) {
	e := cdc.Event{Topic: "shop/orders", Type: "order.created", Key: "7"}
	for name, tt := range map[string]struct {
		f    cdc.Filter
		want bool
	}{
		"all":                   {cdc.Filter{}, true},
		"topic":                 {cdc.Filter{Topics: []string{"shop/orders"}}, true},
		"topic prefix":          {cdc.Filter{Topics: []string{"x"}, TopicPrefixes: []string{"y", "shop/"}}, true},
		"no prefix":             {cdc.Filter{TopicPrefixes: []string{""}}, true},
		"other prefix":          {cdc.Filter{TopicPrefixes: []string{"shop/x", "shop/orders/"}}, false},
		"a star is a star":      {cdc.Filter{Topics: []string{"*", "shop/*"}, TopicPrefixes: []string{"shop*"}}, false},
		"type or":               {cdc.Filter{Types: []string{"a", "order.created"}}, true},
		"type is no prefix":     {cdc.Filter{Types: []string{"order*"}}, false},
		"key":                   {cdc.Filter{Keys: []string{"7"}}, true},
		"and, one does not":     {cdc.Filter{TopicPrefixes: []string{"shop/"}, Keys: []string{"8"}}, false},
		"empty text is a value": {cdc.Filter{Keys: []string{""}}, false},
	} {
		if got := tt.f.Match(e); got != tt.want {
			t.Errorf("%s: Match = %t, want %t", name, got, tt.want)
		}
	}
}

func TestFilterSelect(t *testing.T) {
	events := []cdc.Event{{Seq: 1, Type: "a"}, {Seq: 2, Type: "b"}, {Seq: 3, Type: "a"}}
	for typ, want := range map[string][]uint64{"a": {1, 3}, "b": {2}, "c": nil} {
		if got := seqsOf(cdc.Filter{Types: []string{typ}}.Select(events)); !reflect.DeepEqual(got, want) {
			t.Errorf("Select(%s) = %v, want %v", typ, got, want)
		}
	}
	if got := (cdc.Filter{Types: []string{"a", "b"}}).Select(events); &got[0] != &events[0] {
		t.Error("a filter that all match made a copy")
	}
	if !reflect.DeepEqual(seqsOf(events), []uint64{1, 2, 3}) {
		t.Errorf("Select wrote to its argument: %v", seqsOf(events))
	}
}

func TestFilterIntersect(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b, want cdc.Filter
		ok         bool
	}{
		"with all":      {cdc.Filter{}, cdc.Filter{Topics: []string{"a"}}, cdc.Filter{Topics: []string{"a"}}, true},
		"prefix, exact": {cdc.Filter{TopicPrefixes: []string{"a"}}, cdc.Filter{Topics: []string{"ab", "b"}}, cdc.Filter{Topics: []string{"ab"}}, true},
		"two prefixes":  {cdc.Filter{TopicPrefixes: []string{"ab"}}, cdc.Filter{TopicPrefixes: []string{"a"}}, cdc.Filter{TopicPrefixes: []string{"ab"}}, true},
		"disjoint":      {cdc.Filter{TopicPrefixes: []string{"ab"}}, cdc.Filter{TopicPrefixes: []string{"ac"}}, cdc.Filter{}, false},
		"a star": {
			cdc.Filter{Topics: []string{"a*"}},
			cdc.Filter{Topics: []string{"ab"}, TopicPrefixes: []string{"a*", "b"}},
			cdc.Filter{Topics: []string{"a*"}},
			true,
		},
		"both kinds": {
			cdc.Filter{Topics: []string{"a", "x1"}, TopicPrefixes: []string{"b"}},
			cdc.Filter{Topics: []string{"a", "b1"}, TopicPrefixes: []string{"x", "bc"}},
			cdc.Filter{Topics: []string{"a", "x1", "b1"}, TopicPrefixes: []string{"bc"}},
			true,
		},
		"other fields": {cdc.Filter{Topics: []string{"a"}}, cdc.Filter{Types: []string{"t"}}, cdc.Filter{Topics: []string{"a"}, Types: []string{"t"}}, true},
		"types":        {cdc.Filter{Types: []string{"t", "u"}}, cdc.Filter{Types: []string{"u", "v"}}, cdc.Filter{Types: []string{"u"}}, true},
		"keys apart":   {cdc.Filter{Keys: []string{"1"}}, cdc.Filter{Keys: []string{"2"}}, cdc.Filter{}, false},
	} {
		for _, pair := range [][2]cdc.Filter{{tt.a, tt.b}, {tt.b, tt.a}} {
			got, ok := pair[0].Intersect(pair[1])
			slices.Sort(got.Topics)
			slices.Sort(tt.want.Topics)
			if ok != tt.ok || ok && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: got %+v, %t, want %+v, %t", name, got, ok, tt.want, tt.ok)
			}
		}
	}
}
