package pebblesource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gapless-go/gapless/cdc"
)

// errCommit wraps the error of a commit that may have happened.
var errCommit = errors.New("the commit failed")

// change is a batch that will be one commit.
type change struct {
	*pebble.Batch // indexed: what was put is found
	bounds        cdc.Bounds
}

// write calls f while nobody else writes, and commits what it put and the
// bounds if it changed them.
func (s *Source) write(ctx context.Context, f func(c *change) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return s.use(func() error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		before, err := boundsIn(s.db)
		if err != nil {
			return err
		}
		c := &change{s.db.NewIndexedBatch(), before}
		if err = f(c); err == nil && c.bounds != before {
			err = s.commit(c)
		}
		return errors.Join(err, c.Close())
	})
}

func (s *Source) commit(c *change) error {
	text, _ := json.Marshal(c.bounds) // it is text and numbers
	if err := c.Set(boundsKey, text, nil); err != nil {
		return err
	}
	if err := c.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("%w: %w", errCommit, err)
	}
	s.synced.Store(c.bounds.Head)
	return nil
}

// Append implements [cdc.Appender].
func (s *Source) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	var receipt cdc.Receipt
	err := cdc.CheckAppend(events, s.maxBytes)
	if err == nil {
		err = s.write(ctx, func(c *change) (err error) {
			receipt, err = c.add(events)
			return err
		})
	}
	if errors.Is(err, errCommit) {
		err = fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
	}
	if err != nil {
		return cdc.Receipt{}, fmt.Errorf("pebblesource: append: %w", err)
	}
	return receipt, nil
}

// add puts the events whose ID is new at the end of the log.
func (c *change) add(events []cdc.Event) (cdc.Receipt, error) {
	receipt := cdc.Receipt{Epoch: c.bounds.Epoch, Duplicate: len(events) > 0}
	now := time.Now().UTC().Truncate(time.Microsecond) // as it is read back
	for _, e := range events {
		seq, err := seqIn(c, e.ID)
		if err == nil && seq == 0 {
			receipt.Duplicate = false
			c.bounds.Last++
			seq, e.Seq, e.Time = c.bounds.Last, c.bounds.Last, now
			err = c.put(e)
		}
		if err != nil {
			return cdc.Receipt{}, err
		}
		receipt.Seqs = append(receipt.Seqs, seq)
	}
	c.bounds.Head = c.bounds.Last
	return receipt, nil
}

func (c *change) put(e cdc.Event) error {
	text, err := json.Marshal(e)
	if err == nil {
		err = c.Set(eventKey(e.Seq), text, nil)
	}
	if err == nil && e.ID != "" {
		err = c.Set(idKey(e.ID), fmt.Append(nil, e.Seq), nil)
	}
	return err
}
