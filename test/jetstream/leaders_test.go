package jetstream_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// TestLeadersChange stops and starts the leader of a stream of three replicas
// while one appends and one follows: a new leader is never taken for a loss.
func TestLeadersChange(t *testing.T) {
	nodes := startCluster(t)
	js := newJS(t, nodes...)
	log := open(t, js, "events", &jetstreamlog.Options{Replicas: 3})
	stops := 0
	events := exactBeside(t, log, rounds(3, 50), func(ctx context.Context) {
		stops++
		time.Sleep(time.Second)
		n := leaderOf(ctx, t, js, nodes)
		n.stop()
		time.Sleep(500 * time.Millisecond)
		n.start()
	})
	t.Logf("%d leaders stopped, %d events, each once", stops, events)
}

// leaderOf returns the node that leads the stream, once there is one.
func leaderOf(ctx context.Context, t *testing.T, js jetstream.JetStream, nodes []*node) *node {
	t.Helper()
	for ctx.Err() == nil {
		s, err := stream(ctx, js)
		if err != nil {
			continue
		}
		leader := s.CachedInfo().Cluster.Leader
		if i := slices.IndexFunc(nodes, func(n *node) bool { return n.opts.ServerName == leader }); i >= 0 {
			return nodes[i]
		}
	}
	t.Fatal(context.Cause(ctx))
	return nil
}
