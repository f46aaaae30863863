package gaplesswatermill

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// SubscriberOptions of [NewSubscriber]. Nil means the defaults.
type SubscriberOptions struct {
	// Group is the consumer group: subscribers with the same group and topic
	// share a position, and one of them at a time gets messages. It must have no
	// slash. Empty means "default".
	Group string

	// Start is where a group begins that never had the topic. The zero value is
	// the head at the time of Subscribe or SubscribeInitialize.
	Start cdc.Start

	// BatchSize is how many acked messages may share a commit of the position:
	// as many may come again after a crash, none after Close. It never waits for
	// a full batch. 0 means 100; negative is refused.
	BatchSize int

	// MaxNacks is how often a message may be nacked before it is parked with
	// its key in the place (see [cdc.Parked]); those of other keys go on. 0 means
	// that it is delivered again until it is acked.
	MaxNacks int

	// MaxPause is the longest pause before a nacked message is delivered again,
	// which grows from 100 ms. 0 means 10 s; negative is refused.
	MaxPause time.Duration

	// Term of the lease: another subscriber of the group takes over when it was
	// not renewed for so long. 0 means 4 s; less than 20 ms is refused.
	Term time.Duration

	// Reset decides where to go on when events behind the position are gone, by
	// retention for instance. Nil: the subscription ends, and OnError is told the
	// [*cdc.ResetError].
	Reset func(*cdc.ResetError) (cdc.Start, error)

	// OnError is told what failed and is tried again, and why a subscription has
	// ended before its context and Close. It must be safe for concurrent use.
	// Nil means that this is not reported.
	OnError func(error)
}

func (o *SubscriberOptions) resolved() (SubscriberOptions, error) {
	r := SubscriberOptions{}
	if o != nil {
		r = *o
	}
	switch {
	case strings.Contains(r.Group, "/"):
		return r, errors.New("watermill: SubscriberOptions.Group has a slash, which separates it from the topic in the name of the worker")
	case r.BatchSize < 0 || r.MaxNacks < 0 || r.MaxPause < 0:
		return r, fmt.Errorf("watermill: SubscriberOptions: BatchSize is %d, MaxNacks %d, MaxPause %v: none may be negative", r.BatchSize, r.MaxNacks, r.MaxPause)
	case r.Term != 0 && r.Term < 20*time.Millisecond:
		return r, fmt.Errorf("watermill: SubscriberOptions.Term is %v: use at least 20ms", r.Term)
	}
	r.Group = cmp.Or(r.Group, "default")
	r.Term = cmp.Or(r.Term, 4*time.Second)
	if r.OnError == nil {
		r.OnError = func(error) {}
	}
	return r, nil
}

// consume are the options of the worker for a topic.
func (o SubscriberOptions) consume(topic string) *cdc.ConsumeOptions {
	return &cdc.ConsumeOptions{
		Start: o.Start, Filter: cdc.Filter{Topics: []string{topic}},
		BatchSize: o.BatchSize, MaxTries: cmp.Or(o.MaxNacks, -1), MaxPause: o.MaxPause,
		Term: o.Term, OnError: o.OnError,
	}
}
