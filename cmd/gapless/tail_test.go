package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAppendAndTail(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		refused(t, 1, []string{"no "}, "tail", "-s", address)
		if got := ok(t, numbered(1, 1200), "append", "-s", address, "--json"); !strings.HasPrefix(got, `{"events":1200,"duplicates":0,"cursor":"`) {
			t.Errorf("append: %s", got)
		}
		ok(t, numbered(1, 1200), "append", "-s", address) // adds nothing
		got := events(t, ok(t, "", "tail", "-s", address, "--once"))
		if len(got) != 1200 {
			t.Fatalf("got %d events, want 1200", len(got))
		}
		for i, e := range got {
			if want := fmt.Sprintf(`{"n":%d}`, i+1); string(e.Data) != want || e.ID != fmt.Sprintf("e-%d", i+1) || e.Topic != "orders" {
				t.Fatalf("event %d is %+v", i, e)
			}
		}
		if got := events(t, ok(t, "", "tail", "-s", address, "--once", "--from", got[1100].Cursor, "--limit", "7")); len(got) != 7 || got[0].ID != "e-1102" {
			t.Errorf("after a cursor: %v", got)
		}
		if got := events(t, ok(t, "", "tail", "-s", address, "--once", "--topic", "ord*", "--key", "o-5")); len(got) != 1 {
			t.Errorf("filtered: %v", got)
		}
		for _, want := range []string{"events", "1200", "epoch"} {
			if got := ok(t, "", "info", "-s", address, "--count"); !strings.Contains(got, want) {
				t.Errorf("info has no %q: %s", want, got)
			}
		}
	})
}

// TestKilledTailLosesNothing kills a follower again and again while events are
// appended.
func TestKilledTailLosesNothing(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		const rounds, perRound = 5, 400
		ok(t, numbered(1, 1), "append", "-s", address)
		position := filepath.Join(t.TempDir(), "position")
		seen := map[string]int{}
		args := []string{"tail", "-s", address, "--from", "beginning", "--resume-file", position}
		for round := range rounds {
			p := start(t, args...)
			ok(t, numbered(2+round*perRound, 1+(round+1)*perRound), "append", "-s", address)
			p.await(t, "some events", func() bool { return strings.Count(p.out.String(), "\n") > round })
			p.stop(t, syscall.SIGKILL)
			for _, e := range events(t, p.out.String()) {
				seen[e.ID]++
			}
		}
		for _, e := range events(t, ok(t, "", append(args, "--once")...)) {
			seen[e.ID]++
		}
		for i := range rounds*perRound + 1 {
			if id := fmt.Sprintf("e-%d", i+1); seen[id] == 0 {
				t.Errorf("event %s is missing", id)
			}
		}
		left, err := filepath.Glob(position + "*")
		if err != nil || len(left) == 0 {
			t.Errorf("there is no position: %v", err)
		}
	}, "postgres", "sqlite", "redis")
}

func TestFollowsUntilInterrupted(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		ok(t, numbered(1, 3), "append", "-s", address)
		position := filepath.Join(t.TempDir(), "position")
		p := start(t, "tail", "-s", address, "--resume-file", position, "--progress", "always")
		p.await(t, "a position", func() bool { _, err := os.Stat(position); return err == nil })
		ok(t, numbered(4, 5), "append", "-s", address)
		p.await(t, "two events", func() bool { return strings.Count(p.out.String(), "\n") == 2 })
		p.await(t, "progress", func() bool { return strings.Contains(p.err.String(), "0 behind") })
		if code := p.stop(t, syscall.SIGINT); code != 0 {
			t.Errorf("got exit %d: %s", code, p.err.String())
		}
		if got := events(t, p.out.String()); len(got) != 2 || got[0].ID != "e-4" {
			t.Errorf("got %v", got)
		}
	}, "sqlite", "postgres")
}

func TestResets(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		ok(t, numbered(1, 20), "append", "-s", address)
		all := events(t, ok(t, "", "tail", "-s", address, "--once"))
		refused(t, 2, []string{"--yes"}, "trim", "-s", address, "--to", "10")
		refused(t, 2, []string{"--keep"}, "trim", "-s", address)
		if got := ok(t, "", "trim", "-s", address, "--keep", "10", "--yes"); !strings.Contains(got, "10 events removed") {
			t.Errorf("trim: %s", got)
		}
		refused(t, 3, []string{"truncated", "--from", "--on-reset continue"}, "tail", "-s", address, "--from", all[3].Cursor)
		got := ok(t, "", "tail", "-s", address, "--once", "--from", all[3].Cursor, "--on-reset", "continue")
		if !strings.HasPrefix(got, `{"reset":{`) || !strings.Contains(got, `"reason":"truncated"`) {
			t.Errorf("a reset that is gone on from: %s", got)
		}
		epoch := ok(t, "", "renew", "-s", address, "--yes", "--json")
		if !strings.HasPrefix(epoch, `{"epoch":"`) {
			t.Errorf("renew: %s", epoch)
		}
		refused(t, 3, []string{"foreign"}, "tail", "-s", address, "--from", all[15].Cursor)
	}, "bolt", "sqlite", "redis")
}

func TestOneLogFeedsAnother(t *testing.T) {
	from, to := "sqlite:"+filepath.Join(t.TempDir(), "a.db"), "bolt:"+filepath.Join(t.TempDir(), "b.db")
	lines := `{"topic":"a","type":"t","key":"k","data":"<&>","meta":{"by":"x"}}` + "\n\n" + `{"type":"bytes","dataBase64":"AP8="}` + "\n"
	ok(t, lines, "append", "-s", from)
	copied := ok(t, "", "tail", "-s", from, "--once")
	ok(t, copied, "append", "-s", to)
	again := events(t, ok(t, "", "tail", "-s", to))
	if len(again) != 2 || string(again[0].Data) != `"<&>"` || again[0].Meta["by"] != "x" {
		t.Errorf("got %+v", again)
	}
	r := run(t, numbered(1, 3)+"{\"type\":1}\n"+numbered(4, 5), "append", "-s", to)
	if r.code != 2 || !strings.Contains(r.err, "line 4") || !strings.HasPrefix(r.out, "3 events appended") {
		t.Errorf("a bad line: exit %d %s%s", r.code, r.out, r.err)
	}
}
