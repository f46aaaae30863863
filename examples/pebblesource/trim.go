package pebblesource

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// trimEvents is how many events one commit removes: appends get their turn.
const trimEvents = 1000

// Trim implements [cdc.Trimmer].
func (s *Source) Trim(ctx context.Context, seq uint64) (removed int, err error) {
	for more := true; more; {
		n := 0
		err := s.write(ctx, func(c *change) (err error) {
			n, more, err = c.trim(seq)
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("pebblesource: trim: %w", err)
		}
		removed += n
	}
	return removed, nil
}

// trim removes the oldest events up to seq, and their IDs; more says that
// there are others.
func (c *change) trim(seq uint64) (removed int, more bool, err error) {
	seq = min(seq, c.bounds.Head)
	if seq <= c.bounds.Floor {
		return 0, false, nil
	}
	var failed error
	err = scan(c, c.bounds.Floor, seq, func(e cdc.Event) bool {
		if e.ID != "" {
			failed = errors.Join(failed, c.Delete(idKey(e.ID), nil))
		}
		removed++
		if more = removed == trimEvents; more {
			seq = e.Seq
		}
		return !more
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, false, err
	}
	err = c.DeleteRange(eventKey(c.bounds.Floor+1), eventKey(seq+1), nil) // without its end
	c.bounds.Floor = seq
	return removed, more, err
}

// Renew implements [cdc.Renewer].
func (s *Source) Renew(ctx context.Context) (epoch string, err error) {
	err = s.write(ctx, func(c *change) error {
		c.bounds.Epoch = cdc.NewEpoch()
		epoch = c.bounds.Epoch
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("pebblesource: renew: %w", err)
	}
	return epoch, nil
}
