// Package sqltest helps to test that the changes of a program emit the events
// they should.
//
//	sqltest.Emits(t, log, func() { pay(db, 17) }, cdc.Event{Type: "orders.update", Key: "17"})
//
// docs/testing.md in the repository has a whole test.
package sqltest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// TB is the part of testing.TB that is needed.
type TB interface {
	// Helper marks the caller as a helper.
	Helper()
	// Context ends with the test.
	Context() context.Context
	// Fatalf fails the test and ends it.
	Fatalf(format string, args ...any)
	// Errorf fails the test.
	Errorf(format string, args ...any)
}

// Emits runs change, which commits, and fails the test unless the log then has
// exactly the wanted events, in this order, after those that it had. Type and
// Key must be equal, Topic if one is wanted, and Data if it is not nil: as
// JSON, if the wanted Data is.
func Emits(tb TB, log cdc.Log, change func(), want ...cdc.Event) {
	tb.Helper()
	before, err := log.Bounds(tb.Context())
	if err != nil {
		tb.Fatalf("bounds before the change: %v", err)
	}
	change()
	got, err := readAfter(tb.Context(), log, cdc.Cursor{Epoch: before.Epoch, Seq: before.Head})
	if err != nil {
		tb.Fatalf("read after the change: %v", err)
	}
	if len(got) != len(want) {
		tb.Errorf("the change emitted %d events, want %d:\n%s", len(got), len(want), list(got))
		return
	}
	for i := range got {
		if !matches(got[i], want[i]) {
			tb.Errorf("event %d of the change differs:\ngot  %s\nwant %s", i, text(got[i]), text(want[i]))
		}
	}
}

// readAfter reads up to the head of the moment: what other programs write on
// and on would never end.
func readAfter(ctx context.Context, log cdc.Log, after cdc.Cursor) ([]cdc.Event, error) {
	end, err := log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	var events []cdc.Event
	for after.Seq < end.Head {
		page, err := log.Read(ctx, after, 1000)
		if err != nil {
			return events, err
		}
		for _, e := range page.Events {
			if e.Seq <= end.Head {
				events = append(events, e)
			}
		}
		after.Seq = page.Next
	}
	return events, nil
}

func matches(got, want cdc.Event) bool {
	if got.Type != want.Type || got.Key != want.Key || (want.Topic != "" && got.Topic != want.Topic) {
		return false
	}
	var g, w any
	if json.Unmarshal(want.Data, &w) == nil && json.Unmarshal(got.Data, &g) == nil {
		return reflect.DeepEqual(g, w)
	}
	return want.Data == nil || string(got.Data) == string(want.Data)
}

func text(e cdc.Event) string {
	return fmt.Sprintf("topic %q type %q key %q data %s", e.Topic, e.Type, e.Key, e.Data)
}

func list(events []cdc.Event) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString("  " + text(e) + "\n")
	}
	return b.String()
}
