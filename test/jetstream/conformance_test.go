package jetstream_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/leaktest"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestConformance is also the child that the Crash cases kill.
func TestConformance(t *testing.T) { conformance.Run(t, oneNode(t)) }

func TestConformanceOverHub(t *testing.T) {
	needSoak(t)
	conformance.Run(t, conformance.OverHub(oneNode(t), &cdc.HubOptions{TailEvents: 16}))
}

func TestConformanceReplicated(t *testing.T) {
	needSoak(t)
	h := harness(t, startCluster(t))
	h.Crash = nil // the child would start another cluster
	conformance.Run(t, h)
}

// needSoak keeps the short form short: the suite takes minutes each time.
func needSoak(t *testing.T) {
	t.Helper()
	if os.Getenv("GAPLESS_SOAK") == "" {
		t.Skip("runs with GAPLESS_SOAK")
	}
}

// oneNode has one server for all cases. The child of a Crash case starts none.
func oneNode(t *testing.T) conformance.Harness {
	t.Helper()
	var nodes []*node
	if os.Getenv("GAPLESS_CONFORMANCE_CHILD") == "" {
		nodes = []*node{startNode(t)}
	}
	h := harness(t, nodes)
	h.Crash = conformance.CrashSelf("TestConformance")
	h.Rewind = func(_ context.Context, at conformance.Place, _ cdc.Log, seq uint64) error {
		return nodes[0].rewind(at.Name, seq)
	}
	h.Break = func(context.Context, conformance.Place, cdc.Log) (func(), error) {
		nodes[0].stop()
		return nodes[0].start, nil
	}
	return h
}

// ownLog closes its connection with the log.
type ownLog struct {
	*jetstreamlog.Log
	conn *nats.Conn
}

func (l ownLog) Unwrap() cdc.Log { return l.Log }

func (l ownLog) Close() error {
	err := l.Log.Close()
	l.conn.Close()
	return err
}

// harness has the same servers for all cases. The child of a Crash case finds
// their addresses in the place.
func harness(t *testing.T, nodes []*node) conformance.Harness {
	t.Helper()
	var urls []string
	for _, n := range nodes {
		urls = append(urls, n.ClientURL())
	}
	open := func(ctx context.Context, at conformance.Place) (cdc.Log, error) {
		file := filepath.Join(at.Dir, "addr")
		addr, err := os.ReadFile(file)
		if err != nil {
			addr = []byte(strings.Join(urls, ","))
			if err := os.WriteFile(file, addr, 0o600); err != nil {
				return nil, err
			}
		}
		nc, js, err := connect(string(addr))
		if err != nil {
			return nil, err
		}
		log, err := jetstreamlog.Open(ctx, js, at.Name, &jetstreamlog.Options{Replicas: len(strings.Split(string(addr), ","))})
		if err != nil {
			nc.Close()
			return nil, err
		}
		return ownLog{log, nc}, nil
	}
	return conformance.Harness{
		Open: open, Second: open, Reopen: open,
		Sever: func(context.Context, conformance.Place, cdc.Log) (int, error) { return sever(nodes) },
	}
}

// sever ends every connection of a client.
func sever(nodes []*node) (int, error) {
	n := 0
	for _, node := range nodes {
		conns, err := node.Connz(nil)
		if err != nil {
			return n, err
		}
		for _, c := range conns.Conns {
			if err := node.DisconnectClientByID(c.Cid); err == nil {
				n++
			}
		}
	}
	return n, nil
}
