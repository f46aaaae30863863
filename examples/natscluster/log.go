package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/examples/internal/cluster"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

const (
	logName  = "cluster"   // of the log that all servers share
	patience = time.Minute // how long the nodes may take to elect a leader
)

// ownLog closes its connection with the log.
type ownLog struct {
	*jetstreamlog.Log
	conn *nats.Conn
}

func (l ownLog) Close() error {
	err := l.Log.Close()
	l.conn.Close()
	return err
}

// openLog connects to any of the nodes and stays connected to one that runs.
func openLog(ctx context.Context, addr string) (cluster.Log, error) {
	conn, err := nats.Connect(addr, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		log, err := jetstreamlog.Open(ctx, js, logName, &jetstreamlog.Options{Replicas: 3})
		if err == nil {
			return ownLog{log, conn}, nil
		}
		if ctx.Err() != nil || time.Since(began) > patience {
			conn.Close()
			return nil, errors.Join(err, context.Cause(ctx))
		}
	}
}
