package sse

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// Pages are fixed ranges of old events, which caches may keep: the same bytes
// for the same address, filter and Scope. A client that asks for ?logpages= is sent
// to them when it is far behind. There are none with Options.Compat. Give the
// endpoint another address (?v=2 will do) when Encoder or EventName change:
// caches go on with what they have.
type Pages struct {
	// Size is how many seqs a page spans. 0 means 512, what is read at once.
	Size int

	// MaxAge is for how long a cache may serve a page without asking: so long,
	// at most, an event can be had after retention has removed it. 0 means a
	// year. With Options.Authorize it is not used: a cache asks each time.
	MaxAge time.Duration

	// Public lets caches that clients share keep pages: everyone who can reach
	// such a cache can see everything. It is refused with Options.Authorize, of
	// which a shared cache knows nothing. Without it pages are private, for the
	// cache of one browser.
	Public bool
}

func (p *Pages) check(authorized bool) error {
	switch {
	case p.Size < 0:
		return errors.New("sse: Options.Pages.Size is negative")
	case p.MaxAge < 0:
		return errors.New("sse: Options.Pages.MaxAge is negative")
	case p.Public && authorized:
		return errors.New("sse: Options.Pages.Public lets a shared cache give to one user what another was allowed: leave it false, or Options.Authorize nil")
	}
	return nil
}

// control is the Cache-Control of a page. What was authorized is authorized
// anew each time: a browser has one cache for all users that log in.
func (p *Pages) control(authorized bool) string {
	scope := "private"
	if p.Public {
		scope = "public"
	}
	if authorized {
		return scope + ", no-cache"
	}
	return fmt.Sprintf("%s, max-age=%d, immutable", scope, int64(p.MaxAge.Seconds()))
}

// missing says why there is no such page, or nil if all of it can be read and
// nothing in it can change.
func (o *Options) missing(p wire.Page, b cdc.Bounds) *problem {
	size, detail := uint64(o.Pages.Size), ""
	switch {
	case o.Compat:
		detail = "this endpoint has no pages"
	case p.From%size != 0 || p.To-p.From != size:
		detail = fmt.Sprintf("a page has %d seqs and begins at a multiple of that", size)
	case p.Epoch != b.Epoch:
		detail = "the log has another epoch"
	case p.To > b.Head:
		detail = "the page is not full yet: follow the stream"
	case p.From < b.Floor || p.From == b.Floor && p.From > 0: // it begins with the tag of the event at From
		detail = "retention has removed the beginning of the page: follow the stream"
	case o.Replay.Max > 0 && b.Head-p.From > o.Replay.Max:
		detail = "the page lies too far below the head"
	default:
		return nil
	}
	return noPage(detail)
}

func noPage(detail string) *problem {
	return &problem{Status: http.StatusNotFound, Title: "There is no such page", Detail: detail}
}

// toPages ends the stream of a client that takes pages where enough of them lie
// before it.
func (s *stream) toPages() error {
	o := &s.h.opts
	if s.request.pages == 0 || s.live || o.Compat {
		return nil
	}
	b, err := s.h.hub.Bounds(s.ctx)
	if err != nil {
		return err
	}
	size := uint64(o.Pages.Size)
	first, to := wire.PageAt(s.pos, size), b.Head-b.Head%size
	if o.missing(first, b) != nil || (to-first.From)/size < uint64(s.request.pages) {
		return nil
	}
	s.pages = &wire.PagesData{Size: size, To: to}
	return &endError{EndPages}
}

// openPage serves a page: a replay with two ends. The error is a *problem, or
// says that the client may not have got all of it.
func (s *stream) openPage(r *http.Request) (err error) {
	s.ctx, s.cancel = context.WithCancelCause(r.Context())
	defer s.cancel(nil)
	s.remote, s.opened, s.out.reused = r.RemoteAddr, time.Now(), true
	if !s.entered() {
		s.observeEnd(s.rejection, false)
		return &problem{Status: http.StatusServiceUnavailable, Title: "Not now", Detail: "come back later"}
	}
	reason := EndLog // if foreign code panics
	defer func() { s.h.leave(s, reason) }()
	s.observeOpened()
	if !s.expires.IsZero() {
		s.timer = s.endAfter(time.Until(s.expires), s.expiry)
		defer s.stopTimer()
	}
	err = s.servePage(r) //nolint:contextcheck // s has the context
	if _, ok := errors.AsType[*problem](err); ok || err == nil {
		reason = EndPages
		return err
	}
	if reason = reasonFor(s.ctx, err); reason == EndLog { //nolint:contextcheck // as above
		s.h.report(err)
	}
	if s.out.last.IsZero() { // nothing was sent
		return &problem{Status: http.StatusServiceUnavailable, Title: "The log does not answer"}
	}
	return err
}

// servePage answers a client that was let in.
func (s *stream) servePage(r *http.Request) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.h.opts.Timeouts.Start)
	defer cancel()
	b, err := s.h.hub.Bounds(ctx)
	if err != nil {
		return err
	}
	if p := s.h.opts.missing(s.request.page, b); p != nil {
		return p
	}
	etag := s.etag()
	if strings.Contains(r.Header.Get("If-None-Match"), etag) {
		s.h.opts.pageHeaders(s.out.w.Header(), etag)
		s.out.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	from, err := s.h.tagged(ctx, cdc.Cursor{Epoch: s.request.page.Epoch, Seq: s.request.page.From})
	if _, reset := errors.AsType[*cdc.ResetError](err); reset { // trimmed or renewed meanwhile
		return noPage("the log has changed: follow the stream")
	}
	if err != nil {
		return err
	}
	s.h.opts.pageHeaders(s.out.w.Header(), etag)
	outliveReadTimeout(s.out.control, r)
	if err := s.out.start(); err != nil {
		s.out.w.Header().Del("ETag")
		return err
	}
	if r.Method == http.MethodHead {
		return nil
	}
	inGoodOrder := endWithReset(r)
	if err := s.sendPage(from); err != nil {
		return err
	}
	inGoodOrder()
	return nil
}

// tagged adds the tag of the event at the cursor, if there is one.
func (h *Handler) tagged(ctx context.Context, c cdc.Cursor) (cdc.Cursor, error) {
	if c.Seq == 0 {
		return c, nil
	}
	page, err := h.hub.Read(ctx, cdc.Cursor{Epoch: c.Epoch, Seq: c.Seq - 1}, 1)
	if err == nil && len(page.Events) > 0 && page.Events[0].Seq == c.Seq {
		c.Tag = page.Events[0].Tag()
	}
	return c, err
}

// sendPage sends hello, the events, and what shows that they are all: the
// cursor at the end and their number. Both cursors have the tag of the event
// there: who reads one page after the other sees that they follow on each other.
func (s *stream) sendPage(from cdc.Cursor) error {
	to := cdc.Cursor{Epoch: from.Epoch, Seq: s.request.page.To}
	s.pos = from
	err := s.control(control{name: wire.Hello, id: s.id(from), data: wire.HelloData{Log: from.Epoch, From: from}})
	for err == nil && s.pos.Seq < to.Seq {
		err = s.sendNext(to.Seq)
	}
	if err == nil {
		to, err = s.h.tagged(s.ctx, to) // after the events: the Hub has just read them
	}
	if err != nil {
		return err
	}
	s.pos = to
	n := int(s.status.events.Load())
	return s.control(control{name: wire.Reconnect, id: s.id(to), data: wire.ReconnectData{Events: &n}})
}

// sendNext reads and sends the next events up to the seq.
func (s *stream) sendNext(to uint64) error {
	page, err := cdc.ReadFiltered(s.ctx, s.h.hub, s.pos, s.h.opts.Replay.PageSize, s.filter)
	if err != nil {
		return err
	}
	if page.Next <= s.pos.Seq {
		return fmt.Errorf("sse: the log ends at %d, though its head was at %d or above", page.Next, to)
	}
	s.pos = cdc.Cursor{Epoch: s.pos.Epoch, Seq: page.Next, Tag: page.Tag}
	if above := slices.IndexFunc(page.Events, func(e cdc.Event) bool { return e.Seq > to }); above >= 0 {
		page.Events = page.Events[:above:above]
	}
	if len(page.Events) == 0 {
		return context.Cause(s.ctx)
	}
	if last := page.Events[len(page.Events)-1]; last.Seq == page.Next {
		s.pos = last.Cursor(s.pos.Epoch)
	}
	return s.events(cdc.Batch{Events: page.Events, Cursor: s.pos})
}

// etag is of all that decides on the bytes of the page, but for what the
// application sets when it is built: see Pages.
func (s *stream) etag() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %t %q", s.request.page, s.request.exact,
		[...][]string{s.filter.Topics, s.filter.TopicPrefixes, s.filter.Types, s.filter.Keys}))
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

func (o *Options) pageHeaders(header http.Header, etag string) {
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", o.Pages.control(o.Authorize != nil))
	header.Set("ETag", etag)
	if o.CORS != nil && slices.Contains(o.CORS.Origins, "*") {
		header.Set("Access-Control-Allow-Origin", "*") // also where the first to ask has no origin
	}
}
