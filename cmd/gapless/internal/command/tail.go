package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/ndjson"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
	"github.com/gapless-go/gapless/internal/backoff"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// tail is the state of the command.
type tail struct {
	*app
	filterFlags
	from    string
	file    string
	limit   int
	once    bool
	onReset string

	sent    int
	batches int        // without one there was no stream yet
	cursor  cdc.Cursor // of what was written
	stored  cdc.Cursor // what the resume file has
	meter   *meter
}

func (a *app) tail() *cobra.Command {
	t := &tail{app: a}
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow a log: one JSON line for each event",
		Long: `tail writes the events of a log as lines of JSON, first those that are there, then each that is appended, until it is interrupted.

With --resume-file it goes on where it was: the file gets the position, in one step, after the events were written, so that nothing
is lost whenever the process is killed. What was written last may come again then; an event's cursor tells. A program behind a pipe may
not have read all that the position says was written: let the output be a file, or keep the cursor of what was handled, for --from.

A bbolt file is open in one program, so nothing is appended while it is followed: there tail ends when everything was written.`,
		Example: "  gapless tail --source postgres://app@db/shop --from beginning --topic 'orders*' --resume-file pos",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return t.run(cmd.Context()) },
	}
	f := cmd.Flags()
	t.add(f)
	f.StringVar(&t.from, "from", "", "where to begin: beginning, latest or a `cursor` (latest; with --once or a bbolt file beginning)")
	f.StringVar(&t.file, "resume-file", "", "`file` that keeps the position; where it exists it wins over --from")
	f.IntVar(&t.limit, "limit", 0, "end after so many `events`; 0 is no limit")
	f.BoolVar(&t.once, "once", false, "end when everything that is there was written")
	f.StringVar(&t.onReset, "on-reset", "stop", "when a position cannot be resumed: stop with exit code 3, or `continue` with a line that says so")
	f.BoolVar(&a.open.Foreign, "foreign", false, "follow a stream of Redis or NATS that other programs write")
	return cmd
}

func (t *tail) run(ctx context.Context) error {
	if t.onReset != "stop" && t.onReset != "continue" {
		return usagef("--on-reset is %q: give stop or continue", t.onReset)
	}
	if t.limit < 0 {
		return usagef("--limit is %d: give a number of events, or 0", t.limit)
	}
	t.open.Filter = t.filter()
	return t.with(ctx, source.Read, func(s *source.Source) error {
		if s.Address.Kind == source.Bolt {
			t.once = true
		}
		start, err := t.start()
		if err != nil {
			return err
		}
		if t.progress == "auto" && isTerminal(t.Out) {
			t.progress = "never" // the events are to be seen there
		}
		if t.meter, err = t.app.meter("following", -1); err != nil {
			return err
		}
		defer t.meter.done()
		hub, err := cdc.NewHub(s.Log, &cdc.HubOptions{OnError: t.warn})
		if err != nil {
			return err
		}
		defer func() { _ = hub.Close() }() // it only waits for its reader
		return t.follow(ctx, hub, start)
	})
}

// start is where the stream begins.
func (t *tail) start() (cdc.Start, error) {
	c, ok, err := readResume(t.file)
	if err != nil {
		return cdc.Start{}, err
	}
	if ok {
		t.cursor, t.stored = c, c
		return cdc.After(c), nil
	}
	text := t.from
	if text == "" && t.once {
		text = "beginning"
	}
	start, err := cdc.ParseStart(text)
	if err != nil {
		return start, usagef("--from is neither beginning nor latest nor a cursor: %w", err)
	}
	return start, nil
}

// follow streams until the end, and again after each reset that it goes on from
// and each failure that may pass.
func (t *tail) follow(ctx context.Context, log cdc.Log, start cdc.Start) error {
	pause := backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for {
		before := t.batches
		err := t.stream(ctx, log, start)
		if t.batches > before {
			pause.Reset()
		}
		reset, ok := errors.AsType[*cdc.ResetError](err)
		switch {
		case errors.Is(err, errEnough), ctx.Err() != nil: // to be interrupted is its usual end
			return nil
		case !ok && (t.once || t.batches == 0 || isFinal(err)):
			return err
		case !ok:
			t.warn(err)
			if pause.Wait(ctx) != nil {
				return nil
			}
			start = cdc.After(t.cursor)
			continue
		case t.onReset == "stop":
			return fmt.Errorf("%w\nReload what was built from the events; then go on with --from %s (and without the old --resume-file), or use --on-reset continue", err, reset.Resume)
		}
		if err := t.wentOn(reset); err != nil {
			return err
		}
		start = cdc.After(reset.Resume)
	}
}

// isFinal reports whether a stream that was there fails for good.
func isFinal(err error) bool {
	if e, ok := errors.AsType[*remote.StatusError](err); ok {
		return e.Status/100 == 4 && e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooManyRequests
	}
	_, output := errors.AsType[*outputError](err)
	return output || errors.Is(err, cdc.ErrClosed) || errors.Is(err, cdc.ErrDeleted) || errors.Is(err, errors.ErrUnsupported)
}

// outputError says that what was read has nowhere to go.
type outputError struct{ err error }

// Error is that of the writer.
func (e *outputError) Error() string { return e.err.Error() }

// Unwrap returns it.
func (e *outputError) Unwrap() error { return e.err }

// wentOn writes a line about the reset, in its place among the events.
func (t *tail) wentOn(reset *cdc.ResetError) error {
	text, err := json.Marshal(map[string]any{"reset": map[string]any{
		"reason": reset.Reason, "requested": reset.Requested, "floor": reset.Floor, "head": reset.Head, "cursor": reset.Resume,
	}})
	if err != nil {
		return err
	}
	_, err = t.Out.Write(append(text, '\n'))
	return err
}

// errEnough ends a stream that has nothing more to write.
var errEnough = errors.New("enough")

func (t *tail) stream(ctx context.Context, log cdc.Log, start cdc.Start) error {
	shown := time.Time{}
	for batch, err := range cdc.Follow(ctx, log, start, &cdc.FollowOptions{Filter: t.filter(), Heartbeat: time.Second}) {
		if err != nil {
			return err
		}
		if err := t.write(batch); err != nil {
			return err
		}
		t.batches++
		if t.meter.shown() && time.Since(shown) > time.Second {
			shown = time.Now()
			if b, err := log.Bounds(ctx); err == nil && b.Head >= batch.Cursor.Seq {
				t.meter.lag(b.Head - batch.Cursor.Seq)
			}
		}
		if t.limit > 0 && t.sent == t.limit || t.once && batch.State == cdc.Live {
			return errEnough
		}
	}
	return ctx.Err()
}

// write writes the events of a batch, then the position.
func (t *tail) write(batch cdc.Batch) error {
	events, cursor := batch.Events, batch.Cursor
	if t.limit > 0 && t.sent+len(events) > t.limit {
		events = events[:t.limit-t.sent]
	}
	var text bytes.Buffer
	for _, e := range events {
		if err := ndjson.Encode(&text, cursor.Epoch, e); err != nil {
			return err
		}
	}
	if len(events) < len(batch.Events) {
		cursor = events[len(events)-1].Cursor(cursor.Epoch)
	}
	if _, err := t.Out.Write(text.Bytes()); err != nil {
		return &outputError{fmt.Errorf("the output cannot be written: %w", err)}
	}
	t.sent += len(events)
	t.meter.add(len(events))
	t.cursor = cursor
	if t.file == "" || cursor == t.stored {
		return nil
	}
	t.stored = cursor
	if err := writeResume(t.file, cursor); err != nil {
		return &outputError{err}
	}
	return nil
}
