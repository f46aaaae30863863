package boltlog_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

func TestOptionsReachTheDB(t *testing.T) {
	def := newLog(t).DB()
	if def.NoSync || def.NoFreelistSync || def.FreelistType != bbolt.FreelistMapType {
		t.Errorf("defaults: got NoSync %v, NoFreelistSync %v, freelist %s; want false, false, %s",
			def.NoSync, def.NoFreelistSync, def.FreelistType, bbolt.FreelistMapType)
	}
	fast := open(t, newPath(t), &boltlog.FileOptions{NoSync: true, NoFreelistSync: true}).DB()
	if !fast.NoSync || !fast.NoFreelistSync {
		t.Errorf("got NoSync %v, NoFreelistSync %v; want both", fast.NoSync, fast.NoFreelistSync)
	}
}

// TestInitialMmapSize lets a writer grow the file beside an open reader, which
// stops it otherwise: see TestUnknownOutcome.
func TestInitialMmapSize(t *testing.T) {
	l := open(t, newPath(t), &boltlog.FileOptions{InitialMmapSize: 64 << 20})
	reader, err := l.DB().Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := l.Append(ctx, ev("%s", strings.Repeat("x", 900_000))); err != nil {
		t.Error(err)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// TestFillPercent: the default makes the file much smaller than bbolt's own.
func TestFillPercent(t *testing.T) {
	size := func(o *boltlog.FileOptions) int64 {
		o.NoSync = true
		path := newPath(t)
		l := open(t, path, o)
		batch := make([]cdc.Event, 10)
		for i := range batch {
			batch[i] = ev("%s", strings.Repeat("x", 200))
		}
		for range 3000 {
			if _, err := l.Append(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	ours, half := size(&boltlog.FileOptions{}), size(&boltlog.FileOptions{Options: boltlog.Options{FillPercent: 0.5}})
	if ours*3 > half*2 {
		t.Errorf("got %d bytes by default and %d at 0.5, want at most two thirds", ours, half)
	}
}
