package jetstream_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/internal/testserver"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// TestClusterFaults pauses processes and cuts networks under a stream of three
// replicas while one appends and one follows: whatever was acknowledged is
// followed once, and no leader is taken for a loss. Every fifth fault lasts until
// another leader is elected. Beside it is the ordered consumer of nats.go.
func TestClusterFaults(t *testing.T) {
	program, config := buildServer(t), syncAlways(t)
	for _, f := range []struct {
		name   string
		leader bool
		begin  func(*testserver.NATSCluster, int)
		end    func(*testserver.NATSCluster, int)
	}{
		{"pause the leader", true, pause, resume},
		{"pause a follower", false, pause, resume},
		{"isolate the leader", true, (*testserver.NATSCluster).Isolate, (*testserver.NATSCluster).Join},
		{"isolate a follower", false, (*testserver.NATSCluster).Isolate, (*testserver.NATSCluster).Join},
	} {
		t.Run(f.name, func(t *testing.T) {
			cluster := testserver.StartNATSCluster(t, program, "-c", config)
			js := followCluster(t, cluster)
			log := openInCluster(t, js)
			ordered := startCounting(t, js)
			n, long := 0, 0
			events := exactBeside(t, log, rounds(1, 50), func(ctx context.Context) {
				n++
				node := nodeThatLeads(ctx, t, js)
				if !f.leader {
					node = (node + 1 + n%2) % 3
				}
				f.begin(cluster, node)
				if n%5 == 0 {
					long++
					time.Sleep(8 * time.Second)
				} else {
					time.Sleep(300 * time.Millisecond)
				}
				f.end(cluster, node)
				time.Sleep(200 * time.Millisecond)
			})
			t.Logf("%s: %d times, %d of them for 8 s; %d events, each once; the ordered consumer did not deliver %d", f.name, n, long, events, ordered(events))
		})
	}
}

func pause(c *testserver.NATSCluster, node int)  { c.Nodes[node].Pause() }
func resume(c *testserver.NATSCluster, node int) { c.Nodes[node].Resume() }

// followCluster connects so that a node that is silent is left soon.
func followCluster(t *testing.T, c *testserver.NATSCluster) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(c.URLs(), nats.ReconnectWait(20*time.Millisecond), nats.MaxReconnects(-1),
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(timeout))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// openInCluster waits for the first leader.
func openInCluster(t *testing.T, js jetstream.JetStream) *jetstreamlog.Log {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		log, err := jetstreamlog.Open(t.Context(), js, "events", &jetstreamlog.Options{Replicas: 3})
		if err == nil {
			t.Cleanup(func() { _ = log.Close() })
			return log
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// nodeThatLeads returns the number of the stream's leader, once there is one.
func nodeThatLeads(ctx context.Context, t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		s, err := stream(ctx, js)
		if err != nil {
			continue
		}
		if i := slices.Index([]string{"n0", "n1", "n2"}, s.CachedInfo().Cluster.Leader); i >= 0 {
			return i
		}
	}
	t.Fatal(context.Cause(ctx))
	return 0
}

// stream asks for the stream "events". The question or its answer may be lost, and
// with a context that has a deadline nats.go would wait for it until then.
func stream(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return js.Stream(ctx, "events")
}

// startCounting consumes until the func that it returns is called, which gives the
// consumer time to come to the end and returns how many of the events it missed.
func startCounting(t *testing.T, js jetstream.JetStream) (missed func(events int) int) {
	t.Helper()
	consumer, err := js.OrderedConsumer(t.Context(), "events", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[uint64]bool{}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		if m, err := msg.Metadata(); err == nil {
			mu.Lock()
			defer mu.Unlock()
			seen[m.Sequence.Stream] = true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
	return func(events int) int {
		for deadline := time.Now().Add(20 * time.Second); count() < events && time.Now().Before(deadline); {
			time.Sleep(50 * time.Millisecond)
		}
		consuming.Stop()
		return events - count()
	}
}
