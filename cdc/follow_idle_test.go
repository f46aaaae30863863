package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// steps are the batches of one sequence, as texts, and its error.
func steps(t *testing.T, f *cdc.Follower) (texts []string, err error) {
	t.Helper()
	for b, err := range f.Batches(t.Context()) {
		if err != nil {
			return texts, err
		}
		texts = append(texts, fmt.Sprint(b.Cursor.Seq, len(b.Events), b.State))
	}
	return texts, nil
}

func wantSteps(t *testing.T, f *cdc.Follower, want ...string) {
	t.Helper()
	got, err := steps(t, f)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("batches %q, error %v; want %q", got, err, want)
	}
}

// awaitChange waits until the Hub has the event at seq.
func awaitChange(t *testing.T, hub *cdc.Hub, change *uint64, seq uint64) {
	t.Helper()
	for hub.Status().End.Seq < seq {
		var err error
		if *change, err = hub.Await(t.Context(), *change); err != nil {
			t.Fatal(err)
		}
	}
}

// A Follower that is idle in between yields what Follow does, keeps its place
// meanwhile, and ends as Follow does.
func TestIdleFollower(t *testing.T) {
	log := memlog.New(nil)
	add := func(topic string) {
		t.Helper()
		if _, err := log.Append(t.Context(), cdc.Event{Topic: topic}); err != nil {
			t.Fatal(err)
		}
	}
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	var change uint64
	add("a")
	awaitChange(t, hub, &change, 1)
	f := hub.Follower(cdc.Beginning(), &cdc.FollowOptions{Filter: cdc.Filter{Topics: []string{"a"}}, Heartbeat: time.Hour})
	defer f.Close()
	wantSteps(t, f, "0 0 replaying", "1 1 replaying", "1 0 live")
	wantSteps(t, f)
	if seq, ok := hub.Slowest(); !ok || seq != 1 {
		t.Errorf("the slowest is at %d, %v; want the idle one, at 1", seq, ok)
	}
	add("b")
	awaitChange(t, hub, &change, 2)
	wantSteps(t, f, "2 0 live")
	add("a")
	awaitChange(t, hub, &change, 3)
	wantSteps(t, f, "3 1 live")
	if due := time.Until(f.Due()); due < 30*time.Minute || due > time.Hour {
		t.Errorf("the heartbeat is due in %v, want an hour", due)
	}
	if _, err := log.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = steps(t, f)
	}
	if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonEpochChanged {
		t.Errorf("the end is %v, want a reset", err)
	}
	if _, again := steps(t, f); again != err {
		t.Errorf("then it is %v, want the same", again)
	}
	if n := hub.Status().Followers; n != 0 {
		t.Errorf("%d followers are left", n)
	}
}

func TestIdleFollowerBeats(t *testing.T) {
	hub, err := cdc.NewHub(memlog.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	f := hub.Follower(cdc.Latest(), &cdc.FollowOptions{Heartbeat: 50 * time.Millisecond})
	if _, err := steps(t, f); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(f.Due()))
	wantSteps(t, f, "0 0 live")
	f.Close()
	if _, err := steps(t, f); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	if n := hub.Status().Followers; n != 0 {
		t.Errorf("%d followers are left", n)
	}
}

func TestIdleFollowerIsLeft(t *testing.T) {
	hub, err := cdc.NewHub(memlog.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	f := hub.Follower(cdc.Latest(), nil)
	for range f.Batches(t.Context()) {
		break
	}
	if _, err := steps(t, f); !errors.Is(err, cdc.ErrClosed) || hub.Status().Followers != 0 {
		t.Errorf("after the loop was left: %v, %d followers; want ErrClosed and none", err, hub.Status().Followers)
	}
	wrong := hub.Follower(cdc.Latest(), &cdc.FollowOptions{Heartbeat: -1})
	if _, err := steps(t, wrong); err == nil {
		t.Error("a negative heartbeat is taken")
	}
}

func TestAwaitEnds(t *testing.T) {
	hub, err := cdc.NewHub(memlog.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hub.Await(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the end of the context", err)
	}
	_ = hub.Close()
	var change uint64
	for err = nil; err == nil; {
		change, err = hub.Await(t.Context(), change)
	}
	if !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}
