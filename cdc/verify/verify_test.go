package verify_test

import (
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func TestVerifyFindsTheHole(t *testing.T) {
	h := &verify.History{}
	var records []verify.Record
	for seq := uint64(38); seq <= 44; seq++ {
		records = append(records, verify.Record{Seq: seq})
	}
	h.Append(verify.Append{Begin: h.Tick(), End: h.Tick(), Epoch: "e", Records: records, Outcome: verify.Acknowledged})
	s := h.Stream("a reader")
	s.Begin(cdc.Cursor{Epoch: "e", Seq: 37})
	s.Add(40, records[:3]...)
	s.Add(44, records[4:]...)
	got := verify.Verify(h)
	if len(got) != 1 {
		t.Fatalf("got %d violations, want 1: %v", len(got), got)
	}
	want := "Reliable: " + verify.Reliable.Sentence() + `
  stream a reader: missing 41 (middle)
  expected 38 39 40 [41] 42 43 44
  seen     38 39 40      42 43`
	if text := got[0].Error(); !strings.HasPrefix(text, want) {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}
