package redislog

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// streamView is one atomic look at a stream of other programs.
type streamView struct {
	bounds  cdc.Bounds
	removed bool        // at some time, entries were
	page    *pageBuffer // reply to XRANGE, nil if none was asked for
}

// view takes a view in one transaction and tells the tracker.
func (s *Stream) view(ctx context.Context, c redis.Cmdable, page []any) (streamView, error) {
	for attempts := 0; ; attempts++ {
		q := s.track.ask()
		v, err := s.viewOnce(ctx, c, page)
		if err != nil {
			if attempts < maxLooks && connectionLost(err) && ctx.Err() == nil {
				continue
			}
			return streamView{}, err
		}
		s.observe(q, v.bounds)
		return v, nil
	}
}

func (s *Stream) viewOnce(ctx context.Context, c redis.Cmdable, page []any) (streamView, error) {
	pipe := c.TxPipeline()
	info := pipe.XInfoStream(ctx, s.stream)
	var buffer *pageBuffer
	if page != nil {
		buffer = newPageBuffer()
		_ = pipe.Process(ctx, buffer.cmd(ctx, page)) // the error comes with Exec
	}
	_, err := pipe.Exec(ctx)
	if err != nil && info.Err() != nil && strings.Contains(info.Err().Error(), "no such key") {
		return streamView{bounds: cdc.Bounds{Epoch: s.epoch}, page: buffer}, nil
	}
	if err != nil {
		if redis.IsExecAbortError(err) {
			if _, reason := c.XRangeN(ctx, s.stream, "-", "-", 1).Result(); reason != nil {
				err = reason
			}
		}
		return streamView{}, err
	}
	v, err := s.bounds(info.Val())
	v.page = buffer
	return v, err
}

// bounds are derived from what the server counts: it does not say what was
// trimmed, only how many entries there were, and the newest that XDEL removed.
func (s *Stream) bounds(info *redis.XInfoStream) (streamView, error) {
	v := streamView{bounds: cdc.Bounds{Epoch: s.epoch}, removed: info.EntriesAdded != info.Length}
	last, err := idSeq(info.LastGeneratedID)
	if err != nil {
		return v, err
	}
	v.bounds.Head, v.bounds.Last = last, last
	switch {
	case info.Length == 0:
		v.bounds.Floor = last
	case v.removed:
		first, err := idSeq(info.FirstEntry.ID)
		if err != nil {
			return v, err
		}
		v.bounds.Floor = first - 1
		deleted, err := idSeq(info.MaxDeletedEntryID)
		if err == nil && !s.opts.IgnoreDeleted {
			v.bounds.Floor = max(v.bounds.Floor, deleted)
		}
	}
	return v, nil
}

// observe gives the tracker an epoch that changes when the stream goes back, which
// the cursors' epoch cannot: other processes would not know it.
func (s *Stream) observe(q question, b cdc.Bounds) {
	n := s.rewinds.Load()
	b.Epoch = s.epoch + "~" + strconv.FormatInt(n, 10)
	if b.Epoch == q.bounds.Epoch && b.Last < q.bounds.Last {
		s.rewinds.CompareAndSwap(n, n+1)
		b.Epoch = s.epoch + "~" + strconv.FormatInt(s.rewinds.Load(), 10)
	}
	s.track.answer(q, b)
}
