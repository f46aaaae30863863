package testserver

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// NATSCluster is three processes whose routes to each other are proxies.
type NATSCluster struct {
	Nodes []*NATS // named n0, n1, n2

	links [3][3]*Proxy // from one node to another
}

// StartNATSCluster starts the nats-server of that path three times, with further
// arguments. It ends with the test.
func StartNATSCluster(tb testing.TB, path string, args ...string) *NATSCluster {
	tb.Helper()
	c := &NATSCluster{}
	var ports [3]int
	for to := range ports {
		ports[to] = FreePort(tb)
		for from := range ports {
			if from != to {
				c.links[from][to] = StartProxy(tb, ports[to])
			}
		}
	}
	for i, port := range ports {
		var routes []string
		for _, link := range c.links[i] {
			if link != nil {
				routes = append(routes, "nats://"+link.Addr)
			}
		}
		// Nodes tell each other where a third one is: nobody is at port 1, so that
		// they use the proxies only.
		c.Nodes = append(c.Nodes, StartNATS(tb, path, append([]string{
			"-n", fmt.Sprint("n", i), "-cluster_name", "test", "-cluster", fmt.Sprint("nats://127.0.0.1:", port),
			"-cluster_advertise", "127.0.0.1:1", "-routes", strings.Join(routes, ","),
		}, args...)...))
	}
	return c
}

// URLs are those of all nodes, separated by commas.
func (c *NATSCluster) URLs() string {
	var urls []string
	for _, n := range c.Nodes {
		urls = append(urls, n.URL)
	}
	return strings.Join(urls, ",")
}

// Isolate lets nothing through between one node and the others. Nothing is closed:
// a network that is cut looks like that. Join ends it.
func (c *NATSCluster) Isolate(node int) { c.each(node, (*Proxy).Freeze) }

// Join ends Isolate. What was held back arrives.
func (c *NATSCluster) Join(node int) { c.each(node, (*Proxy).Thaw) }

func (c *NATSCluster) each(node int, do func(*Proxy)) {
	for other := range c.links {
		if other != node {
			do(c.links[node][other])
			do(c.links[other][node])
		}
	}
}

// Pause stops the server with SIGSTOP. Resume lets it go on.
func (n *NATS) Pause() { n.signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (n *NATS) Resume() { n.signal(syscall.SIGCONT) }

func (n *NATS) signal(s syscall.Signal) {
	n.tb.Helper()
	if err := n.process.cmd.Process.Signal(s); err != nil {
		n.tb.Fatal(err)
	}
}
