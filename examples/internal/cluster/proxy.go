package cluster

import (
	"context"
	"io"
	"net"
	"sync"
)

// startProxy relays each connection to the first of the targets that answers,
// and returns its address. It ends with ctx.
func startProxy(ctx context.Context, group *sync.WaitGroup, targets func() []string) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			group.Go(func() { relay(ctx, client, targets()) })
		}
	})
	return listener.Addr().String(), nil
}

// relay ends when either side does, as a client must see that its server died.
func relay(ctx context.Context, client net.Conn, targets []string) {
	defer func() { _ = client.Close() }()
	for _, addr := range targets {
		server, err := net.Dial("tcp", addr)
		if err != nil {
			continue
		}
		closeBoth := func() { _, _ = client.Close(), server.Close() }
		stop := context.AfterFunc(ctx, closeBoth)
		defer stop()
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(server, client); closeBoth() })
		both.Go(func() { _, _ = io.Copy(client, server); closeBoth() })
		both.Wait()
		return
	}
}
