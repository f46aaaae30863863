package statuspage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/webdriver"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// brokenPlace cannot be reached.
type brokenPlace struct{}

func (brokenPlace) Workers(context.Context) ([]cdc.Worker, error) {
	return nil, errors.New("place: connection refused")
}

// crew has five workers over a log with five events: one that works, two behind
// with one parked; one that is paused; one that nobody runs; one in another
// epoch; one that never began.
func crew(t *testing.T, s *site, place *memlog.Place, first string) {
	t.Helper()
	s.append(5)
	b, err := s.log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := func(seq uint64) cdc.Cursor { return cdc.Cursor{Epoch: b.Epoch, Seq: seq} }
	for name, c := range map[string]cdc.Change{
		first:        {Cursor: at(3), Park: []cdc.Parked{{Event: cdc.Event{Seq: 2}}}},
		"paused":     {Cursor: at(4), Paused: true},
		"waiting":    {Cursor: at(5)},
		"was before": {Cursor: cdc.Cursor{Epoch: "before", Seq: 1}},
	} {
		err := place.Apply(t.Context(), name, 0, func(context.Context, *memlog.PlaceTx) (cdc.Change, error) { return c, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := place.Lease(t.Context(), first, "host/7/abc", time.Hour); err != nil {
		t.Fatal(err)
	}
}

func TestWorkersAreListed(t *testing.T) {
	place := memlog.NewPlace()
	s := serve(t, nil, &statuspage.Options{Workers: []cdc.WorkersOf{
		{Place: place, Names: []string{"mails", "paused", "waiting", "was before", "new"}}, {Place: brokenPlace{}},
	}})
	crew(t, s, place, "mails")
	d := s.await("the workers", func(d data) bool { return d.Workers != nil && d.Workers.List[0].Position == "3" })
	if !strings.Contains(d.Workers.Error, "place: connection refused") {
		t.Errorf("a place that cannot be reached: got %q", d.Workers.Error)
	}
	want := map[string]struct{ state, position, error string }{
		"mails": {"working", "3", ""}, "paused": {"paused", "4", ""}, "waiting": {"waiting", "5", ""}, "was before": {"reset", "1", "reset: foreign"}, "new": {"new", "0", ""},
	}
	for _, w := range d.Workers.List {
		if got := want[w.Name]; w.State != got.state || w.Position != got.position || w.Error != got.error || w.Head != "5" {
			t.Errorf("%s: got %+v, want %v", w.Name, w, got)
		}
		delete(want, w.Name)
	}
	if first := d.Workers.List[0]; first.Holder != "host/7/abc" || first.Parked != 1 || first.Lag == nil || first.Lag.Events != 2 {
		t.Errorf("got %+v, want two events behind and one parked", first)
	}
	if len(want) > 0 {
		t.Errorf("not listed are %v", want)
	}
	if err := s.log.(*memlog.Log).Close(); err != nil {
		t.Fatal(err)
	}
	s.await("an unknown lag while the log is away", func(d data) bool {
		w := d.Workers.List[0]
		return w.Lag == nil && w.Error != "" && w.Parked == 1
	})
}

func TestWithoutWorkersThereIsNoSection(t *testing.T) {
	s := serve(t, nil, nil)
	if d := s.await("the log", func(d data) bool { return d.Log.State == "reachable" }); d.Workers != nil {
		t.Errorf("got %+v", d.Workers)
	}
}

func TestTheCardOfTheWorkersInABrowser(t *testing.T) {
	const hostile = `"><img src=x onerror=window.forged=1>`
	place := memlog.NewPlace()
	s := serve(t, &sse.Options{}, &statuspage.Options{Workers: []cdc.WorkersOf{{Place: place}, {Place: brokenPlace{}}}})
	crew(t, s, place, hostile)
	b := webdriver.Start(t)
	b.Open(s.URL + "/some/where")
	b.Await("!document.getElementById('workers').hidden && document.querySelectorAll('#workerlist tr').length === 4")
	b.Await("document.getElementById('workersnote').textContent === '4, 1 working'")
	b.Await("document.getElementById('workerserror').textContent.includes('connection refused')")
	shows(b, "5 things need you", hostile+" has parked one event", "retry or drop them", "paused is paused", "waiting is stopped")
	var rows [][]string
	b.Run("return [...document.querySelectorAll('#workerlist tr')].map((tr) => [...tr.cells].map((td) => td.textContent.trim()))", &rows)
	for i, want := range []string{"working|" + hostile + "host/7/abc|3|2|1", "paused|paused|4|1|0", "waiting|waiting|5|0|0", "reset|was beforereset: foreign|1|?|0"} {
		got := strings.Join(rows[i], "|")
		cells := strings.Split(got, "|")
		cells[3] = strings.Fields(cells[3])[0] // without the age
		if got = strings.Join(cells, "|"); got != want {
			t.Errorf("row %d is %q, want %q", i, got, want)
		}
	}
	if err := cdc.SetPaused(t.Context(), place, "paused", false); err != nil {
		t.Fatal(err)
	}
	b.Await("document.querySelectorAll('#workerlist tr')[1].cells[0].textContent === 'waiting'")
	checkWidths(t, b)
	for _, scheme := range []string{"dark", "light"} {
		b.Prefer("prefers-color-scheme", scheme)
		if found := b.Audit(); len(found) > 0 {
			t.Errorf("%s: %s", scheme, strings.Join(found, "\n"))
		}
	}
	b.Await("!window.forged && !document.querySelector('main img')")
}
