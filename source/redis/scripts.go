package redislog

import (
	"context"
	"crypto/sha1"
	_ "embed" // the scripts
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed scripts/open.lua
	openSource string
	//go:embed scripts/append.lua
	appendSource string
	//go:embed scripts/trim.lua
	trimSource string
	//go:embed scripts/renew.lua
	renewSource string
	//go:embed scripts/repair.lua
	repairSource string
)

// script is a Lua script and the name that the server gives it.
type script struct{ source, hash string }

// newScript puts the common beginning before the parts.
func newScript(parts ...string) script {
	source := openSource + strings.Join(parts, "")
	sum := sha1.Sum([]byte(source))
	return script{source: source, hash: hex.EncodeToString(sum[:])}
}

type scripts struct{ append, trim, renew, repair script }

func newScripts() scripts {
	limits := fmt.Sprintf("local maxEvents, maxBytes = %d, %d\n", maxEventsPerEntry, maxEntryBytes)
	return scripts{
		append: newScript(limits, appendSource), trim: newScript(trimSource),
		renew: newScript(renewSource), repair: newScript(repairSource),
	}
}

// once is a command that the client must not send a second time by itself when
// the reply is lost: an append would be there twice.
type once struct{ *redis.Cmd }

// NoRetry implements [redis.Cmder].
func (once) NoRetry() bool { return true }

// Clone implements [redis.Cmder].
func (c once) Clone() redis.Cmder { return once{c.Cmd.Clone().(*redis.Cmd)} }

// run runs a script that writes. A server that does not have it, because it is
// new or its scripts were flushed, says so before it does anything, and then
// gets the source.
func (l *Log) run(ctx context.Context, s script, args []any, replicas int) (any, error) {
	reply, err := l.eval(ctx, []any{"EVALSHA", s.hash}, args, replicas)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = l.eval(ctx, []any{"EVAL", s.source}, args, replicas)
	}
	return reply, err
}

func (l *Log) eval(ctx context.Context, head, args []any, replicas int) (any, error) {
	all := make([]any, 0, len(head)+3+len(args))
	all = append(append(all, head...), 2, l.meta, l.stream)
	cmd := once{redis.NewCmd(ctx, append(all, args...)...)}
	if replicas > 0 {
		return l.evalAndWait(ctx, cmd, replicas)
	}
	if err := l.client.Process(ctx, cmd); err != nil {
		return nil, err
	}
	return cmd.Result()
}

// evalAndWait sends WAIT behind the script on the same connection: it waits for
// what that connection has written. If it falls short, both the reply and an
// error are returned.
func (l *Log) evalAndWait(ctx context.Context, cmd once, replicas int) (any, error) {
	node, err := l.node(ctx)
	if err != nil {
		return nil, err
	}
	pipe := node.Pipeline()
	_ = pipe.Process(ctx, cmd) // the error comes with Exec
	wait := redis.NewIntCmd(ctx, "WAIT", replicas, l.opts.ReplicaTimeout.Milliseconds())
	_ = pipe.Process(ctx, wait)
	_, _ = pipe.Exec(ctx) // each command has its own
	if err := cmd.Err(); err != nil {
		return nil, err
	}
	if err := wait.Err(); err != nil {
		return cmd.Val(), &replicasError{want: replicas, cause: err}
	}
	if n := int(wait.Val()); n < replicas {
		return cmd.Val(), &replicasError{want: replicas, got: n}
	}
	return cmd.Val(), nil
}
