package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
	redislog "github.com/gapless-go/gapless/source/redis"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// lockPatience is too short for bbolt to try twice: a file that another program
// holds is refused at once.
const lockPatience = time.Millisecond

func (s *Source) openBolt(ctx context.Context, opts *Options) error {
	path := s.Address.Target
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && opts.Access != Create {
		return &Missing{Address: s.Address}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockPatience, FreelistType: bbolt.FreelistMapType, ReadOnly: opts.Access == Read})
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("%s is open in another program, and bbolt allows one: end that program, or use the endpoint that it serves (--source http://…): %w", path, err)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be opened as a file of bbolt: %w", path, err)
	}
	s.onClose(db.Close)
	if opts.Access != Create {
		err := db.View(func(tx *bbolt.Tx) error {
			if tx.Bucket([]byte(s.Address.Name)) == nil {
				return &Missing{Address: s.Address}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	log, err := boltlog.Open(ctx, db, s.Address.Name, nil)
	if err != nil {
		return err
	}
	s.Log = log
	s.onClose(log.Close)
	return nil
}

func (s *Source) openRedis(ctx context.Context, opts *Options) error {
	options, err := redis.ParseURL(s.Address.Target)
	if err != nil {
		return fmt.Errorf("the source is no redis://HOST/DATABASE/LOG: %w", err)
	}
	redis.SetLogger(quiet{})
	s.Redis = redis.NewClient(options)
	s.onClose(s.Redis.Close)
	key := "gapless:{" + s.Address.Name + "}"
	if opts.Foreign {
		key = s.Address.Name
	}
	n, err := s.Redis.Exists(ctx, key).Result()
	switch {
	case err != nil:
		return fmt.Errorf("%s does not answer as Redis does: check address, user and password: %w", s.Address, err)
	case n == 0 && opts.Access != Create:
		return &Missing{Address: s.Address}
	case opts.Foreign:
		log, err := redislog.OpenStream(ctx, s.Redis, key, nil)
		return s.opened(log, err)
	}
	log, err := redislog.Open(ctx, s.Redis, s.Address.Name, nil)
	return s.opened(log, err)
}

// closable is a log that has a Close.
type closable interface {
	cdc.Log
	Close() error
}

func (s *Source) opened(log closable, err error) error {
	if err != nil {
		return err
	}
	s.Log = log
	s.onClose(log.Close)
	return nil
}

func (s *Source) openNATS(ctx context.Context, opts *Options) error {
	conn, err := nats.Connect(s.Address.Target, nats.MaxReconnects(-1), nats.Name("gapless"))
	if err != nil {
		return fmt.Errorf("%s does not answer as NATS does: check address, user and password: %w", s.Address, err)
	}
	s.onClose(func() error { conn.Close(); return nil })
	if s.NATS, err = jetstream.New(conn); err != nil {
		return err
	}
	if opts.Access != Create {
		_, err := s.NATS.Stream(ctx, s.Address.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return &Missing{Address: s.Address}
		}
		if err != nil {
			return fmt.Errorf("%s: JetStream does not answer: %w", s.Address, err)
		}
	}
	if opts.Foreign {
		log, err := jetstreamlog.OpenStream(ctx, s.NATS, s.Address.Name, nil)
		return s.opened(log, err)
	}
	log, err := jetstreamlog.Open(ctx, s.NATS, s.Address.Name, nil)
	return s.opened(log, err)
}

func (s *Source) openHTTP(opts *Options) error {
	s.HTTP = &http.Client{Transport: withToken{opts.Token}}
	query := url.Values{"topic": opts.Filter.Topics, "type": opts.Filter.Types, "key": opts.Filter.Keys}
	for _, prefix := range opts.Filter.TopicPrefixes {
		query.Add("topic", prefix+"*")
	}
	log, err := remote.Open(s.Address.Target, &remote.Options{Client: s.HTTP, OnError: opts.OnError, Prepare: func(r *http.Request) error {
		if filter := query.Encode(); filter != "" {
			r.URL.RawQuery += "&" + filter
		}
		return nil
	}})
	return s.opened(log, err)
}

// withToken sends a bearer token with each request; empty: none.
type withToken struct{ token string }

// RoundTrip implements [http.RoundTripper].
func (t withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// quiet keeps the client of Redis from writing on the standard error: what fails
// is returned.
type quiet struct{}

// Printf implements the client's interface.
func (quiet) Printf(context.Context, string, ...any) {}
