package gaplesswatermill

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/gapless-go/gapless/cdc"
)

// ErrClosed is what a call after Close returns.
var ErrClosed = errors.New("watermill: it is closed")

// Publisher appends messages to a log. All methods may be called concurrently.
type Publisher struct {
	log    cdc.Log
	closed atomic.Bool
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher to the log, which stays the caller's. If
// [cdc.Append] does not reach an Appender in it, Publish fails with
// [errors.ErrUnsupported].
func NewPublisher(log cdc.Log) *Publisher { return &Publisher{log: log} }

// Publish appends the messages, all or none, with the context of the first. One
// that is there already is not added again. To publish in a transaction of the
// store, append to the log itself.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return ErrClosed
	}
	if len(messages) == 0 {
		return nil
	}
	events := make([]cdc.Event, len(messages))
	for i, msg := range messages {
		events[i] = eventOf(topic, msg)
	}
	if _, err := cdc.Append(messages[0].Context(), p.log, events...); err != nil {
		return fmt.Errorf("watermill: publish to %q: %w", topic, err)
	}
	return nil
}

// Close refuses what is published from now on. The log stays open.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}
