package sse_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestResets(t *testing.T) {
	log := memlog.New(nil)
	receipt := appendData(t, log, `1`, `2`, `3`, `4`)
	if _, err := log.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	at := func(seq uint64) string { return cdc.Cursor{Epoch: receipt.Epoch, Seq: seq}.String() }
	tests := []resetTest{
		{"below the floor", at(1), cdc.ReasonTruncated},
		{"above the head", at(9), cdc.ReasonFuture},
		{"foreign", "other.3", cdc.ReasonForeign},
		{"diverged", at(3) + ".AAAAAAAAAAA", cdc.ReasonDiverged},
		{"malformed", "no cursor!", cdc.ReasonMalformed},
		{"malformed and long", strings.Repeat("ä", 10_000), cdc.ReasonMalformed},
		{"bare number below the floor", "1", cdc.ReasonTruncated},
	}
	for _, target := range []cdc.ResetTo{cdc.ResetToHead, cdc.ResetToFloor} {
		s := serve(t, log, &sse.Options{Replay: sse.Replay{ResetTo: target}})
		for _, test := range tests {
			t.Run(fmt.Sprint(test.name, target), func(t *testing.T) {
				hello, reset := checkReset(t, s, test, target)
				cut := s.follow(t, "", "Last-Event-ID", hello.id) // cut before the reset
				cut.want("cdc.hello")
				cut.want("cdc.reset")
				again := s.follow(t, "", "Last-Event-ID", reset.id) // must not be reset again
				again.want("cdc.hello")
				if target == cdc.ResetToFloor {
					again.wantPayload(`3`)
				} else {
					again.want("cdc.live")
				}
			})
		}
	}
}

type resetTest struct {
	name, header string
	reason       cdc.Reason
}

// checkReset wants a reset to where the target says, what follows it, and live.
func checkReset(t *testing.T, s *server, test resetTest, target cdc.ResetTo) (hello, reset frame) {
	t.Helper()
	f := s.follow(t, "", "Last-Event-ID", test.header)
	hello, reset = f.want("cdc.hello"), f.want("cdc.reset")
	var data struct {
		Reason      cdc.Reason
		Requested   string
		Floor, Head uint64
	}
	if err := json.Unmarshal([]byte(reset.data), &data); err != nil {
		t.Fatal(err)
	}
	want := map[cdc.ResetTo]uint64{cdc.ResetToHead: 4, cdc.ResetToFloor: 2}[target]
	if got := cursorOf(t, reset.id).Seq; got != want {
		t.Errorf("reset to %q, want seq %d", reset.id, want)
	}
	if data.Reason != test.reason || data.Floor != 2 || data.Head != 4 || data.Requested[:3] != test.header[:min(3, len(test.header))] && len(test.header) > 2 {
		t.Errorf("reset %+v, want %s", data, test.reason)
	}
	if target == cdc.ResetToFloor {
		f.wantPayload(`3`)
		f.wantPayload(`4`)
	}
	f.want("cdc.live")
	return hello, reset
}

func TestTooFar(t *testing.T) {
	s := serve(t, nil, &sse.Options{Replay: sse.Replay{Max: 2}})
	appendData(t, s.log, `1`, `2`, `3`)
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	if reset := f.want("cdc.reset"); !strings.Contains(reset.data, `"reason":"too-far"`) {
		t.Errorf("reset %s, want too-far", reset.data)
	}
	f.want("cdc.live")
	f = s.follow(t, "?after=1")
	f.want("cdc.hello")
	f.wantPayload(`2`)
}

func TestResetOfAnOpenStream(t *testing.T) {
	s := serve(t, nil, nil)
	appendData(t, s.log, `1`)
	f := s.follow(t, "")
	f.want("cdc.hello")
	f.want("cdc.live")
	epoch, err := s.log.Renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reset := f.want("cdc.reset")
	if c := cursorOf(t, reset.id); c.Epoch != epoch || !strings.Contains(reset.data, "epoch-changed") {
		t.Errorf("reset %+v, want epoch-changed to %s", reset, epoch)
	}
	f.want("cdc.live")
	appendData(t, s.log, `2`)
	if c := cursorOf(t, f.wantPayload(`2`).id); c.Epoch != epoch {
		t.Errorf("event of epoch %q, want %q", c.Epoch, epoch)
	}
}
