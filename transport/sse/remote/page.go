package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sort"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// maxPageBytes is the most that is kept of the events of a page. What is larger
// is read from the stream.
const maxPageBytes = 64 << 20

// pagesError is the end of a stream that sends its reader to pages.
type pagesError struct{ size uint64 }

func (e *pagesError) Error() string {
	return fmt.Sprintf("the server sends us to pages of %d seqs", e.size)
}

// sentTo returns the pagesError that the last frame of a stream is, or nil.
func sentTo(f frame) *pagesError {
	var d wire.ReconnectData
	if json.Unmarshal(f.data, &d) != nil || d.Pages == nil || d.Pages.Size == 0 {
		return nil
	}
	return &pagesError{d.Pages.Size}
}

// fullPage is a page that has come to its end.
type fullPage struct {
	wire.Page
	from, to cdc.Cursor // with the tags of the events there
	events   []cdc.Event
}

// pages are what a Log remembers of those that it asked for.
type pages struct {
	mu   sync.Mutex
	last *fullPage // it serves the reads that a smaller limit makes of it
	bad  wire.Page // it could not be read: the stream has the same events
}

// isBad reports whether the cursor lies in the page that could not be read.
func (p *pages) isBad(after cdc.Cursor) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bad.Epoch == after.Epoch && p.bad.From <= after.Seq && after.Seq < p.bad.To
}

// readFromPage answers a Read by the page of that size. The server has just
// said that the cursor can be resumed.
func (l *Log) readFromPage(ctx context.Context, after cdc.Cursor, limit int, size uint64) (cdc.Page, error) {
	p := wire.PageAt(after, size)
	l.pages.mu.Lock()
	full := l.pages.last
	l.pages.mu.Unlock()
	var err error
	if full == nil || full.Page != p {
		full, err = l.fetchPage(ctx, p)
	}
	if err == nil {
		err = full.follows(after)
	}
	if err != nil {
		err = fmt.Errorf("page %s: %w", p, err)
	}
	l.pages.mu.Lock()
	defer l.pages.mu.Unlock()
	switch {
	case err == nil:
		l.pages.last = full
		return full.after(after.Seq, limit), nil
	case ctx.Err() == nil:
		l.pages.last, l.pages.bad = nil, p
	}
	return cdc.Page{}, err
}

// fetchPage reads a page to its end, from whatever has it.
func (l *Log) fetchPage(ctx context.Context, p wire.Page) (*fullPage, error) {
	s, err := l.open(ctx, url.Values{wire.PageParam: {p.String()}})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	defer s.close()
	full := &fullPage{Page: p, from: s.at}
	if s.at.Epoch != p.Epoch || s.at.Seq != p.From {
		return nil, fmt.Errorf("it begins at %s", s.at)
	}
	for bytes := 0; full.to.Seq == 0; {
		f, err := s.next()
		if err == nil {
			err = full.add(s, f)
		}
		if err != nil {
			return nil, err
		}
		if bytes += len(f.data); bytes > maxPageBytes {
			return nil, fmt.Errorf("it has more than %d bytes", maxPageBytes)
		}
	}
	s.drain()
	return full, nil
}

// add takes the next frame of the page. The last one says how many events there
// are: a page of which something was lost is none.
func (p *fullPage) add(s *stream, f frame) error {
	switch f.name {
	case "":
		return p.addEvent(s, f)
	case wire.Reconnect:
		var d wire.ReconnectData
		if err := json.Unmarshal(f.data, &d); err != nil {
			return err
		}
		if s.at.Epoch != p.Epoch || s.at.Seq != p.To || d.Events == nil || *d.Events != len(p.events) {
			return fmt.Errorf("it ends at %s with %s after %d events", s.at, wire.Quote(string(f.data)), len(p.events))
		}
		p.to = s.at
		return nil
	}
	return fmt.Errorf("it has a frame %s", wire.Quote(f.name))
}

func (p *fullPage) addEvent(s *stream, f frame) error {
	last := p.From
	if n := len(p.events); n > 0 {
		last = p.events[n-1].Seq
	}
	if s.at.Epoch != p.Epoch || s.at.Seq <= last || s.at.Seq > p.To {
		return fmt.Errorf("it has the event %s after %d", s.at, last)
	}
	e, err := s.event(f)
	p.events = append(p.events, e)
	return err
}

// follows returns an error if the page has another event at the cursor, as one
// that was kept of a log that went back since.
func (p *fullPage) follows(after cdc.Cursor) error {
	at := p.from
	if i := p.search(after.Seq - 1); after.Seq > p.From && i < len(p.events) && p.events[i].Seq == after.Seq {
		at = p.events[i].Cursor(p.Epoch)
	}
	if at.Seq == after.Seq && at.Tag != "" && after.Tag != "" && at.Tag != after.Tag {
		return fmt.Errorf("it has another event at %s: %s", after, at)
	}
	return nil
}

// search returns the index of the first event above the seq.
func (p *fullPage) search(seq uint64) int {
	return sort.Search(len(p.events), func(i int) bool { return p.events[i].Seq > seq })
}

// after returns the first events above the seq: at most limit, and about
// [cdc.PageBytes].
func (p *fullPage) after(seq uint64, limit int) cdc.Page {
	events := p.events[p.search(seq):]
	n, size := 0, 0
	for n < len(events) && n < limit && size < cdc.PageBytes {
		size += events[n].Size()
		n++
	}
	page := cdc.Page{Events: events[:n:n], Next: p.to.Seq}
	switch {
	case n < len(events):
		page.Next = events[n-1].Seq
	case n == 0 || events[n-1].Seq < p.to.Seq:
		page.Tag = p.to.Tag
	}
	return page
}
