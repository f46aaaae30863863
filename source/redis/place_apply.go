package redislog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// PartlyAppliedError ends a worker: a command of its handler failed when it was
// executed, and Redis has executed the others of the same transaction and moved
// the position past their events.
type PartlyAppliedError struct {
	Worker  string
	Command string // that failed, without its arguments
	Key     string // its first argument
	Err     error  // of the server
}

// Error says what to do.
func (e *PartlyAppliedError) Error() string {
	return fmt.Sprintf("the command %s on %q of worker %q failed when it was executed, and Redis does not undo the others of its transaction, nor the position: mend what it left, and the handler, then start the worker again: %v", e.Command, e.Key, e.Worker, e.Err)
}

// Unwrap returns Err.
func (e *PartlyAppliedError) Unwrap() error { return e.Err }

// RefusedError says that the server has refused to queue a command, so that
// nothing of its transaction took effect. One of a handler counts as a failure on
// its event; one of the place itself ends the worker.
type RefusedError struct {
	Worker  string
	Command string // without its arguments
	Key     string // its first argument
	Err     error  // of the server
}

// Error says what to do.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the server refused to queue the command %s on %q of worker %q, and nothing of its transaction took effect: mend the handler, or the rights of the user: %v", e.Command, e.Key, e.Worker, e.Err)
}

// Unwrap returns Err.
func (e *RefusedError) Unwrap() error { return e.Err }

// handlerKey marks the context of a handler.
type handlerKey struct{}

var (
	errInHandler = errors.New("this is called by a handler, and is no part of its transaction, so it would come again with the event: append in Prepare, with the ID of the event")
	errNotYours  = errors.New("a handler only queues commands: when to execute or discard them is the place's decision")
)

// insideHandler reports whether ctx is that of a handler.
func insideHandler(ctx context.Context) bool { return ctx.Value(handlerKey{}) != nil }

// queue is what a handler is given: commands can be added to it and nothing else.
type queue struct {
	redis.Pipeliner
	misused bool
}

// Exec implements [redis.Pipeliner].
func (q *queue) Exec(context.Context) ([]redis.Cmder, error) {
	q.misused = true
	return nil, errNotYours
}

// Discard implements [redis.Pipeliner].
func (q *queue) Discard() { q.misused = true }

// Pipeline implements [redis.Pipeliner].
func (q *queue) Pipeline() redis.Pipeliner { return q }

// TxPipeline implements [redis.Pipeliner].
func (q *queue) TxPipeline() redis.Pipeliner { return q }

// Pipelined implements [redis.Pipeliner].
func (q *queue) Pipelined(_ context.Context, fn func(redis.Pipeliner) error) ([]redis.Cmder, error) {
	return nil, fn(q)
}

// TxPipelined implements [redis.Pipeliner].
func (q *queue) TxPipelined(ctx context.Context, fn func(redis.Pipeliner) error) ([]redis.Cmder, error) {
	return q.Pipelined(ctx, fn)
}

// Apply implements [cdc.Place]. What the commands of fn return is not known
// before they are executed. If the answer to EXEC is lost, the error is
// [cdc.ErrUnknownOutcome].
func (p *Place) Apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx redis.Pipeliner) (cdc.Change, error)) error {
	if err := p.apply(ctx, worker, revision, fn); err != nil {
		return fmt.Errorf("redis: apply for worker %q: %w", worker, explain(err))
	}
	return nil
}

func (p *Place) apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx redis.Pipeliner) (cdc.Change, error)) error {
	switch {
	case insideHandler(ctx):
		return errInHandler
	case p.store.isClosed():
		return cdc.ErrClosed
	}
	w, err := p.watch(ctx, worker, revision)
	if err != nil {
		return err
	}
	defer close(w.queued)
	q := &queue{Pipeliner: w.tx.TxPipeline()}
	change, err := fn(context.WithValue(ctx, handlerKey{}, true), q)
	switch {
	case err != nil:
		return err
	case q.misused:
		return &cdc.Failure{Class: cdc.Stop, Err: errNotYours}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	ours := q.Len()
	own, err := p.queueChange(ctx, q.Pipeliner, worker, revision, change)
	if err != nil {
		return err
	}
	w.queued <- q.Pipeliner
	select {
	case r := <-w.done:
		return outcome(worker, own, ours, r)
	case <-ctx.Done():
	}
	timer := time.NewTimer(execGrace)
	defer timer.Stop()
	select {
	case r := <-w.done:
		return outcome(worker, own, ours, r)
	case <-timer.C:
		return fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, context.Cause(ctx))
	}
}

// execGrace is how long an EXEC that is under way may take when ctx has ended.
const execGrace = time.Second

// queueChange adds the commands that write the change, and returns the last.
func (p *Place) queueChange(ctx context.Context, pipe redis.Pipeliner, worker string, revision uint64, change cdc.Change) (redis.Cmder, error) {
	seqs := make([]string, len(change.Unpark))
	for i, seq := range change.Unpark {
		seqs[i] = strconv.FormatUint(seq, 10)
	}
	if len(seqs) > 0 {
		pipe.HDel(ctx, p.parkedKey(worker), seqs...)
	}
	for _, entry := range change.Park {
		text, err := json.Marshal(entry)
		if err != nil {
			return nil, err
		}
		pipe.HSet(ctx, p.parkedKey(worker), strconv.FormatUint(entry.Event.Seq, 10), text)
	}
	if revision == 0 {
		pipe.SAdd(ctx, p.workersKey(), worker)
	}
	cursor := ""
	if change.Cursor != (cdc.Cursor{}) {
		cursor = change.Cursor.String()
	}
	return pipe.HSet(ctx, p.stateKey(worker), "revision", revision+1, "cursor", cursor, "paused", change.Paused), nil
}

// watched is a connection that watches the state of a worker, for one EXEC.
type watched struct {
	tx     *redis.Tx
	queued chan redis.Pipeliner // what to execute; closed when there is nothing more
	done   chan executed        // gets one; has room for it
}

// executed is what came of an EXEC.
type executed struct {
	commands []redis.Cmder
	err      error
}

// watch begins a transaction at the revision. The client does not interrupt a
// command, so a goroutine has the connection; it ends soon after queued was
// closed.
func (p *Place) watch(ctx context.Context, worker string, revision uint64) (*watched, error) {
	w := &watched{queued: make(chan redis.Pipeliner, 1), done: make(chan executed, 1)}
	ready := make(chan *redis.Tx, 1)
	go func() {
		var r executed
		err := p.store.client.Watch(ctx, func(tx *redis.Tx) error {
			now, err := tx.HGet(ctx, p.stateKey(worker), "revision").Uint64()
			if err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
			if now != revision {
				return cdc.ErrFenced
			}
			ready <- tx
			if pipe, ok := <-w.queued; ok {
				// An EXEC that has begun is seen through, so that its outcome is known.
				r.commands, err = pipe.Exec(context.WithoutCancel(ctx))
			}
			return err
		}, p.stateKey(worker))
		r.err = err
		w.done <- r
	}()
	select {
	case w.tx = <-ready:
		return w, nil
	case r := <-w.done:
		close(w.queued)
		return nil, r.err
	case <-ctx.Done():
		close(w.queued)
		return nil, context.Cause(ctx)
	}
}

// outcome says what an EXEC has done; own is the command that moves the position,
// and ours the index of the first that is the place's.
func outcome(worker string, own redis.Cmder, ours int, r executed) error {
	switch {
	case errors.Is(r.err, redis.TxFailedErr):
		return cdc.ErrFenced
	case own.Err() == nil:
		if cmd := failed(r.commands); cmd != nil {
			return &cdc.Failure{Class: cdc.Stop, Err: &PartlyAppliedError{Worker: worker, Command: cmd.Name(), Key: firstArgument(cmd), Err: cmd.Err()}}
		}
		return nil
	case serverError(r.err) || neverSent(r.err):
		return refused(worker, ours, r)
	}
	return fmt.Errorf("%w: EXEC: %w", cdc.ErrUnknownOutcome, r.err)
}

// failed is the first command with an error, but for those that found nothing.
func failed(commands []redis.Cmder) redis.Cmder {
	for _, cmd := range commands {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return cmd
		}
	}
	return nil
}

func firstArgument(cmd redis.Cmder) string {
	if args := cmd.Args(); len(args) > 1 {
		return fmt.Sprint(args[1])
	}
	return ""
}

// refused names the command that the server did not queue, if it never will: it
// is unknown, or wrong, or this user has no right to it.
func refused(worker string, ours int, r executed) error {
	for i, cmd := range r.commands {
		err := cmd.Err()
		if err == nil || !strings.HasPrefix(err.Error(), "ERR ") && !strings.HasPrefix(err.Error(), "NOPERM ") && !strings.HasPrefix(err.Error(), "CROSSSLOT ") {
			continue
		}
		class := cdc.Again
		if i >= ours {
			class = cdc.Stop
		}
		return &cdc.Failure{Class: class, Err: &RefusedError{Worker: worker, Command: cmd.Name(), Key: firstArgument(cmd), Err: err}}
	}
	return r.err
}
