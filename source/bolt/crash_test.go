package boltlog_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	boltlog "github.com/gapless-go/gapless/source/bolt"
)

const crashEnv = "GAPLESS_BOLT_CRASH_CHILD"

// crashChild appends until it is killed, and prints each acknowledged seq with
// its text in one write.
func crashChild(path string) {
	l, err := boltlog.OpenFile(context.Background(), path, logName, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ; n++ {
				text := fmt.Sprintf("%d/%d/%d", os.Getpid(), w, n)
				r, err := l.Append(context.Background(), ev("%s", text), ev("%s-second", text))
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(r.Epoch, r.Seqs[0], text)
			}
		})
	}
	writers.Wait()
}

// TestKill: a child is killed with SIGKILL at its k-th acknowledged append,
// again and again on the same file. What was acknowledged is there, whole; the
// epoch stays, and a later child reuses no seq.
func TestKill(t *testing.T) {
	path := newPath(t)
	acked := map[uint64]string{}
	epoch := ""
	for _, k := range []int{1, 2, 3, 10, 57, 200} {
		for seq, text := range killAt(t, path, k, &epoch) {
			if old, ok := acked[seq]; ok {
				t.Fatalf("seq %d was given to %s and to %s", seq, old, text)
			}
			acked[seq] = text
		}
		l, err := boltlog.OpenFile(context.Background(), path, logName, nil)
		if err != nil {
			t.Fatal(err)
		}
		events := all(t, l, 1000)
		b := bounds(t, l)
		if b.Epoch != epoch || b.Head != uint64(len(events)) || len(events)%2 != 0 {
			t.Errorf("after kill %d: got %+v with %d events, want epoch %s and whole appends", k, b, len(events), epoch)
		}
		for seq, text := range acked {
			if seq >= b.Head || string(events[seq-1].Data) != text || string(events[seq].Data) != text+"-second" {
				t.Errorf("after kill %d: acknowledged append %d %s is missing or torn", k, seq, text)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killAt starts a child, kills it when it has acknowledged k appends, and
// returns all that it acknowledged.
func killAt(t *testing.T, path string, k int, epoch *string) map[uint64]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := map[uint64]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e, text string
		var seq uint64
		if _, err := fmt.Sscan(lines.Text(), &e, &seq, &text); err != nil {
			t.Fatalf("child said %q: %v", lines.Text(), err)
		}
		if *epoch == "" {
			*epoch = e
		}
		if e != *epoch {
			t.Errorf("got epoch %s, want %s", e, *epoch)
		}
		acked[seq] = text
		if len(acked) == k {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if len(acked) < k {
		t.Fatalf("child ended after %d acknowledged appends, want %d", len(acked), k)
	}
	return acked
}
