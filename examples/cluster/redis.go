package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/examples/internal/cluster"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// logName is the name of the log that all servers share.
const logName = "cluster"

// ownLog closes its client with the log.
type ownLog struct {
	*redislog.Log
	client *redis.Client
}

func (l ownLog) Close() error { return errors.Join(l.Log.Close(), l.client.Close()) }

func openLog(ctx context.Context, addr string) (cluster.Log, error) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	log, err := redislog.Open(ctx, client, logName, nil)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return ownLog{log, client}, nil
}

// startRedis starts a private redis-server on a free loopback port. It ends with
// ctx.
func startRedis(ctx context.Context, group *sync.WaitGroup) (addr string, err error) {
	ports, err := cluster.FreePorts(1)
	if err != nil {
		return "", err
	}
	port := strconv.Itoa(ports[0])
	addr = net.JoinHostPort("127.0.0.1", port)
	dir, err := os.MkdirTemp("", "gapless-cluster-")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes")
	if err := cmd.Start(); err != nil {
		return "", errors.Join(fmt.Errorf("cannot start redis-server: install it: %w", err), os.RemoveAll(dir))
	}
	group.Go(func() {
		_ = cmd.Wait() // killed with ctx
		_ = os.RemoveAll(dir)
	})
	for range 500 {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return addr, conn.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "", fmt.Errorf("redis-server does not listen on %s after 5 s", addr)
}
