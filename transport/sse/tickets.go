package sse

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Tickets authorize a browser's EventSource, which can send no header but
// cookies. A page gets a ticket with a request of its own, which the
// application authorizes as it likes, and opens
//
//	new EventSource("/events?ticket=" + ticket)
//
// A ticket opens streams for a short time after it was issued, and then only
// reconnects one: a request with a Last-Event-ID, since an EventSource repeats
// its URL. It holds no state, so every process with the same key accepts it,
// also after a restart, and after a logout: an application that ends the streams
// of a user asks in its Options.Authorize whether the user of the Grant that
// [Tickets.Authorize] returned is still logged in. It appears in logs of URLs:
// keep Lifetime short. Its holder can read what it grants. Use [NewTickets].
type Tickets struct {
	key  []byte
	opts TicketOptions
}

// TicketOptions of [NewTickets]; nil means the defaults. A negative value is an
// error.
type TicketOptions struct {
	// Exchange is how long a ticket can open a stream. 0 means 30 s.
	Exchange time.Duration

	// Lifetime is how long streams opened with it last and can be reconnected;
	// a Grant that expires before has the last word. 0 means 1 h.
	Lifetime time.Duration
}

// NewTickets returns tickets that are signed with the key: at least 32 secret
// random bytes, used for nothing else. Every handler whose tickets have the key
// takes them, for the same Scope of its own log.
func NewTickets(key []byte, opts *TicketOptions) (*Tickets, error) {
	t := &Tickets{key: bytes.Clone(key)}
	if opts != nil {
		t.opts = *opts
	}
	setDefault(&t.opts.Exchange, 30*time.Second)
	setDefault(&t.opts.Lifetime, time.Hour)
	switch {
	case len(key) < 32:
		return nil, errors.New("sse: the key of the tickets is shorter than 32 bytes: make one with crypto/rand and keep it")
	case t.opts.Exchange < 0 || t.opts.Lifetime < 0:
		return nil, errors.New("sse: TicketOptions has a negative duration")
	}
	return t, nil
}

// ticket is what is signed.
type ticket struct {
	Scope    Scope  `json:"s"`
	Meta     bool   `json:"m,omitempty"`
	User     string `json:"u,omitempty"`
	Exchange int64  `json:"x"` // Unix time in ms until which it opens a stream
	Expires  int64  `json:"e"` // the same, until which it reconnects one
}

// Issue returns a ticket for what the grant allows, text that fits a URL.
func (t *Tickets) Issue(g Grant) (string, error) {
	now := time.Now()
	expires := now.Add(t.opts.Lifetime)
	if !g.Expires.IsZero() && g.Expires.Before(expires) {
		expires = g.Expires
	}
	text, err := json.Marshal(ticket{
		Scope: g.Scope, Meta: g.Meta, User: g.User,
		Exchange: now.Add(t.opts.Exchange).UnixMilli(), Expires: expires.UnixMilli(),
	})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(text) + "." + base64.RawURLEncoding.EncodeToString(t.sign(text)), nil
}

func (t *Tickets) sign(text []byte) []byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write(text)
	return mac.Sum(nil)
}

// Authorize is for [Options.Authorize]: it reads the ticket in the query. Without
// one that is valid now it is an [*AccessError] with status 401.
func (t *Tickets) Authorize(r *http.Request) (Grant, error) {
	refused := &AccessError{Status: http.StatusUnauthorized, Detail: "get a new ticket"}
	query := r.URL.Query()
	first, second, _ := strings.Cut(query.Get("ticket"), ".")
	text, err1 := base64.RawURLEncoding.DecodeString(first)
	mac, err2 := base64.RawURLEncoding.DecodeString(second)
	if err1 != nil || err2 != nil || !hmac.Equal(mac, t.sign(text)) {
		return Grant{}, refused
	}
	var k ticket
	if err := json.Unmarshal(text, &k); err != nil {
		return Grant{}, refused
	}
	now := time.Now().UnixMilli()
	if now >= k.Expires || now >= k.Exchange && lastEventID(r, query) == "" {
		return Grant{}, refused
	}
	return Grant{Scope: k.Scope, Meta: k.Meta, User: k.User, Expires: time.UnixMilli(k.Expires)}, nil
}
