package growth_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
	"github.com/gapless-go/gapless/cdc"
)

// full reports whether figures are wanted, and not only that everything works.
func full() bool { return os.Getenv("GAPLESS_BENCH") != "" }

// steps are the powers of ten from one to another, or the first two of them.
func steps(from, to int) []int {
	if !full() {
		to = min(to, 10*from)
	}
	var all []int
	for n := from; n <= to; n *= 10 {
		all = append(all, n)
	}
	return all
}

// times is how often something is done.
func times(n int) int {
	if full() {
		return n
	}
	return min(n, 3)
}

// number reads an environment variable.
func number(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

// table is printed when the test ends, if figures are wanted.
type table struct{ text strings.Builder }

func newTable(t *testing.T, title string, columns ...string) *table {
	t.Helper()
	tab := &table{}
	fmt.Fprintf(&tab.text, "\n### %s\n\n| %s |\n|%s\n", title, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	t.Cleanup(func() {
		if full() {
			fmt.Println(tab.text.String())
		}
	})
	return tab
}

// row has a number, a text or a time for each column.
func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = fmt.Sprint(c)
		if d, ok := c.(time.Duration); ok {
			texts[i] = duration(d)
		}
	}
	fmt.Fprintf(&t.text, "| %s |\n", strings.Join(texts, " | "))
}

// duration has three digits.
func duration(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.3g s", d.Seconds())
}

func kb(bytes int64) string { return fmt.Sprintf("%.1f KB", float64(bytes)/1024) }
func mb(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/(1<<20)) }

// median is the median time of n calls.
func median(t *testing.T, n int, f func() error) time.Duration {
	t.Helper()
	return sorted(t, n, f)[n/2]
}

// sorted are the times of n calls, the shortest first.
func sorted(t *testing.T, n int, f func() error) []time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		err := f()
		if took[i] = time.Since(start); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	return took
}

// resident is the memory of this process after a collection.
func resident() int64 { return control.Used(true).Resident }

// until waits for what other goroutines do.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after two minutes, %d goroutines run", what, runtime.NumGoroutine())
		}
	}
}

// events are n of 200 bytes, the first with that number, over the topics.
func events(first, n, topics int) []cdc.Event {
	all := make([]cdc.Event, n)
	for i := range all {
		at := first + i
		all[i] = cdc.Event{Topic: topic(at % topics), Type: "order.changed", Key: strconv.Itoa(at % 50_000), Data: control.Data(control.Marker, at%100_000_000, time.Time{})}
	}
	return all
}

func topic(n int) string { return "topic" + strconv.Itoa(n) }
