package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// verify is the state of the command.
type verify struct {
	*app
	tables []string
	stream string
}

// verdict is what the command prints.
type verdict struct {
	Problems []string `json:"problems"`
	Events   int      `json:"events"` // that were read
}

func (a *app) verify() *cobra.Command {
	v := &verify{app: a}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check a store, and a stream against its log",
		Long: `verify changes nothing. It compares a SQL database with what the log needs, with --capture also the triggers of tables; it reads the log
from the oldest event to the head and checks order and bounds; with --stream it reads an endpoint that serves this log, too, and
compares every event. It ends with exit code 4 if something is wrong.`,
		Example: "  gapless verify --source postgres://app@db/shop --capture orders --stream https://app.example.com/events",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return v.run(cmd.Context()) },
	}
	cmd.Flags().StringSliceVar(&v.tables, "capture", nil, "`tables` that must be captured as serve --capture does (SQL)")
	cmd.Flags().StringVar(&v.stream, "stream", "", "`URL` of an endpoint that serves this log")
	cmd.Flags().BoolVar(&a.open.Foreign, "foreign", false, "a stream of Redis or NATS that other programs write")
	return cmd
}

func (v *verify) run(ctx context.Context) error {
	found := verdict{Problems: []string{}}
	err := v.with(ctx, source.Read, func(s *source.Source) error {
		if err := v.triggers(ctx, s, &found); err != nil {
			return err
		}
		b, err := s.Log.Bounds(ctx)
		if err != nil {
			return err
		}
		if v.stream != "" {
			return v.compare(ctx, s.Log, b, &found)
		}
		for _, err := range events(ctx, s.Log, b) {
			if err != nil {
				return found.take(err)
			}
			found.Events++
		}
		return nil
	})
	if e, ok := errors.AsType[*sqllog.SchemaError](err); ok {
		found.Problems, err = append(found.Problems, e.Problems...), nil
	}
	if err != nil {
		return err
	}
	err = v.print(found, func(w io.Writer) {
		for _, p := range found.Problems {
			fmt.Fprintln(w, p)
		}
		fmt.Fprintf(w, "%d events read, %d problems\n", found.Events, len(found.Problems))
	})
	if err == nil && len(found.Problems) > 0 {
		err = &differError{errors.New("it is not as it must be: see the problems above (gapless capture add installs triggers anew)")}
	}
	return err
}

// problemError says what is wrong with a log.
type problemError struct{ text string }

// Error is the text.
func (e *problemError) Error() string { return e.text }

// take adds what is wrong with the log, and returns other errors.
func (v *verdict) take(err error) error {
	if e, ok := errors.AsType[*problemError](err); ok {
		v.Problems = append(v.Problems, e.text)
		return nil
	}
	return err
}

func (v *verify) triggers(ctx context.Context, s *source.Source, found *verdict) error {
	if len(v.tables) == 0 {
		return nil
	}
	log, ok := s.Log.(*sqllog.Log)
	if !ok {
		return usagef("tables are captured in SQL databases, and the source is %s", s.Address.Kind)
	}
	for _, t := range named(v.tables) {
		err := log.VerifyCapture(ctx, t)
		if e, ok := errors.AsType[*sqllog.SchemaError](err); ok {
			found.Problems, err = append(found.Problems, e.Problems...), nil
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return nil
}

// events reads what is within the bounds, and checks that it is.
func events(ctx context.Context, log cdc.Log, b cdc.Bounds) iter.Seq2[cdc.Event, error] {
	return func(yield func(cdc.Event, error) bool) {
		for after := (cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}); after.Seq < b.Head; {
			page, err := log.Read(ctx, after, 1000)
			if err == nil && page.Next <= after.Seq {
				err = &problemError{fmt.Sprintf("after seq %d nothing can be read, though the head is %d", after.Seq, b.Head)}
			}
			if err != nil {
				yield(cdc.Event{}, err)
				return
			}
			last := after.Seq
			for _, e := range page.Events {
				if e.Seq > b.Head {
					return
				}
				if e.Seq <= last {
					err = &problemError{fmt.Sprintf("seq %d comes after seq %d", e.Seq, last)}
				}
				last = e.Seq
				if !yield(e, err) || err != nil {
					return
				}
			}
			after = cdc.Cursor{Epoch: b.Epoch, Seq: page.Next, Tag: page.Tag}
		}
	}
}

// compare reads the log and the endpoint beside each other.
func (v *verify) compare(ctx context.Context, log cdc.Log, b cdc.Bounds, found *verdict) error {
	address, err := source.Parse(v.stream, "")
	if err != nil || address.Kind != source.HTTP {
		return usagef("--stream is %q: give the URL of an endpoint", v.stream)
	}
	served, err := source.Open(ctx, address, &source.Options{Token: v.open.Token, OnError: v.warn})
	if err != nil {
		return err
	}
	defer func() { _ = served.Close() }() // everything was read
	other, err := served.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	if other.Epoch != b.Epoch {
		found.Problems = append(found.Problems, fmt.Sprintf("the stream is of another log: its epoch is %s, that of the source %s", other.Epoch, b.Epoch))
		return nil
	}
	b.Floor, b.Head = max(b.Floor, other.Floor), min(b.Head, other.Head)
	next, stop := iter.Pull2(events(ctx, served.Log, b))
	defer stop()
	for e, err := range events(ctx, log, b) {
		if err != nil {
			return found.take(err)
		}
		got, err, ok := next()
		if err != nil {
			return found.take(fmt.Errorf("the stream: %w", err))
		}
		if !ok || !same(e, got) {
			found.Problems = append(found.Problems, fmt.Sprintf("seq %d differs: the log has %s, the stream %s (a token may hide events)", e.Seq, e.Cursor(b.Epoch), got.Cursor(b.Epoch)))
			return nil
		}
		found.Events++
	}
	if extra, err, ok := next(); ok && err == nil {
		found.Problems = append(found.Problems, fmt.Sprintf("the stream has seq %d, which the log has not", extra.Seq))
	}
	return nil
}

func same(a, b cdc.Event) bool {
	return a.Seq == b.Seq && a.Tag() == b.Tag() && a.ID == b.ID && a.Topic == b.Topic && maps.Equal(a.Meta, b.Meta)
}
