package jetstream_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/internal/testserver"
)

// node is a nats-server in this process, on one port for its whole life.
type node struct {
	tb   testing.TB
	opts server.Options
	*server.Server

	starts chan func() // run by a goroutine of no case: the suite tells the goroutines of a case by where they were started
}

// startNode starts one that syncs every write to the disk, as production has to.
func startNode(tb testing.TB) *node {
	tb.Helper()
	n := newNode(tb, nodeOptions(tb))
	n.start()
	return n
}

func newNode(tb testing.TB, opts server.Options) *node {
	n := &node{tb: tb, opts: opts, starts: make(chan func())}
	go func() {
		for start := range n.starts {
			start()
		}
	}()
	tb.Cleanup(func() { close(n.starts) })
	return n
}

func nodeOptions(tb testing.TB) server.Options {
	tb.Helper()
	return server.Options{
		Host: "127.0.0.1", Port: testserver.FreePort(tb), NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: tb.TempDir(), SyncAlways: true,
		MaxPayload: 2 << 20,
	}
}

// startCluster starts three that are one cluster, and returns when it has a leader.
func startCluster(tb testing.TB) []*node {
	tb.Helper()
	nodes, routes := make([]*node, 3), make([]*url.URL, 3)
	for i := range nodes {
		o := nodeOptions(tb)
		o.ServerName = fmt.Sprint("n", i)
		o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: testserver.FreePort(tb)}
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", o.Cluster.Port)}
		nodes[i] = newNode(tb, o)
	}
	for _, n := range nodes {
		n.opts.Routes = routes
		n.launch()
	}
	for _, n := range nodes {
		n.await()
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		for _, n := range nodes {
			if n.JetStreamIsLeader() && n.JetStreamIsCurrent() && len(n.JetStreamClusterPeers()) == len(nodes) {
				return nodes
			}
		}
		if time.Now().After(deadline) {
			tb.Fatal("the cluster has no leader")
		}
	}
}

func (n *node) start() {
	n.tb.Helper()
	n.launch()
	n.await()
}

func (n *node) launch() {
	n.tb.Helper()
	opts, done := n.opts, make(chan error)
	n.starts <- func() {
		var err error
		if n.Server, err = server.NewServer(&opts); err == nil {
			n.Start()
		}
		done <- err
	}
	if err := <-done; err != nil {
		n.tb.Fatal(err)
	}
	n.tb.Cleanup(n.stop)
}

func (n *node) await() {
	n.tb.Helper()
	if !n.ReadyForConnections(20 * time.Second) {
		n.tb.Fatal("nats-server is not ready")
	}
}

// stop ends the server; start starts it again with what it has stored.
func (n *node) stop() {
	n.Shutdown()
	n.WaitForShutdown()
}

// timeout is how long a question may take, so that a server that is down does not
// take the tests long.
const timeout = 3 * time.Second

// connect returns a connection that comes back quickly.
func connect(urls string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(urls, nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(timeout))
	return nc, js, err
}
