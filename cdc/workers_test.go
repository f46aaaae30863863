package cdc_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

func TestListWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 10)
		time.Sleep(time.Minute)
		epoch := boundsOf(t, log).Epoch
		place := workersAt(t, map[string]cdc.Cursor{"b": {Epoch: epoch, Seq: 4}, "a": {Epoch: epoch, Seq: 10}, "old": {Epoch: "other", Seq: 1}})
		if err := cdc.SetPaused(t.Context(), place, "b", true); err != nil {
			t.Fatal(err)
		}
		if _, err := place.Lease(t.Context(), "b", "host/1", time.Hour); err != nil {
			t.Fatal(err)
		}
		list, err := cdc.ListWorkers(t.Context(), log, cdc.WorkersOf{Place: place}, cdc.WorkersOf{Place: brokenLister{}}, cdc.WorkersOf{Place: place, Names: []string{"never", "b"}})
		if !errors.Is(err, errHandler) {
			t.Errorf("got error %v, want that of the broken place", err)
		}
		var names []string
		for _, w := range list {
			names = append(names, w.Name)
		}
		if len(list) != 5 || list[0].Name != "a" || list[1].Name != "b" || list[2].Name != "old" || list[3].Name != "never" || list[4].Name != "b" {
			t.Fatalf("listed are %q", names)
		}
		if a := list[0]; a.Behind != 0 || a.Age != 0 || a.Err != nil || a.Head != 10 {
			t.Errorf("at the head: %+v", a)
		}
		if b := list[1]; b.Behind != 6 || b.Age != time.Minute || b.Err != nil || !b.Paused || b.Lease.Holder != "host/1" {
			t.Errorf("six behind: %+v", b)
		}
		if reset, ok := errors.AsType[*cdc.ResetError](list[2].Err); !ok || reset.Reason != cdc.ReasonForeign {
			t.Errorf("in another epoch: %+v", list[2])
		}
		if never := list[3]; never.Cursor != (cdc.Cursor{}) || never.Err != nil {
			t.Errorf("never begun: %+v", never)
		}
		_ = log.Close()
		list, err = cdc.ListWorkers(t.Context(), log, cdc.WorkersOf{Place: place, Names: []string{"a"}})
		if err != nil || len(list) != 1 || !errors.Is(list[0].Err, cdc.ErrClosed) || list[0].Cursor.Seq != 10 {
			t.Errorf("of a closed log: %+v, %v", list, err)
		}
		if _, err := cdc.ListWorkers(t.Context(), log, cdc.WorkersOf{}); err == nil {
			t.Error("a nil place is no error")
		}
	})
}
