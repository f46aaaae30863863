package source

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// Scratch is room for logs beside the one of an address, under names that nothing
// else has. Close removes all of it.
type Scratch struct {
	Dir string // on the disk of the store, if that is a file

	address Address
	mode    string
	name    string

	mu      sync.Mutex
	made    []string // names of logs in Redis and NATS
	closers []func() error
}

// NewScratch makes the room. The log of the address itself is not opened.
func NewScratch(ctx context.Context, a Address, mode string) (*Scratch, error) {
	s := &Scratch{address: a, mode: mode, name: "gapless_scratch_" + strings.ToLower(rand.Text()[:10])}
	switch a.Kind {
	case Bolt, SQLite:
		path, _, _ := strings.Cut(a.Target, "?")
		dir, err := os.MkdirTemp(filepath.Dir(path), s.name)
		if err != nil {
			return nil, fmt.Errorf("no folder can be made beside %s: %w", path, err)
		}
		s.Dir = dir
		s.closers = append(s.closers, func() error { return os.RemoveAll(dir) })
	case Postgres:
		return s, s.makeIn(ctx, "CREATE SCHEMA "+s.name, "DROP SCHEMA "+s.name+" CASCADE")
	case MySQL:
		return s, s.makeIn(ctx, "CREATE DATABASE "+s.name, "DROP DATABASE "+s.name)
	case Redis, NATS:
	default:
		return nil, fmt.Errorf("a log of its own cannot be made at %s: name the store behind it", a.Kind)
	}
	return s, nil
}

// makeIn runs create, which fails if the name is taken, and later drop.
func (s *Scratch) makeIn(ctx context.Context, create, drop string) error {
	db, err := OpenDB(s.address, false)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db.Close)
	if _, err := db.ExecContext(ctx, create); err != nil {
		return errors.Join(fmt.Errorf("%s: this user needs the right to: %s: %w", s.address, create, err), s.Close(ctx))
	}
	s.closers = append(s.closers, func() error {
		_, err := db.ExecContext(context.WithoutCancel(ctx), drop)
		return err
	})
	return nil
}

// Open opens a log, and makes it if it is missing. Those in files are in dir.
func (s *Scratch) Open(ctx context.Context, dir, name string) (*Source, error) {
	a := s.address
	switch a.Kind {
	case Bolt:
		a.Target = filepath.Join(dir, name+".db")
	case SQLite:
		a.Target, a.Name = filepath.Join(dir, name+".db"), "change_log"
	case Postgres, MySQL:
		a.Name = s.name + "." + name
	case Redis, NATS:
		a.Name = s.name + "_" + name
		s.mu.Lock()
		if !slices.Contains(s.made, a.Name) {
			s.made = append(s.made, a.Name)
		}
		s.mu.Unlock()
	}
	return Open(ctx, a, &Options{Access: Create, Mode: s.mode})
}

// Close removes everything that was made.
func (s *Scratch) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var err error
	for _, name := range s.made {
		err = errors.Join(err, s.remove(ctx, name))
	}
	s.made = nil
	for _, f := range slices.Backward(s.closers) {
		err = errors.Join(err, f())
	}
	s.closers = nil
	if err != nil {
		return fmt.Errorf("remove what is called %s by hand: %w", s.name, err)
	}
	return nil
}

// remove deletes a log in Redis or NATS.
func (s *Scratch) remove(ctx context.Context, name string) error {
	a := s.address
	a.Name = name
	log, err := Open(ctx, a, &Options{Access: Create})
	if err != nil {
		return err
	}
	if log.Redis != nil {
		err = log.Redis.Del(ctx, "gapless:{"+name+"}", "gapless:{"+name+"}:log").Err()
	} else {
		err = log.NATS.DeleteStream(ctx, name)
	}
	_ = log.Close() // it is gone
	return err
}

// Tx is an open transaction of a store.
type Tx interface {
	Append(ctx context.Context, events ...cdc.Event) error
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

// Begin opens a transaction of the store that the log is in; nil: it has none.
func (s *Source) Begin() (Tx, error) {
	switch log := s.Log.(type) {
	case *boltlog.Log:
		tx, err := log.DB().Begin(true)
		return &transaction{
			add: func(_ context.Context, events []cdc.Event) error {
				_, err := log.AppendTx(tx, events...)
				return err
			},
			commit: tx.Commit, rollback: tx.Rollback,
		}, err
	case *sqllog.Log:
		tx, err := s.DB.BeginTx(context.Background(), &sql.TxOptions{}) // not bound to the call's context
		return &transaction{
			add:    func(ctx context.Context, events []cdc.Event) error { return log.AppendTx(ctx, tx, events...) },
			commit: tx.Commit, rollback: tx.Rollback,
		}, err
	}
	return nil, errors.ErrUnsupported
}

type transaction struct {
	add              func(ctx context.Context, events []cdc.Event) error
	commit, rollback func() error
}

// Append implements Tx.
func (t *transaction) Append(ctx context.Context, events ...cdc.Event) error {
	return t.add(ctx, events)
}

// Commit implements Tx.
func (t *transaction) Commit(context.Context) error { return t.commit() }

// Rollback implements Tx.
func (t *transaction) Rollback(context.Context) error { return t.rollback() }
