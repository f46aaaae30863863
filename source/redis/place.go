package redislog

import (
	"cmp"
	"context"
	_ "embed" // the script
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// Place keeps workers in Redis; the commands of their handlers are executed in
// the MULTI that moves the position. All methods may be called concurrently, by
// any number of processes. Use [Store.Place].
//
// Its keys are, with the hash tag {name}, so that they are in one slot of a
// cluster; there the keys that handlers write to must have it, too:
//
//	gapless:{name}:workers          set of the workers
//	gapless:{name}:state:<worker>   hash: revision, generation, cursor, paused
//	gapless:{name}:lease:<worker>   hash: holder, generation, expires
//	gapless:{name}:parked:<worker>  hash: seq → JSON of a cdc.Parked
//
// Redis does not undo: if a command fails when it is executed, the others of its
// MULTI, and the move of the position, have taken effect. That ends the worker
// with a [*PartlyAppliedError]. A command that the server refuses to queue undoes
// all: without memory the batch is tried again, and one that is unknown, wrong or
// not permitted is a [*RefusedError], a failure of the handler.
type Place struct {
	store *Store
	key   string
	lease *redis.Script
}

var _ cdc.Place[redis.Pipeliner] = (*Place)(nil)

//go:embed scripts/lease.lua
var leaseSource string

// Place returns the place of that name, which must not be empty or contain
// braces. It may be the name of a log. Nothing is sent to the server.
func (s *Store) Place(name string) (*Place, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("redis: place: %w", err)
	}
	return &Place{store: s, key: "gapless:{" + name + "}:", lease: redis.NewScript(leaseSource)}, nil
}

func (p *Place) stateKey(worker string) string  { return p.key + "state:" + worker }
func (p *Place) leaseKey(worker string) string  { return p.key + "lease:" + worker }
func (p *Place) parkedKey(worker string) string { return p.key + "parked:" + worker }
func (p *Place) workersKey() string             { return p.key + "workers" }

// Lease implements [cdc.Place].
func (p *Place) Lease(ctx context.Context, worker, holder string, term time.Duration) (cdc.Lease, error) {
	return call(ctx, p.store, "lease", func(ctx context.Context) (cdc.Lease, error) {
		keys := []string{p.leaseKey(worker), p.stateKey(worker), p.workersKey()}
		reply, err := p.lease.Run(ctx, p.store.client, keys, holder, max(0, term.Microseconds()), worker).StringSlice()
		if err != nil {
			return cdc.Lease{}, err
		}
		if len(reply) != 4 {
			return cdc.Lease{}, fmt.Errorf("the server answered %q to the lease script", reply)
		}
		return readLease(reply[0], reply[1], reply[2], reply[3])
	})
}

func readLease(holder, generation, revision, remaining string) (cdc.Lease, error) {
	g, err1 := strconv.ParseUint(generation, 10, 64)
	r, err2 := strconv.ParseUint(revision, 10, 64)
	us, err3 := strconv.ParseInt(remaining, 10, 64)
	return cdc.Lease{Holder: holder, Generation: g, Revision: r, Remaining: time.Duration(us) * time.Microsecond}, errors.Join(err1, err2, err3)
}

// Load implements [cdc.Place].
func (p *Place) Load(ctx context.Context, worker string) (cdc.WorkerState, error) {
	return call(ctx, p.store, fmt.Sprintf("load worker %q", worker), func(ctx context.Context) (cdc.WorkerState, error) {
		var fields, parked *redis.MapStringStringCmd
		_, err := p.store.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			fields, parked = pipe.HGetAll(ctx, p.stateKey(worker)), pipe.HGetAll(ctx, p.parkedKey(worker))
			return nil
		})
		if err != nil {
			return cdc.WorkerState{}, err
		}
		state, err := readPlaceState(fields.Val())
		if err != nil {
			return state, err
		}
		for _, text := range parked.Val() {
			var entry cdc.Parked
			if err := json.Unmarshal([]byte(text), &entry); err != nil {
				return state, fmt.Errorf("a parked event: %w", err)
			}
			state.Parked = append(state.Parked, entry)
		}
		slices.SortFunc(state.Parked, func(a, b cdc.Parked) int { return cmp.Compare(a.Event.Seq, b.Event.Seq) })
		return state, nil
	})
}

func readPlaceState(fields map[string]string) (state cdc.WorkerState, err error) {
	if len(fields) == 0 {
		return state, nil
	}
	state.Paused = fields["paused"] == "1"
	var errs [3]error
	state.Revision, errs[0] = strconv.ParseUint(fields["revision"], 10, 64)
	if text := fields["generation"]; text != "" { // there was no lease yet
		state.Generation, errs[1] = strconv.ParseUint(text, 10, 64)
	}
	if text := fields["cursor"]; text != "" { // it never began
		state.Cursor, errs[2] = cdc.ParseCursor(text)
	}
	return state, errors.Join(errs[:]...)
}

// Workers implements [cdc.Place].
func (p *Place) Workers(ctx context.Context) ([]cdc.Worker, error) {
	return call(ctx, p.store, "list workers", func(ctx context.Context) ([]cdc.Worker, error) {
		names, err := p.store.client.SMembers(ctx, p.workersKey()).Result()
		if err != nil {
			return nil, err
		}
		slices.Sort(names)
		var list []cdc.Worker
		for _, name := range names {
			w, err := p.worker(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("worker %q: %w", name, err)
			}
			list = append(list, w)
		}
		return list, nil
	})
}

func (p *Place) worker(ctx context.Context, name string) (cdc.Worker, error) {
	var fields, lease *redis.MapStringStringCmd
	var parked *redis.IntCmd
	var now *redis.TimeCmd
	_, err := p.store.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		fields, lease = pipe.HGetAll(ctx, p.stateKey(name)), pipe.HGetAll(ctx, p.leaseKey(name))
		parked, now = pipe.HLen(ctx, p.parkedKey(name)), pipe.Time(ctx)
		return nil
	})
	if err != nil {
		return cdc.Worker{}, err
	}
	state, err := readPlaceState(fields.Val())
	w := cdc.Worker{Name: name, Cursor: state.Cursor, Paused: state.Paused, Parked: int(parked.Val())}
	if l := lease.Val(); err == nil && len(l) > 0 {
		expires, _ := strconv.ParseInt(l["expires"], 10, 64) // 0 is given up
		remaining := max(0, expires-now.Val().UnixMicro())
		w.Lease, err = readLease(l["holder"], l["generation"], strconv.FormatUint(state.Revision, 10), strconv.FormatInt(remaining, 10))
	}
	w.Lease.Revision = state.Revision
	return w, err
}
