package redislog_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// TestConformance is also the child that the Crash cases kill.
func TestConformance(t *testing.T) { conformance.Run(t, harness(t, testserver.StartRedis)) }

func TestConformanceOverHub(t *testing.T) {
	conformance.Run(t, conformance.OverHub(harness(t, testserver.StartRedis), &cdc.HubOptions{TailEvents: 16}))
}

func TestConformanceValkey(t *testing.T) {
	if _, err := exec.LookPath("valkey-server"); err != nil {
		t.Skip("valkey-server is not installed") // not in every Debian
	}
	h := harness(t, testserver.StartValkey)
	h.Crash = nil // the child would start another server
	conformance.Run(t, h)
}

// ownLog closes its client with the log.
type ownLog struct {
	*redislog.Log
	client *redis.Client
}

func (l ownLog) Unwrap() cdc.Log { return l.Log }

func (l ownLog) Close() error {
	err := l.Log.Close()
	_ = l.client.Close()
	return err
}

// harness has one server for all cases. The child of a Crash case starts none:
// it finds the address in the place.
func harness(t *testing.T, start func(testing.TB, ...string) *testserver.Redis) conformance.Harness {
	t.Helper()
	var server *testserver.Redis
	if os.Getenv("GAPLESS_CONFORMANCE_CHILD") == "" {
		server = start(t)
	}
	open := func(ctx context.Context, at conformance.Place) (cdc.Log, error) {
		file := filepath.Join(at.Dir, "addr")
		addr, err := os.ReadFile(file)
		if err != nil {
			addr = []byte(server.Addr)
			if err := os.WriteFile(file, addr, 0o600); err != nil {
				return nil, err
			}
		}
		client := redis.NewClient(&redis.Options{Addr: string(addr)})
		log, err := redislog.Open(ctx, client, at.Name, nil)
		if err != nil {
			_ = client.Close()
			return nil, err
		}
		return ownLog{log, client}, nil
	}
	return conformance.Harness{
		Open: open, Second: open, Reopen: open,
		Rewind: rewind, Sever: sever, Break: breakReads,
		Crash: conformance.CrashSelf("TestConformance"),
	}
}

// rewind makes the server hold what it held at seq, as a replica would that did
// not get the rest.
func rewind(ctx context.Context, at conformance.Place, log cdc.Log, seq uint64) error {
	c, meta := log.(ownLog).client, "gapless:{"+at.Name+"}"
	entries, err := c.XRange(ctx, meta+":log", strconv.FormatUint(seq+1, 10), "+").Result()
	if err != nil {
		return err
	}
	for _, e := range entries {
		var last, more uint64
		if _, err := fmt.Sscanf(e.ID, "%d-%d", &last, &more); err != nil || last-more <= seq {
			return fmt.Errorf("cannot go back to %d: it is within the entry %s (%v)", seq, e.ID, err)
		}
	}
	_, err = c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, e := range entries {
			p.XDel(ctx, meta+":log", e.ID)
		}
		p.Do(ctx, "XSETID", meta+":log", strconv.FormatUint(seq, 10)+"-99")
		p.HSet(ctx, meta, "head", seq)
		return nil
	})
	return err
}

// sever kills every connection but the one that it uses.
func sever(ctx context.Context, _ conformance.Place, log cdc.Log) (int, error) {
	return log.(ownLog).client.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Int()
}

// breakReads puts a key of another type where the log has its hash.
func breakReads(ctx context.Context, at conformance.Place, log cdc.Log) (func(), error) {
	c, meta := log.(ownLog).client, "gapless:{"+at.Name+"}"
	aside := strings.Replace(meta, "gapless", "aside", 1)
	_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Rename(ctx, meta, aside)
		p.Set(ctx, meta, "broken", 0)
		return nil
	})
	return func() { _ = c.Rename(context.WithoutCancel(ctx), aside, meta).Err() }, err
}
