package source

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	redislog "github.com/gapless-go/gapless/source/redis"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// Workers are those of a place, whatever its transactions are.
type Workers struct {
	cdc.WorkerLister
	Load      func(ctx context.Context, worker string) (cdc.WorkerState, error)
	SetPaused func(ctx context.Context, worker string, paused bool) error
	Retry     func(ctx context.Context, worker string, seq uint64) error
	Drop      func(ctx context.Context, worker string, seq uint64) error
	Seek      func(ctx context.Context, worker string, to cdc.Cursor) error
}

func workersOf[T any](p cdc.Place[T]) *Workers {
	return &Workers{
		WorkerLister: p,
		Load:         p.Load,
		SetPaused: func(ctx context.Context, worker string, paused bool) error {
			return cdc.SetPaused(ctx, p, worker, paused)
		},
		Retry: func(ctx context.Context, worker string, seq uint64) error {
			return cdc.RetryParked(ctx, p, worker, seq)
		},
		Drop: func(ctx context.Context, worker string, seq uint64) error { return cdc.DropParked(ctx, p, worker, seq) },
		Seek: func(ctx context.Context, worker string, to cdc.Cursor) error { return cdc.Seek(ctx, p, worker, to) },
	}
}

// Workers returns those of the place with that name in the store of the log. Its
// tables are not made.
func (s *Source) Workers(ctx context.Context, place string) (*Workers, error) {
	switch log := s.Log.(type) {
	case *boltlog.Log:
		p, err := log.Store().Place(place)
		if err != nil {
			return nil, err
		}
		return workersOf(p), nil
	case *redislog.Log:
		p, err := log.Store().Place(place)
		if err != nil {
			return nil, err
		}
		return workersOf(p), nil
	case *sqllog.Log:
		return s.sqlWorkers(ctx, place)
	}
	return nil, fmt.Errorf("a place of workers is in bbolt, SQL or Redis, and the source is %s", s.Address.Kind)
}

func (s *Source) sqlWorkers(ctx context.Context, place string) (*Workers, error) {
	store, err := sqllog.NewStore(ctx, s.DB, &sqllog.StoreOptions{Dialect: s.Address.Kind.Dialect()})
	if err != nil {
		return nil, err
	}
	s.onClose(store.Close)
	p, err := store.Place(ctx, place, &sqllog.PlaceOptions{NoSchema: true})
	if e, ok := errors.AsType[*sqllog.PlaceSchemaError](err); ok {
		if len(e.Problems) > 0 && strings.Contains(e.Problems[0], "does not exist") {
			return nil, fmt.Errorf("%s has no place %q for workers: check the name (--place), or make it with what gapless schema %s --place %s prints", s.Address, place, s.Address.Kind, place)
		}
		return nil, fmt.Errorf("%s: %w", s.Address, e)
	}
	if err != nil {
		return nil, err
	}
	return workersOf(p), nil
}
