package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// TestTakeover kills the node that leads the stream, again and again, and appends
// one event each time, which is tried until it is acknowledged. How long after the
// kill it is acknowledged and delivered is logged, beside the ordered consumer of
// nats.go on the same stream.
func TestTakeover(t *testing.T) {
	cluster := testserver.StartNATSCluster(t, buildServer(t), "-c", syncAlways(t))
	js := followCluster(t, cluster)
	log := openInCluster(t, js)
	followed, consumed := newArrivals(), newArrivals()
	follow := followInto(t, log, followed)
	consumeInto(t, followCluster(t, cluster), consumed)
	var appended, delivered, ordered []time.Duration
	silent := 0
	for n := range rounds(1, 25) {
		id := fmt.Sprintf("takeover-%d.", n)
		node := nodeThatLeads(t.Context(), t, js)
		killed := time.Now()
		cluster.Nodes[node].Kill()
		appendUntilAcknowledged(t, log, id)
		appended = append(appended, time.Since(killed))
		at, ok := followed.await(id, time.Minute)
		if !ok {
			t.Fatalf("the follower did not get %s", id)
		}
		delivered = append(delivered, at.Sub(killed))
		if at, ok := consumed.await(id, time.Minute); ok {
			ordered = append(ordered, at.Sub(killed))
		} else {
			silent++
		}
		cluster.Nodes[node].Start()
		awaitReplicas(t, js)
	}
	follow()
	t.Logf("%d kills of the leader: acknowledged after %s, followed after %s, by the ordered consumer after %s; it did not deliver %d within a minute",
		len(appended), spread(appended), spread(delivered), spread(ordered), silent)
}

// spread is the median and the worst.
func spread(times []time.Duration) string {
	if len(times) == 0 {
		return "never"
	}
	slices.Sort(times)
	return fmt.Sprintf("%.1f s (worst %.1f s)", times[len(times)/2].Seconds(), times[len(times)-1].Seconds())
}

func appendUntilAcknowledged(t *testing.T, log *jetstreamlog.Log, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		_, err := log.Append(ctx, cdc.Event{ID: id})
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// awaitReplicas returns when all replicas have what the leader has.
func awaitReplicas(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		s, err := stream(t.Context(), js)
		if err == nil {
			c := s.CachedInfo().Cluster
			if c.Leader != "" && len(c.Replicas) == 2 && !slices.ContainsFunc(c.Replicas, func(r *jetstream.PeerInfo) bool { return !r.Current || r.Offline }) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the replicas are not current")
		}
	}
}

// arrivals are the times at which IDs came.
type arrivals struct {
	mu      sync.Mutex
	at      map[string]time.Time
	changed chan struct{}
}

func newArrivals() *arrivals {
	return &arrivals{at: map[string]time.Time{}, changed: make(chan struct{})}
}

func (a *arrivals) add(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.at[id]; !ok {
		a.at[id] = time.Now()
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *arrivals) await(id string, longest time.Duration) (time.Time, bool) {
	timer := time.After(longest)
	for {
		a.mu.Lock()
		at, ok := a.at[id]
		changed := a.changed
		a.mu.Unlock()
		if ok {
			return at, true
		}
		select {
		case <-changed:
		case <-timer:
			return time.Time{}, false
		}
	}
}

// followInto follows until the func that it returns is called. No event comes
// twice, and nothing is taken for a loss.
func followInto(t *testing.T, log cdc.Log, a *arrivals) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		start, seq := cdc.Beginning(), uint64(0)
		for ctx.Err() == nil {
			for batch, err := range cdc.Follow(ctx, log, start, nil) {
				if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
					t.Errorf("nothing was lost, and the follower got %v", reset)
					return
				}
				if err != nil {
					break
				}
				start = cdc.After(batch.Cursor)
				for _, e := range batch.Events {
					if seq++; e.Seq != seq {
						t.Errorf("event %d came where %d is next", e.Seq, seq)
					}
					a.add(e.ID)
				}
			}
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

// consumeInto consumes until the test ends. The payload has the ID in it.
func consumeInto(t *testing.T, js jetstream.JetStream, a *arrivals) {
	t.Helper()
	consumer, err := js.OrderedConsumer(t.Context(), "events", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		if _, rest, ok := bytes.Cut(msg.Data(), []byte(`"id":"`)); ok {
			id, _, _ := bytes.Cut(rest, []byte(`"`))
			a.add(string(id))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consuming.Stop)
}
