package conformance_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/broken"
)

// reported runs three cases of a log, with which one cannot be run.
func reported(t *testing.T, bug broken.Bug) conformance.Report {
	h := harness(bug, broken.Source)
	h.Sever = nil
	return conformance.Check(t.Context(), h, &conformance.Options{
		Cases: []string{"Unique/*", "Idempotent/SameID", "Live/Severed"}, Patience: 5 * time.Second, Dir: t.TempDir(),
	})
}

// TestReportInJSON: what was run, what was not and why, and with what.
func TestReportInJSON(t *testing.T) {
	for bug, verdict := range map[broken.Bug]string{broken.None: "partial", broken.IDIgnored: "failed"} {
		report := reported(t, bug)
		var text bytes.Buffer
		if err := report.WriteJSON(&text); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Verdict, Go             string
			Began                   time.Time
			Seconds                 float64
			Modules                 map[string]string
			Passed, Skipped, Failed int
			Cases                   []struct{ Name, Guarantee, Sentence, Outcome, Reason, Trace, Seed string }
		}
		if err := json.Unmarshal(text.Bytes(), &got); err != nil {
			t.Fatalf("%v in %s", err, &text)
		}
		if got.Verdict != verdict || got.Go != runtime.Version() || got.Seconds <= 0 || time.Since(got.Began) > time.Hour {
			t.Errorf("%s: got %+v, want the verdict %s", bug, got, verdict)
		}
		if len(got.Cases) != len(report.Results) || got.Passed+got.Skipped+got.Failed != len(got.Cases) || got.Failed != len(report.Failed()) {
			t.Errorf("%s: got %+v, want the %d results", bug, got, len(report.Results))
		}
		for i, c := range got.Cases {
			r := report.Results[i]
			if c.Name != r.Case.Name() || c.Sentence != r.Case.Sentence || c.Reason != r.Skipped || c.Seed != strconv.FormatUint(r.Seed, 10) {
				t.Errorf("case %+v is not that of %+v", c, r)
			}
			if c.Outcome == "failed" && c.Trace == "" || c.Outcome == "skipped" && c.Reason == "" {
				t.Errorf("case %+v does not say why", c)
			}
		}
	}
}

// TestReportInHTML: the page says the same, and nothing of a fault is markup.
func TestReportInHTML(t *testing.T) {
	report := reported(t, broken.IDIgnored)
	failed := report.Failed()
	if len(failed) == 0 {
		t.Fatal("nothing failed")
	}
	failed[0].Faults[0] = badFault{}
	var page bytes.Buffer
	if err := report.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, r := range report.Results {
		if !strings.Contains(text, "<td>"+r.Case.Name()+"</td>") {
			t.Errorf("the page does not name the case %s", r.Case.Name())
		}
	}
	if !strings.Contains(text, `<span class="failed">failed</span>`) || !strings.Contains(text, "&lt;script&gt;") || strings.Contains(text, "<script>") {
		t.Errorf("the page is %s", text)
	}
}

type badFault struct{}

func (badFault) Error() string { return "<script>" }

// TestReportOfNothing: a pattern that names no case does not pass.
func TestReportOfNothing(t *testing.T) {
	report := conformance.Check(t.Context(), harness(broken.None, broken.Source), &conformance.Options{Cases: []string{"Nothing/*"}, Dir: t.TempDir()})
	var text bytes.Buffer
	if err := report.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), `"verdict": "passed"`) {
		t.Errorf("got %s", &text)
	}
}
