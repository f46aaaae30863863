package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/ndjson"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
)

// appender is the state of the command.
type appender struct {
	*app
	batch int

	to     appendFunc
	meter  *meter
	result appended
}

// appendFunc appends to the log, wherever it is.
type appendFunc func(ctx context.Context, events []cdc.Event) (cdc.Receipt, error)

// appended is what the command prints.
type appended struct {
	Events     int        `json:"events"`
	Duplicates int        `json:"duplicates"` // in batches that were there already as a whole
	Cursor     cdc.Cursor `json:"cursor"`     // of the last event
}

// maxTries bounds how often a batch whose outcome is unknown is sent again.
const maxTries = 10

func (a *app) append() *cobra.Command {
	p := &appender{app: a}
	cmd := &cobra.Command{
		Use:   "append",
		Short: "Append events that come on standard input, one JSON line each",
		Long: `append reads lines such as

  {"id":"o-1/created","topic":"orders","type":"order.created","key":"o-1","data":{"total":42}}

and appends them in batches, each all or none. An event whose id the log holds is not added again, so input that has ids can be sent
once more after a failure. It reads what tail writes. A log that does not exist is made, but for a table with --columns.

To a log behind an endpoint of gapless serve (--source https://…/events) events go by POST to …/append.`,
		Example: "  gapless append --source bolt:app.db < events.ndjson",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.run(cmd.Context()) },
	}
	cmd.Flags().IntVar(&p.batch, "batch", 500, "largest number of `events` of one transaction")
	return cmd
}

func (p *appender) run(ctx context.Context) (err error) {
	if p.batch < 1 || p.batch > 1000 {
		return usagef("--batch is %d: give 1 to 1000", p.batch)
	}
	if p.meter, err = p.app.meter("appending", -1); err != nil {
		return err
	}
	defer p.meter.done()
	access := source.Create
	if len(p.open.Columns) > 0 { // nothing is put beside somebody's table unasked
		access = source.Write
	}
	return p.with(ctx, access, func(s *source.Source) error {
		p.to = func(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
			return cdc.Append(ctx, s.Log, events...)
		}
		if s.Address.Kind == source.HTTP {
			p.to = postTo(s)
		}
		err := p.all(ctx)
		if p.result.Events > 0 || err == nil {
			p.meter.done()
			err = errors.Join(p.print(p.result, func(w io.Writer) {
				fmt.Fprintf(w, "%d events appended, %d of them in batches that were there already; the last is %s\n", p.result.Events, p.result.Duplicates, p.result.Cursor)
			}), err)
		}
		return err
	})
}

// all appends every line, a batch whenever it is full or no more has come.
func (p *appender) all(ctx context.Context) error {
	done, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := readLines(done, p.In)
	var events []cdc.Event
	first := 1
	for number := 1; ; number++ {
		if len(events) == p.batch || len(events) > 0 && len(lines) == 0 {
			if err := p.send(ctx, first, events); err != nil {
				return err
			}
			events = nil
		}
		next, ok := nextLine(ctx, lines)
		if !ok || next.err != nil {
			return errors.Join(p.send(ctx, first, events), next.err, ctx.Err())
		}
		event, err := ndjson.Decode(next.text)
		if err != nil {
			return errors.Join(p.send(ctx, first, events), usagef("line %d was not appended, nor what follows it: %w", number, err))
		}
		if len(events) == 0 {
			first = number
		}
		events = append(events, event)
	}
}

// send appends a batch. One whose outcome is unknown is sent again if it adds
// nothing twice.
func (p *appender) send(ctx context.Context, first int, events []cdc.Event) error {
	if len(events) == 0 {
		return nil
	}
	for tries := 1; ; tries++ {
		receipt, err := p.to(ctx, events)
		if err == nil {
			p.result.Events += len(events)
			if receipt.Duplicate {
				p.result.Duplicates += len(events)
			}
			p.result.Cursor = receipt.Cursor()
			p.meter.add(len(events))
			return nil
		}
		last := first + len(events) - 1
		if !errors.Is(err, cdc.ErrUnknownOutcome) {
			return fmt.Errorf("lines %d to %d were not appended: %w", first, last, err)
		}
		if tries == maxTries || !haveIDs(events) {
			return fmt.Errorf("whether lines %d to %d were appended is not known; with an id in each line it is safe to send them again: %w", first, last, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(tries) * 100 * time.Millisecond):
		}
	}
}

func haveIDs(events []cdc.Event) bool {
	for _, e := range events {
		if e.ID == "" {
			return false
		}
	}
	return true
}

// inputError says that the input broke.
func inputError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return fmt.Errorf("the input cannot be read: %w", err)
}
