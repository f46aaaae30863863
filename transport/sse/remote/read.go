package remote

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// Read implements [cdc.Source]. The server ends a page at its limit, so that one
// connection serves any number of them.
func (l *Log) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if l.ctx.Err() != nil {
		return cdc.Page{}, cdc.ErrClosed
	}
	if ctx.Err() != nil {
		return cdc.Page{}, context.Cause(ctx)
	}
	limit = min(max(limit, 1), math.MaxInt32) // what a server takes
	if l.opts.Pages == 0 || l.pages.isBad(after) {
		return l.readStream(ctx, after, limit, 0)
	}
	page, err := l.readStream(ctx, after, limit, l.opts.Pages)
	sent, ok := errors.AsType[*pagesError](err)
	if !ok {
		return page, err
	}
	if page, err = l.readFromPage(ctx, after, limit, sent.size); err == nil {
		return page, nil
	}
	if ctx.Err() == nil {
		l.opts.OnError(fmt.Errorf("remote: read: %w", err))
	}
	return l.readStream(ctx, after, limit, 0)
}

// readStream reads a page from a stream. With pages, the server may send the
// reader to so many or more: then the error is a *pagesError.
func (l *Log) readStream(ctx context.Context, after cdc.Cursor, limit, pages int) (cdc.Page, error) {
	params := url.Values{wire.AfterParam: {cdc.After(after).String()}, wire.LimitParam: {strconv.Itoa(limit)}}
	if pages > 0 {
		params.Set(wire.PagesParam, strconv.Itoa(pages))
	}
	s, err := l.open(ctx, params)
	if err != nil {
		if ctx.Err() != nil {
			return cdc.Page{}, context.Cause(ctx)
		}
		return cdc.Page{}, fmt.Errorf("remote: read: %w", err)
	}
	return s.readPage(ctx, after, limit)
}

// readPage reads a page and closes the stream.
func (s *stream) readPage(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	defer s.close()
	page, err := s.page(after, limit)
	if err == nil {
		s.drain()
	}
	reset, isReset := errors.AsType[*cdc.ResetError](err)
	switch {
	case page.Next != after.Seq:
		return page, nil // a stream that broke has still brought this
	case ctx.Err() != nil:
		return cdc.Page{}, context.Cause(ctx)
	case isReset:
		return cdc.Page{}, reset
	case err != nil:
		return cdc.Page{}, fmt.Errorf("remote: read: %w", err)
	}
	return page, nil
}

// page reads events until the limit, or until the stream is live.
func (s *stream) page(after cdc.Cursor, limit int) (page cdc.Page, err error) {
	page.Next = after.Seq
	for len(page.Events) < limit {
		f, err := s.next()
		if err != nil {
			return page, err
		}
		switch f.name {
		case "":
			e, err := s.event(f)
			if err != nil {
				return page, err
			}
			page.Events = append(page.Events, e)
		case wire.Reset:
			return page, s.reset(f)
		case wire.Reconnect:
			if sent := sentTo(f); sent != nil && page.Next == after.Seq {
				return page, sent
			}
			if len(page.Events) == 0 {
				return page, &reconnectError{f.retry}
			}
			return page, nil
		}
		page.Next = max(page.Next, s.at.Seq)
		if f.name == wire.Live {
			return page, nil
		}
	}
	return page, nil
}
