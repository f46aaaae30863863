package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// Access is what a command does with a log.
type Access int

// The kinds of access.
const (
	Read   Access = iota // the log must exist, and nothing is written
	Write                // the log must exist
	Create               // a log that is missing is made
)

// Options of [Open].
type Options struct {
	Access  Access
	Mode    string      // of a SQL log; empty: the dialect's default
	Columns []string    // of a SQL table that exists, "seq=id"; none: the table is ours
	Foreign bool        // the stream of Redis or NATS is written by others: it is read only
	Token   string      // of an HTTP endpoint
	Filter  cdc.Filter  // an HTTP endpoint sends no other events
	OnError func(error) // is told what the log goes on without
}

// Source is an open log with the client that it is opened by.
type Source struct {
	Log     cdc.Log
	Address Address

	DB    *sql.DB               // of a SQL log
	Redis redis.UniversalClient // of one in Redis
	NATS  jetstream.JetStream   // of one in NATS
	HTTP  *http.Client          // of an endpoint: it sends the token

	closers []func() error
}

// Missing says that there is no log of that name, perhaps not even its file.
type Missing struct {
	Address Address
	Mapped  bool // the table is there, and what a log needs beside it is not
}

// Error says what makes one.
func (e *Missing) Error() string {
	if e.Mapped {
		return fmt.Sprintf("the table %s of %s is no log yet: run what gapless schema %s prints with these --columns, or let gapless serve do it", e.Address.Name, e.Address, e.Address.Kind)
	}
	return fmt.Sprintf("%s has no log %q: check the name (--log), or make it by gapless append, serve or capture add", e.Address, e.Address.Name)
}

// Open opens the log of the address.
func Open(ctx context.Context, a Address, opts *Options) (*Source, error) {
	s := &Source{Address: a}
	if err := Check(a, opts); err != nil {
		return nil, err
	}
	if err := s.open(ctx, opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Check refuses what the kind of store does not have, as Open does.
func Check(a Address, opts *Options) error {
	k := a.Kind
	switch {
	case opts.Mode != "" && !k.IsSQL():
		return fmt.Errorf("--mode is for SQL databases, and the source is %s", k)
	case len(opts.Columns) > 0 && !k.IsSQL():
		return fmt.Errorf("--columns is for SQL databases, and the source is %s", k)
	case opts.Foreign && k != Redis && k != NATS:
		return fmt.Errorf("--foreign is for streams of Redis and NATS, and the source is %s", k)
	case opts.Foreign && opts.Access != Read:
		return errors.New("a stream of --foreign is written by others: Gapless only reads it")
	}
	_, err := parseColumns(opts.Columns)
	return err
}

func (s *Source) open(ctx context.Context, opts *Options) error {
	switch s.Address.Kind {
	case Bolt:
		return s.openBolt(ctx, opts)
	case Redis:
		return s.openRedis(ctx, opts)
	case NATS:
		return s.openNATS(ctx, opts)
	case HTTP:
		return s.openHTTP(opts)
	}
	return s.openSQL(ctx, opts)
}

// onClose adds what Close does, before what was added earlier.
func (s *Source) onClose(f func() error) { s.closers = append(s.closers, f) }

// Close closes the log and its client.
func (s *Source) Close() error {
	var err error
	for _, f := range slices.Backward(s.closers) {
		err = errors.Join(err, f())
	}
	s.closers = nil
	return err
}
