package conformance_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/broken"
)

// harness is that of the reference with the bug.
func harness(bug broken.Bug, layer broken.Layer) conformance.Harness {
	var disks sync.Map // by the name of the place
	in := func(l broken.Layer) broken.Bug {
		if l == layer || l == "" && layer != broken.Follower && layer != broken.Hubs {
			return bug
		}
		return broken.None
	}
	disk := func(at conformance.Place) *broken.Disk {
		made := broken.NewDisk(in(""))
		if layer == broken.File {
			made = broken.NewFile(at.Dir, bug)
		}
		d, _ := disks.LoadOrStore(at.Name, made)
		return d.(*broken.Disk)
	}
	var crash *conformance.Crash
	if layer == broken.File {
		crash = crashOf(bug)
	}
	open := func(_ context.Context, at conformance.Place) (cdc.Log, error) { return disk(at).Open(), nil }
	return conformance.Harness{
		Open: open, Reopen: open, Second: open, Crash: crash,
		Begin: func(ctx context.Context, log cdc.Log) (conformance.Tx, error) {
			return log.(*broken.Store).Begin(ctx)
		},
		Writers: 3,
		Rewind: func(_ context.Context, at conformance.Place, _ cdc.Log, seq uint64) error {
			disk(at).Rewind(seq)
			return nil
		},
		Sever: func(_ context.Context, _ conformance.Place, log cdc.Log) (int, error) {
			return log.(*broken.Store).Sever(), nil
		},
		Break: func(_ context.Context, at conformance.Place, _ cdc.Log) (func(), error) {
			return disk(at).Break(), nil
		},
		BreakEvent: func(_ context.Context, at conformance.Place, _ cdc.Log, seq uint64) (func(), error) {
			return disk(at).BreakEvent(seq), nil
		},
		Lock: func(_ context.Context, at conformance.Place, _ cdc.Log) (func(), error) {
			return disk(at).Lock(), nil
		},
		Follow: broken.Follow(in(broken.Follower)),
		Hub:    func(log cdc.Log) conformance.HubLog { return broken.NewHub(log, in(broken.Hubs)) },
		Bubble: true,
	}
}

// crashOf kills a child that appends to a store in a file.
func crashOf(bug broken.Bug) *conformance.Crash {
	return &conformance.Crash{Command: func(ctx context.Context, at conformance.Place) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildOfAFile$")
		cmd.Env = append(os.Environ(), fileEnv+"="+string(bug)+"\n"+at.Dir)
		return cmd
	}}
}

// fileEnv names the bug and the folder of a child that appends to a file until
// it is killed.
const fileEnv = "GAPLESS_BROKEN_FILE"

func TestChildOfAFile(t *testing.T) {
	bug, dir, ok := strings.Cut(os.Getenv(fileEnv), "\n")
	if !ok {
		t.Skip("is run by the harness of a store in a file")
	}
	t.Fatal(conformance.CrashChild(t.Context(), broken.NewFile(dir, broken.Bug(bug)).Open(), os.Stdout))
}

func TestReferenceInAFilePasses(t *testing.T) { conformance.Run(t, harness(broken.None, broken.File)) }

func TestReferencePasses(t *testing.T) { conformance.Run(t, harness(broken.None, broken.Source)) }

// TestLegalVariantsPass: seqs need not be dense, nor the same after reopening.
func TestLegalVariantsPass(t *testing.T) {
	for _, legal := range broken.Legal() {
		t.Run(string(legal), func(t *testing.T) { conformance.Run(t, harness(legal, broken.Source)) })
	}
}

// TestReferenceUnderTheLibrary is the same with the library's own Follow and Hub.
func TestReferenceUnderTheLibrary(t *testing.T) {
	h := harness(broken.None, broken.Source)
	h.Follow, h.Hub = nil, nil
	conformance.Run(t, h)
}

func TestMutantsAreKilled(t *testing.T) {
	cases := map[string]bool{}
	for _, c := range conformance.Cases() {
		cases[c.Name()] = true
	}
	seen := map[broken.Bug]bool{}
	for _, m := range broken.Mutants() {
		if seen[m.Bug] {
			t.Errorf("mutant %q is listed twice", m.Bug)
		}
		seen[m.Bug] = true
		t.Run(string(m.Layer)+"/"+string(m.Bug), func(t *testing.T) {
			if !cases[m.Kills] {
				t.Fatalf("its case %q does not exist", m.Kills)
			}
			r := check(t, m, m.Kills)
			if r.Passed() || r.Skipped != "" {
				t.Errorf("lives: %s passed or was skipped (%q)", m.Kills, r.Skipped)
			}
			if testing.Verbose() {
				t.Logf("%v", r)
			}
		})
	}
}

// patience of mutants that need real time.
const patience = 300 * time.Millisecond

// check runs one case over the mutant, in virtual time where that can be.
func check(t *testing.T, m broken.Mutant, name string) (r conformance.Result) {
	t.Helper()
	h := harness(m.Bug, m.Layer)
	o := &conformance.Options{Cases: []string{name}, Dir: t.TempDir(), Seed: 1}
	run := func(ctx context.Context) {
		report := conformance.Check(ctx, h, o)
		if len(report.Results) != 1 {
			t.Fatalf("%d cases are called %s", len(report.Results), name)
		}
		r = report.Results[0]
	}
	if m.Real || slices.ContainsFunc(conformance.Cases(), func(c conformance.Case) bool { return c.Name() == name && conformance.NeedsRealTime(c) }) {
		o.Patience, o.Limit = patience, 5*time.Second
		run(t.Context())
		return r
	}
	defer func() {
		if p := recover(); p != nil {
			r.Faults = append(r.Faults, fmt.Errorf("left for ever: %v", p))
		}
	}()
	o.Patience = 5 * time.Second
	synctest.Test(t, func(t *testing.T) { run(t.Context()) })
	return r
}
