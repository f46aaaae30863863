package conformance

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// What became of a case, and of a report. One with skips is partial: it says
// nothing of what was skipped.
const (
	passed  = "passed"
	skipped = "skipped"
	failed  = "failed"
	partial = "partial"
)

// written is the form of a report in JSON.
type written struct {
	Verdict  string            `json:"verdict"`
	Began    time.Time         `json:"began"`
	Seconds  float64           `json:"seconds"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Modules  map[string]string `json:"modules,omitempty"` // version by path
	Passed   int               `json:"passed"`
	Skipped  int               `json:"skipped"`
	Failed   int               `json:"failed"`
	Cases    []writtenCase     `json:"cases"`
}

type writtenCase struct {
	Name      string   `json:"name"`
	Guarantee string   `json:"guarantee"`
	Sentence  string   `json:"sentence"`
	Outcome   string   `json:"outcome"`          // passed, skipped or failed
	Reason    string   `json:"reason,omitempty"` // of a skip
	Faults    []string `json:"faults,omitempty"`
	Trace     string   `json:"trace,omitempty"` // of a failure
	Seconds   float64  `json:"seconds"`
	Seed      string   `json:"seed"` // a decimal, in a text since it has up to 64 bits
}

// WriteJSON writes the report for programs: the verdict ("passed", "partial" if
// cases were skipped, or "failed"), when it began and how long it took, the
// versions of Go and of all modules of the program, and for each case its name,
// guarantee, sentence, outcome, time and seed, and the reason of a skip or the
// faults and the last calls of a failure.
func (r Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r.form())
}

//go:embed report.html
var reportPage string

// WriteHTML writes what [Report.WriteJSON] does as one page that needs nothing
// else, for people.
func (r Report) WriteHTML(w io.Writer) error {
	page, err := template.New("report").Parse(reportPage)
	if err != nil {
		return err
	}
	return page.Execute(w, r.form())
}

func (r Report) form() written {
	form := written{
		Verdict: passed, Began: r.Began.UTC(), Seconds: seconds(r.Duration),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Modules: modulesOfThis(),
		Cases: make([]writtenCase, 0, len(r.Results)),
	}
	for _, result := range r.Results {
		c := result.form()
		form.Cases = append(form.Cases, c)
		switch c.Outcome {
		case failed:
			form.Failed++
		case skipped:
			form.Skipped++
		default:
			form.Passed++
		}
	}
	switch {
	case form.Failed > 0:
		form.Verdict = failed
	case form.Skipped > 0 || form.Passed == 0:
		form.Verdict = partial
	}
	return form
}

func (r Result) form() writtenCase {
	c := writtenCase{
		Guarantee: string(r.Case.Guarantee), Sentence: r.Case.Sentence,
		Outcome: r.outcome(), Reason: r.Skipped, Seconds: seconds(r.Duration), Seed: strconv.FormatUint(r.Seed, 10),
	}
	if r.Case.Guarantee != "" { // none: no case could be run
		c.Name = r.Case.Name()
	}
	if c.Outcome == failed {
		c.Trace = r.Trace
	}
	for _, fault := range r.Faults {
		c.Faults = append(c.Faults, fault.Error())
	}
	return c
}

func (r Result) outcome() string {
	switch {
	case len(r.Faults) > 0:
		return failed
	case r.Skipped != "":
		return skipped
	}
	return passed
}

// seconds rounds to milliseconds.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}

// modulesOfThis are the modules of the running program.
func modulesOfThis() map[string]string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	modules := map[string]string{}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Path != "" {
			modules[m.Path] = m.Version
		}
	}
	return modules
}
