package sse

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
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
// also after a restart. It appears in logs of URLs: keep Lifetime short.
type Tickets struct {
	// Key signs tickets: at least 32 secret random bytes.
	Key []byte

	// Exchange is how long a ticket can open a stream. 0 means 30 s.
	Exchange time.Duration

	// Lifetime is how long streams opened with it last and can be reconnected;
	// a Grant that expires before has the last word. 0 means 1 h.
	Lifetime time.Duration
}

// ticket is what is signed.
type ticket struct {
	Filter   cdc.Filter `json:"f"`
	Exchange int64      `json:"x"` // Unix time in ms until which it opens a stream
	Expires  int64      `json:"e"` // the same, until which it reconnects one
}

// Issue returns a ticket for what the grant allows.
func (t *Tickets) Issue(g Grant) (string, error) {
	if len(t.Key) < 32 {
		return "", errors.New("sse: Tickets.Key is shorter than 32 bytes: make one with crypto/rand and keep it")
	}
	exchange, lifetime := t.Exchange, t.Lifetime
	if exchange <= 0 {
		exchange = 30 * time.Second
	}
	if lifetime <= 0 {
		lifetime = time.Hour
	}
	now := time.Now()
	expires := now.Add(lifetime)
	if !g.Expires.IsZero() && g.Expires.Before(expires) {
		expires = g.Expires
	}
	text, err := json.Marshal(ticket{Filter: g.Filter, Exchange: now.Add(exchange).UnixMilli(), Expires: expires.UnixMilli()})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(text) + "." + base64.RawURLEncoding.EncodeToString(t.sign(text)), nil
}

func (t *Tickets) sign(text []byte) []byte {
	mac := hmac.New(sha256.New, t.Key)
	mac.Write(text)
	return mac.Sum(nil)
}

// Authorize is for [Options.Authorize]: it reads the ticket in the query.
func (t *Tickets) Authorize(r *http.Request) (Grant, error) {
	refused := &AccessError{Status: http.StatusUnauthorized, Detail: "get a new ticket"}
	if len(t.Key) < 32 {
		return Grant{}, refused
	}
	first, second, _ := strings.Cut(r.URL.Query().Get("ticket"), ".")
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
	if now >= k.Expires || now >= k.Exchange && r.Header.Get("Last-Event-ID") == "" {
		return Grant{}, refused
	}
	return Grant{Filter: k.Filter, Expires: time.UnixMilli(k.Expires)}, nil
}
