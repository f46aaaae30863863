package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/gapless-go/gapless/transport/sse"
)

// AuthOptions say who may do what. Files hold the keys, because arguments can be
// read by other users.
type AuthOptions struct {
	SecretFile string // of HS256 tokens, 32 bytes or more
	JWKSFile   string // public keys of RS256, PS256, ES256 and EdDSA tokens
	Issuer     string // the only one; empty: any
	Audience   string // that a token must name; empty: none
	TicketFile string // key of tickets, 32 bytes or more
}

// Auth decides by tokens and tickets. The zero value, and nil, lets everybody do
// everything.
type Auth struct {
	parser  *jwt.Parser
	key     jwt.Keyfunc
	tickets *sse.Tickets
}

// minSecret is how long a secret must be: that of the hash.
const minSecret = 32

// NewAuth returns nil if no file is given: there is no authorization then.
func NewAuth(opts *AuthOptions) (*Auth, error) {
	a := &Auth{}
	methods, err := a.readKeys(opts)
	if err != nil {
		return nil, err
	}
	if a.key != nil {
		checks := []jwt.ParserOption{jwt.WithValidMethods(methods), jwt.WithExpirationRequired()}
		if opts.Issuer != "" {
			checks = append(checks, jwt.WithIssuer(opts.Issuer))
		}
		if opts.Audience != "" {
			checks = append(checks, jwt.WithAudience(opts.Audience))
		}
		a.parser = jwt.NewParser(checks...)
	}
	if opts.TicketFile != "" {
		key, err := readSecret("--ticket-key-file", opts.TicketFile)
		if err != nil {
			return nil, err
		}
		if a.tickets, err = sse.NewTickets(key, nil); err != nil {
			return nil, err
		}
	}
	if a.key == nil && a.tickets == nil {
		return nil, nil //nolint:nilnil // nobody is asked
	}
	return a, nil
}

// readKeys returns the algorithms that the keys are for: with any other a public
// key could be taken for a secret.
func (a *Auth) readKeys(opts *AuthOptions) (methods []string, err error) {
	switch {
	case opts.SecretFile != "" && opts.JWKSFile != "":
		return nil, errors.New("give --jwt-secret-file or --jwks-file, not both")
	case opts.SecretFile != "":
		secret, err := readSecret("--jwt-secret-file", opts.SecretFile)
		if err != nil {
			return nil, err
		}
		a.key = func(*jwt.Token) (any, error) { return secret, nil }
		return []string{"HS256"}, nil
	case opts.JWKSFile != "":
		text, err := os.ReadFile(opts.JWKSFile)
		if err != nil {
			return nil, fmt.Errorf("the file of --jwks-file cannot be read: %w", err)
		}
		keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(text))
		if err != nil {
			return nil, fmt.Errorf("%s is no set of JSON Web Keys: %w", opts.JWKSFile, err)
		}
		a.key = keys.Keyfunc
		return []string{"RS256", "PS256", "ES256", "EdDSA"}, nil
	}
	return nil, nil
}

// readSecret leaves out the end of the line that editors add.
func readSecret(flag, name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the file of %s cannot be read: %w", flag, err)
	}
	secret := []byte(strings.TrimRight(string(text), "\r\n"))
	if len(secret) < minSecret {
		return nil, fmt.Errorf("%s has %d bytes and could be guessed: make one of at least %d with: openssl rand -hex 32", name, len(secret), minSecret)
	}
	return secret, nil
}

// claims are those of a token.
type claims struct {
	jwt.RegisteredClaims
	Gapless *allowed `json:"gapless"`
}

// allowed is what the claim "gapless" says. What is not said is not allowed.
type allowed struct {
	Everything    bool     `json:"everything"`
	Topics        []string `json:"topics"`
	TopicPrefixes []string `json:"topicPrefixes"`
	Types         []string `json:"types"`
	Keys          []string `json:"keys"`
	Meta          bool     `json:"meta"`
	Append        bool     `json:"append"`
}

func (a *allowed) scope() sse.Scope {
	scope := sse.Topics(a.Topics...).OrTopicPrefixes(a.TopicPrefixes...)
	if a.Everything {
		scope = sse.Everything()
	}
	if a.Types != nil {
		scope = scope.OnlyTypes(a.Types...)
	}
	if a.Keys != nil {
		scope = scope.OnlyKeys(a.Keys...)
	}
	return scope
}

// Authorize is for the options of the handler.
func (a *Auth) Authorize(r *http.Request) (sse.Grant, error) {
	if a.tickets != nil && (a.key == nil || r.URL.Query().Has("ticket")) {
		return a.tickets.Authorize(r)
	}
	c, err := a.token(r)
	if err != nil {
		return sse.Grant{}, err
	}
	return c.grant(), nil
}

// grant is what the token allows. The parser has refused one without an end.
func (c *claims) grant() sse.Grant {
	return sse.Grant{Scope: c.Gapless.scope(), Meta: c.Gapless.Meta, User: c.Subject, Expires: c.ExpiresAt.Time}
}

// token reads the bearer token of a request.
func (a *Auth) token(r *http.Request) (*claims, error) {
	if a.key == nil {
		return nil, &sse.AccessError{Status: http.StatusForbidden, Detail: "no tokens are accepted here"}
	}
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, &sse.AccessError{Status: http.StatusUnauthorized, Detail: "send Authorization: Bearer and a token"}
	}
	c := &claims{}
	if _, err := a.parser.ParseWithClaims(text, c, a.key); err != nil {
		return nil, &sse.AccessError{Status: http.StatusUnauthorized, Detail: "the token is not accepted: " + err.Error()}
	}
	if c.Gapless == nil {
		return nil, &sse.AccessError{Status: http.StatusForbidden, Detail: `the token has no claim "gapless", such as {"topics":["orders"]} or {"everything":true}`}
	}
	return c, nil
}

// mayAppend refuses who may not; without authorization everybody may.
func (a *Auth) mayAppend(r *http.Request) error {
	if a == nil {
		return nil
	}
	c, err := a.token(r)
	if err != nil {
		return err
	}
	if !c.Gapless.Append {
		return &sse.AccessError{Status: http.StatusForbidden, Detail: `the token's claim "gapless" has no "append": true`}
	}
	return nil
}
