package redislog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// replicasError is an append that too few replicas have acknowledged.
type replicasError struct {
	want, got int
	cause     error // of WAIT itself
}

func (e *replicasError) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("waiting for %d replicas: %v", e.want, e.cause)
	}
	return fmt.Sprintf("%d of %d replicas acknowledged in time; the events are in the log, but a failover may lose them", e.got, e.want)
}

func (e *replicasError) Unwrap() []error { return []error{cdc.ErrUnknownOutcome, e.cause} }

// serverError reports whether the server itself has answered with an error: then
// a script has done nothing, since none fails after its first write.
func serverError(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// lost reports whether the error may hide that the server has done it, or that
// the next call reaches another server.
func lost(err error) bool {
	return err != nil && (!serverError(err) || redis.IsReadOnlyError(err) || redis.IsLoadingError(err) ||
		redis.IsMasterDownError(err) || redis.IsClusterDownError(err))
}

// neverSent reports whether the command certainly did not reach the server.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return serverError(err) || ok && op.Op == "dial" ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) || errors.Is(err, redis.ErrClosed)
}

// connectionLost reports whether the connection was closed under the call.
func connectionLost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

const damaged = "another program changed the log's hash, nothing was changed by us: restore the hash, or DEL it, which makes a new log with a new epoch"

// errHints are what to do about errors of the server, by how they begin.
var errHints = []struct{ prefix, hint string }{
	{"WRONGTYPE", "a key of this log holds something else: choose another name"},
	{"READONLY", "the server is a read-only replica: give the client the address of the master, or of the sentinels"},
	{"OOM", "the server is at its maxmemory; nothing was appended: trim the log or raise maxmemory"},
	{"NOPERM", "the user lacks rights: it needs ~gapless:* with +@read +@write +@scripting +@transaction +@connection +time +info, and +wait for MinReplicas"},
	{"MISCONF", "the server cannot write to its disk and refuses writes: see its log"},
	{"NOREPLICAS", "the server has fewer replicas than its min-replicas-to-write: nothing was appended"},
	{"LOADING", "the server is loading its data: try again"},
	{"CLUSTERDOWN", "the cluster does not serve this log's slot: see CLUSTER INFO, start the missing node or assign its slots; nothing was appended"},
	{"MASTERDOWN", "the server is a replica that has lost its master: give the client the address of the master, or of the sentinels"},
	{"BUSY ", "another program's script blocks the server: wait, or end it with SCRIPT KILL; nothing was appended"},
	{"NOAUTH", "the server wants a password: set Password, and Username where it has users, in the client's options"},
	{"WRONGPASS", "the server refused user or password: correct Username and Password in the client's options"},
	{"CROSSSLOT", "the keys of one log must be in one cluster slot"},
	{"EXECABORT", "the server refused a part of the transaction"},
	{"GAPLESSVERSION", "the log was made by another version of this library: upgrade, nothing was changed"},
	{"GAPLESSALIEN", "the key holds data that is none of this log: choose another name, or follow a stream of other programs with OpenStream"},
	{"GAPLESSDAMAGED", damaged},
	{"GAPLESSFULL", "the log has used up its 2^53 numbers"},
}

// explain adds what to do about an error of the server. The chain stays.
func explain(err error) error {
	if errors.Is(err, redis.ErrClosed) && !errors.Is(err, cdc.ErrClosed) {
		return fmt.Errorf("%w: its client was closed by the application: %w", cdc.ErrClosed, err)
	}
	if err == nil || !serverError(err) {
		return err
	}
	text := err.Error()
	for _, h := range errHints {
		if strings.HasPrefix(text, h.prefix) {
			return fmt.Errorf("%w: %s", err, h.hint)
		}
	}
	switch {
	case strings.Contains(text, "equal or smaller than the target stream top item"):
		return fmt.Errorf("%w: another program adds to this log's stream: XDEL its entries, and XSETID the stream to <head>-99", err)
	case strings.Contains(text, "can't run this command") || strings.Contains(text, "No permissions"):
		return fmt.Errorf("%w: the user lacks rights for a command of the script: it needs ~gapless:* with +@read +@write +time", err)
	}
	return err
}

// transient reports whether the same call may succeed a moment later, on
// another connection.
func transient(err error) bool {
	return lost(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, cdc.ErrClosed)
}
