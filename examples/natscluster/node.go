package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/gapless-go/gapless/examples/internal/cluster"
)

// nodeConfig is what one node has to know.
type nodeConfig struct {
	Name  string
	Dir   string   // of its streams
	Port  int      // of clients
	Route int      // port of the other nodes
	Peers []string // URLs of all routes
}

// startNodes starts three nodes, which end with ctx, and returns the address of
// all of them. Each keeps its ports, so that clients find it again.
func startNodes(ctx context.Context, group *sync.WaitGroup, dir string) (*cluster.Fleet, string, error) {
	ports, err := cluster.FreePorts(6)
	if err != nil {
		return nil, "", err
	}
	var peers, urls []string
	for i := range 3 {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
		peers = append(peers, fmt.Sprintf("nats://127.0.0.1:%d", ports[3+i]))
	}
	nodes, err := cluster.StartFleet(ctx, group, 3, func(i int) []string {
		name := fmt.Sprint("n", i)
		config, err := json.Marshal(nodeConfig{name, filepath.Join(dir, name), ports[i], ports[3+i], peers})
		if err != nil {
			panic(err) // texts and numbers
		}
		return []string{"-node", string(config)}
	})
	return nodes, strings.Join(urls, ","), err
}

// beNode is a node until stdin ends. It syncs every write, as Durable needs.
func beNode(config string) error {
	var c nodeConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	opts := &server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, NoSigs: true,
		JetStream: true, StoreDir: c.Dir, SyncAlways: true,
		Cluster: server.ClusterOpts{Name: "example", Host: "127.0.0.1", Port: c.Route},
	}
	for _, peer := range c.Peers {
		u, err := url.Parse(peer)
		if err != nil {
			return err
		}
		opts.Routes = append(opts.Routes, u)
	}
	node, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	node.Start()
	if !node.ReadyForConnections(30 * time.Second) {
		return errors.New("the node does not accept connections")
	}
	fmt.Println(node.ClientURL())
	cluster.AwaitParent()
	return nil
}
