package sse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// Grant is what a client is allowed. The zero Grant allows nothing.
type Grant struct {
	// Scope is the part of the log that the client may see: [Everything],
	// [Topics] or [TopicPrefixes]. The client's own filter narrows it.
	Scope Scope

	// Meta lets the client ask for ?data=exact, as package remote does, which
	// also sends the metadata of events.
	Meta bool

	// User names who is asking, in any form, for [Handler.EndStreams]. No
	// client is sent it, but for the ticket that holds it.
	User string

	// Expires ends the stream with cdc.reconnect, so that the client is
	// authorized anew. A time that has passed is answered with 401. The zero
	// value is never.
	Expires time.Time
}

// AccessError is how [Options.Authorize] refuses a client.
type AccessError struct {
	// Status is 400 to 599; anything else is taken for 403. A browser's
	// EventSource gives up for good on any of them, but 503: this is answered
	// as an overload is, with 200 and cdc.reconnect.
	Status int
	Detail string // for the client; may be empty
}

// Error names status and detail.
func (e *AccessError) Error() string {
	return fmt.Sprintf("sse: access refused with status %d: %s", e.Status, e.Detail)
}

// admit reads and authorizes the request. The error is a *problem.
func (h *Handler) admit(s *stream, r *http.Request) (err error) {
	if s.request, err = h.opts.parse(r); err != nil {
		return err
	}
	grant := Grant{Scope: Everything(), Meta: true}
	if h.opts.Authorize != nil {
		if grant, err = h.opts.Authorize(r); err != nil {
			return h.refuse(s, r, err)
		}
	}
	var allowed bool
	s.filter, allowed = grant.Scope.narrow(s.request.filter)
	switch {
	case !grant.Expires.IsZero() && !grant.Expires.After(time.Now()):
		return refusal(&AccessError{Status: http.StatusUnauthorized, Detail: "what allowed this has expired: authorize anew"})
	case !allowed:
		return refusal(&AccessError{Status: http.StatusForbidden, Detail: "nothing that the filter selects is allowed"})
	case s.request.exact && !grant.Meta:
		return refusal(&AccessError{Status: http.StatusForbidden, Detail: "data=exact is not allowed: it would show the metadata of events"})
	}
	s.user, s.expires, s.expiry = grant.User, grant.Expires, EndExpired
	if age := h.opts.Limits.Age; age > 0 {
		if end := time.Now().Add(age - rand.N(age/5+1)); s.expires.IsZero() || end.Before(s.expires) {
			s.expires, s.expiry = end, EndMaxAge
		}
	}
	return nil
}

// refuse answers an error of Options.Authorize. With nil the stream is answered
// as an overload is.
func (h *Handler) refuse(s *stream, r *http.Request, err error) error {
	access, ok := errors.AsType[*AccessError](err)
	if !ok {
		h.report(err)
	}
	if ok && access.Status == http.StatusServiceUnavailable && r.Method != http.MethodHead && !s.request.boundsOnly {
		s.rejection = EndOverload
		return nil
	}
	return refusal(err)
}
