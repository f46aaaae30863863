package jetstreamlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
)

// Log is a log in one JetStream stream, shared by any number of processes. All
// its methods may be called concurrently. Use [Open].
type Log struct {
	handle
	opts    Options
	batches chan struct{} // holds one for each batch that is being sent
}

var (
	_ cdc.Log      = (*Log)(nil)
	_ cdc.Appender = (*Log)(nil)
	_ cdc.Trimmer  = (*Log)(nil)
	_ cdc.Renewer  = (*Log)(nil)
)

const (
	lookInterval = time.Second // of the live side, should an announcement be lost
	maxBatches   = 16          // at a time; the server takes 50 of a stream
)

// Open opens the log of that name and creates its stream if it does not exist.
// One that exists is refused if a setting breaks a promise: the error names it.
// The servers must be nats-server 2.12 or later. The connection stays the
// caller's: Close does not close it.
//
// A question that gets no answer is asked again, until ctx ends or the time that
// jetstream.WithDefaultTimeout sets, 5 s without it.
func Open(ctx context.Context, js jetstream.JetStream, name string, opts *Options) (*Log, error) {
	l, err := open(ctx, js, name, opts)
	if err != nil {
		return nil, fmt.Errorf("jetstream: open %q: %w", name, explain(err))
	}
	return l, nil
}

func open(ctx context.Context, js jetstream.JetStream, name string, opts *Options) (*Log, error) {
	l := &Log{batches: make(chan struct{}, maxBatches)}
	if opts != nil {
		l.opts = *opts
	}
	if err := checkStream(js, name); err != nil {
		return nil, err
	}
	if err := l.opts.check(js.Conn().MaxPayload()); err != nil {
		return nil, err
	}
	l.renews = true
	l.epochOf, l.eventOf = epochOf, func(msg *nats.Msg) (cdc.Event, error) { return decode(msg.Data) }
	if err := l.init(js, name, cdc.PollOptions{Min: lookInterval, Max: lookInterval}); err != nil {
		return nil, err
	}
	_, err := ask(ctx, &l.handle, "look", func(ctx context.Context) (cdc.Bounds, error) {
		if err := checkServer(ctx, js); err != nil {
			return cdc.Bounds{}, err
		}
		if err := l.create(ctx); err != nil {
			return cdc.Bounds{}, err
		}
		return l.current(ctx, cdc.Cursor{}, false)
	})
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

func checkStream(js jetstream.JetStream, name string) error {
	switch {
	case js == nil:
		return errors.New("js is nil: make one with jetstream.New")
	case name == "":
		return errors.New(`the name is empty: give the log a name, such as "events"`)
	case strings.ContainsAny(name, " .*>/\\\t\r\n\x00"):
		return errors.New("the name of a stream has no blanks, dots, slashes, * or >: give the log a name without them")
	}
	return nil
}

// checkServer refuses one that has no atomic batches.
func checkServer(ctx context.Context, js jetstream.JetStream) error {
	const level = 2 // of the API, since nats-server 2.12
	account, err := js.AccountInfo(ctx)
	if err != nil {
		return err
	}
	if account.API.Level < level {
		return fmt.Errorf("nats-server %s is too old: a log needs 2.12 or later on every server", js.Conn().ConnectedServerVersion())
	}
	return nil
}

// create makes the stream unless it exists, and verifies it.
func (l *Log) create(ctx context.Context) error {
	info, err := l.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = l.js.CreateStream(ctx, config(l.name, cdc.NewEpoch(), l.opts.Replicas))
		if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		info, err = l.info(ctx)
	}
	if err != nil {
		return err
	}
	return verify(info.Config, l.opts)
}

// epochOf is that of a log. A stream without one took the place of the log's.
func epochOf(info *jetstream.StreamInfo) (string, error) {
	epoch := info.Config.Metadata[metaEpoch]
	if epoch == "" {
		return "", fmt.Errorf("another program made a stream in its place: %w", jetstream.ErrStreamNotFound)
	}
	return epoch, nil
}

// String names the kind of store and the stream.
func (l *Log) String() string { return "jetstream " + l.name }
