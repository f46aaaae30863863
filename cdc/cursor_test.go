package cdc_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
)

func TestCursorText(t *testing.T) {
	long := strings.Repeat("e", 64)
	for text, want := range map[string]cdc.Cursor{
		"0":                         {},
		"42":                        {Seq: 42},
		"18446744073709551615":      {Seq: math.MaxUint64},
		"e.0":                       {Epoch: "e"},
		"k3v9_~-.42.aZ-_09":         {Epoch: "k3v9_~-", Seq: 42, Tag: "aZ-_09"},
		"12.34":                     {Epoch: "12", Seq: 34},
		long + ".7":                 {Epoch: long, Seq: 7},
		sample.Cursor("e").String(): {Epoch: "e", Seq: 41, Tag: sample.Tag()},
	} {
		got, err := cdc.ParseCursor(text)
		if err != nil || got != want {
			t.Errorf("ParseCursor(%q) = %+v, %v, want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%q became %q", text, got.String())
		}
	}
}

func TestCursorTextMalformed(t *testing.T) {
	for _, text := range []string{
		"", ".", "..", "a", "-1", "+1", "007", "1 ", " 1", "1e3", "18446744073709551616", "e.", ".5", "e..t", "e.1.", "e.1.t.x",
		"e.x.t", "e/.1", "e.1.t t", "é.1", "e.1.\n", "e\x00.1", "latest", strings.Repeat("e", 65) + ".1", "e.1." + strings.Repeat("t", 33),
		strings.Repeat("9", 129), strings.Repeat("x", 1<<20),
	} {
		c, err := cdc.ParseCursor(text)
		bad, is := errors.AsType[*cdc.CursorError](err)
		if !is || bad.Text != text || c != (cdc.Cursor{}) {
			t.Errorf("ParseCursor(%.40q) = %+v, %v, want a CursorError", text, c, err)
		}
		if is && len(err.Error()) > 1000 {
			t.Errorf("the error for %d bytes has %d", len(text), len(err.Error()))
		}
	}
}

func TestCursorIsStringInJSON(t *testing.T) {
	type doc struct {
		C cdc.Cursor
		S cdc.Start
	}
	in := doc{C: cdc.Cursor{Epoch: "e", Seq: 1 << 60, Tag: "t"}, S: cdc.Beginning()}
	text, err := json.Marshal(in)
	if err != nil || string(text) != `{"C":"e.1152921504606846976.t","S":"beginning"}` {
		t.Fatalf("Marshal = %s, %v", text, err)
	}
	var out doc
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("Unmarshal = %+v, %v, want %+v", out, err, in)
	}
	for _, bad := range []string{`{"C":"x"}`, `{"S":"x"}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("Unmarshal(%s) has no error", bad)
		}
	}
}

func TestNewEpoch(t *testing.T) {
	a, b := cdc.NewEpoch(), cdc.NewEpoch()
	if a == b || !cdc.ValidEpoch(a) || len(a) != 13 {
		t.Errorf("NewEpoch gave %q and %q", a, b)
	}
}

func TestStartText(t *testing.T) {
	for text, want := range map[string]cdc.Start{
		"": cdc.Latest(), "latest": cdc.Latest(), "beginning": cdc.Beginning(),
		"7": cdc.After(cdc.Cursor{Seq: 7}), "e.7.t": cdc.After(cdc.Cursor{Epoch: "e", Seq: 7, Tag: "t"}),
	} {
		got, err := cdc.ParseStart(text)
		if err != nil || got != want {
			t.Errorf("ParseStart(%q) = %q, %v, want %q", text, got, err, want)
		}
		again, err := cdc.ParseStart(got.String())
		if err != nil || again != got {
			t.Errorf("%q does not survive its text %q", got, got.String())
		}
	}
	if _, err := cdc.ParseStart("Latest"); err == nil {
		t.Error(`ParseStart("Latest") has no error`)
	}
	if _, ok := cdc.Latest().Cursor(); ok {
		t.Error("Latest has a cursor")
	}
	if c, ok := cdc.After(cdc.Cursor{}).Cursor(); !ok || c != (cdc.Cursor{}) {
		t.Errorf("After(zero).Cursor() = %v, %t", c, ok)
	}
}

func FuzzCursor(f *testing.F) {
	for _, s := range []string{"0", "42", "e.1.t", "k3v9.18446744073709551615.aZ", "..", "e.01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := cdc.ParseCursor(text)
		if err != nil {
			return
		}
		if c.String() != text || len(text) > cdc.MaxCursorBytes {
			t.Fatalf("%q parsed to %+v, which is %q", text, c, c.String())
		}
		if strings.ContainsFunc(text, func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-", r)
		}) {
			t.Fatalf("%q was accepted", text)
		}
	})
}

func FuzzStart(f *testing.F) {
	for _, s := range []string{"", "latest", "beginning", "42", "e.1.t", "Beginning"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := cdc.ParseStart(text)
		if err != nil {
			return
		}
		if again, err := cdc.ParseStart(s.String()); err != nil || again != s {
			t.Fatalf("%q parsed to %q, whose text gives %q, %v", text, s, again, err)
		}
	})
}
