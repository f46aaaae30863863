package jetstreamlog

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
)

// StreamOptions of [OpenStream]; nil means the defaults.
type StreamOptions struct {
	// Event makes an event of a message. Seq is set afterwards, Time too if it is
	// zero. It must always return the same for the same message, because the tag
	// of a cursor is taken from the event. nil means that Topic is the subject,
	// ID the Nats-Msg-Id, and Data the payload; headers are not in the event.
	Event func(*nats.Msg) cdc.Event

	// IgnoreDeleted says that messages which were deleted, expired or replaced
	// by a newer one of their subject are not missed. By default a stream that
	// is configured for that is refused, and a hole above a cursor is a reset:
	// something was there.
	IgnoreDeleted bool

	// Poll says how often the live side looks: the server announces nothing.
	Poll cdc.PollOptions
}

// Stream is a stream that other programs write, as a read-only [cdc.Log]. All its
// methods may be called concurrently. Use [OpenStream].
type Stream struct{ handle }

var _ cdc.Log = (*Stream)(nil)

// OpenStream opens a stream that other programs write. It never changes it, and
// works with nats-server 2.11 or later. The sequence of a message is its seq.
//
// Nothing is stored for it, so less can be promised than for a [Log]. Its epoch
// is made from name and creation time: a backup that was restored, and newest
// messages that were lost, are noticed only by the tag in a cursor and by who was
// following. A stream whose messages its consumers remove is refused.
func OpenStream(ctx context.Context, js jetstream.JetStream, name string, opts *StreamOptions) (*Stream, error) {
	s, err := openStream(ctx, js, name, opts)
	if err != nil {
		return nil, fmt.Errorf("jetstream: open stream %q: %w", name, explain(err))
	}
	return s, nil
}

func openStream(ctx context.Context, js jetstream.JetStream, name string, opts *StreamOptions) (*Stream, error) {
	var o StreamOptions
	if opts != nil {
		o = *opts
	}
	if o.Event == nil {
		o.Event = eventOf
	}
	if err := checkStream(js, name); err != nil {
		return nil, err
	}
	s := &Stream{}
	s.epochOf, s.ignoreDeleted = createdEpoch, o.IgnoreDeleted
	s.eventOf = func(msg *nats.Msg) (cdc.Event, error) { return o.Event(subjected(msg)), nil }
	if err := s.init(js, name, o.Poll); err != nil {
		return nil, err
	}
	_, err := ask(ctx, &s.handle, "look", func(ctx context.Context) (cdc.Bounds, error) {
		info, err := s.info(ctx)
		if err != nil {
			return cdc.Bounds{}, err
		}
		if err := refuse(followable(info.Config, o.IgnoreDeleted)); err != nil {
			return cdc.Bounds{}, err
		}
		return s.current(ctx, cdc.Cursor{}, false)
	})
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// subjected has the subject that the message was published to.
func subjected(msg *nats.Msg) *nats.Msg {
	if subject := added(msg, jetstream.SubjectHeader); subject != "" {
		msg.Subject = subject
	}
	return msg
}

// eventOf is the default of StreamOptions.Event.
func eventOf(msg *nats.Msg) cdc.Event {
	return cdc.Event{ID: msg.Header.Get(jetstream.MsgIDHeader), Topic: msg.Subject, Data: msg.Data}
}

// createdEpoch is that of a stream without metadata of ours.
func createdEpoch(info *jetstream.StreamInfo) (string, error) {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %s", info.Config.Name, info.Created.UTC().Format(time.RFC3339Nano)) // cannot fail
	return "s" + strconv.FormatUint(h.Sum64(), 36), nil
}

// String names the kind of store and the stream.
func (s *Stream) String() string { return "jetstream " + s.name }

// Subscribe implements [cdc.Subscriber]. Its subscriptions carry no events.
func (s *Stream) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	return call(ctx, &s.handle, "subscribe", s.live.Subscribe)
}
