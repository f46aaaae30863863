package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
)

// consumers is the state of the commands.
type consumers struct {
	*app
	place string
}

func (a *app) consumers() *cobra.Command {
	c := &consumers{app: a}
	cmd := &cobra.Command{
		Use:   "consumers",
		Short: "Look after the workers of cdc.Consume",
		Long:  "consumers lists the workers of a place in the log's store, with what they have not handled, and acts on them while they run.",
		Args:  cobra.NoArgs, // a command that is misspelt is refused
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&c.place, "place", "workers", "`name` of the place that keeps the workers")
	cmd.AddCommand(c.list(), c.parked(),
		c.act("pause WORKER", "Keep a worker from handling events", 1, func(ctx context.Context, w *source.Workers, args []string) error {
			return w.SetPaused(ctx, args[0], true)
		}),
		c.act("resume WORKER", "Let a paused worker go on", 1, func(ctx context.Context, w *source.Workers, args []string) error {
			return w.SetPaused(ctx, args[0], false)
		}),
		c.act("retry WORKER SEQ", "Let a worker handle a parked event now", 2, withSeq(func(w *source.Workers) seqFunc { return w.Retry })),
		c.act("drop WORKER SEQ", "Forget a parked event: it never takes effect", 2, withSeq(func(w *source.Workers) seqFunc { return w.Drop })),
		c.act("seek WORKER CURSOR", "Make a worker go on after a cursor, forward or back", 2, func(ctx context.Context, w *source.Workers, args []string) error {
			to, err := cdc.ParseCursor(args[1])
			if err != nil {
				return &usageError{err}
			}
			return w.Seek(ctx, args[0], to)
		}))
	return cmd
}

type seqFunc func(ctx context.Context, worker string, seq uint64) error

func withSeq(of func(*source.Workers) seqFunc) func(context.Context, *source.Workers, []string) error {
	return func(ctx context.Context, w *source.Workers, args []string) error {
		seq, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			return usagef("%q is no seq: see gapless consumers parked", args[1])
		}
		return of(w)(ctx, args[0], seq)
	}
}

// workers runs fn with the workers of the flags. A worker that does not exist is
// not made.
func (c *consumers) workers(ctx context.Context, access source.Access, name string, fn func(*source.Source, *source.Workers) error) error {
	return c.with(ctx, access, func(s *source.Source) error {
		w, err := s.Workers(ctx, c.place)
		if err != nil {
			return err
		}
		if name != "" {
			if err := mustExist(ctx, w, name); err != nil {
				return err
			}
		}
		return fn(s, w)
	})
}

func mustExist(ctx context.Context, w *source.Workers, name string) error {
	all, err := w.Workers(ctx)
	if err != nil {
		return err
	}
	for _, worker := range all {
		if worker.Name == name {
			return nil
		}
	}
	return fmt.Errorf("there is no worker %q: see gapless consumers list", name)
}

func (c *consumers) act(use, short string, args int, do func(context.Context, *source.Workers, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.workers(cmd.Context(), source.Write, args[0], func(_ *source.Source, w *source.Workers) error {
				if err := do(cmd.Context(), w, args); err != nil {
					return err
				}
				return c.print(map[string]any{"done": cmd.Name(), "worker": args[0]}, func(out io.Writer) { fmt.Fprintf(out, "%s: done\n", cmd.Name()) })
			})
		},
	}
}

// worker is one of the list.
type worker struct {
	Name   string     `json:"name"`
	State  string     `json:"state"` // working, waiting or paused
	Cursor cdc.Cursor `json:"cursor"`
	Behind uint64     `json:"behind"`
	Age    string     `json:"age"`
	Parked int        `json:"parked"`
	Holder string     `json:"holder,omitempty"`
	Error  string     `json:"error,omitempty"` // why behind and age are not known
}

func (c *consumers) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List workers with position and lag", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.workers(cmd.Context(), source.Read, "", func(s *source.Source, w *source.Workers) error {
				all, err := cdc.ListWorkers(cmd.Context(), s.Log, cdc.WorkersOf{Place: w})
				if err != nil {
					return err
				}
				list := make([]worker, len(all))
				for i, status := range all {
					list[i] = describe(status)
				}
				return c.print(list, func(out io.Writer) { table(out, "WORKER\tSTATE\tBEHIND\tAGE\tPARKED\tPOSITION\n", list, worker.row) })
			})
		},
	}
}

func describe(s cdc.WorkerStatus) worker {
	w := worker{Name: s.Name, State: "waiting", Cursor: s.Cursor, Behind: s.Behind, Age: s.Age.Round(time.Millisecond).String(), Parked: s.Parked}
	if s.Lease.Remaining > 0 {
		w.State, w.Holder = "working", s.Lease.Holder
	}
	if s.Paused {
		w.State = "paused"
	}
	if s.Err != nil {
		w.Error = s.Err.Error()
	}
	return w
}

func (w worker) row() string {
	behind := fmt.Sprintf("%d\t%s", w.Behind, w.Age)
	if w.Error != "" {
		behind = "?\t?"
	}
	row := fmt.Sprintf("%s\t%s\t%s\t%d\t%s", w.Name, w.State, behind, w.Parked, w.Cursor)
	if w.Error != "" {
		row += "  " + w.Error
	}
	return row
}

// table writes a row for each item.
func table[T any](out io.Writer, head string, items []T, row func(T) string) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, head)
	for _, item := range items {
		fmt.Fprintln(t, row(item))
	}
	_ = t.Flush() // as every write to the output
}

// parkedEvent is an entry of the list of a worker.
type parkedEvent struct {
	Seq    uint64 `json:"seq"`
	Key    string `json:"key"`
	Type   string `json:"type"`
	Tries  int    `json:"tries"`
	Behind bool   `json:"behind"` // it waits for an earlier one of its key
	Reason string `json:"reason"`
}

func (p parkedEvent) row() string {
	if p.Behind {
		p.Reason = "waits for an earlier event of its key"
	}
	return fmt.Sprintf("%d\t%s\t%s\t%d\t%s", p.Seq, p.Key, p.Type, p.Tries, p.Reason)
}

func (c *consumers) parked() *cobra.Command {
	return &cobra.Command{
		Use: "parked WORKER", Short: "List the events that a worker has parked", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.workers(cmd.Context(), source.Read, args[0], func(_ *source.Source, w *source.Workers) error {
				state, err := w.Load(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				list := make([]parkedEvent, len(state.Parked))
				for i, p := range state.Parked {
					list[i] = parkedEvent{p.Event.Seq, p.Key, p.Event.Type, p.Tries, p.Behind, p.Reason}
				}
				return c.print(list, func(out io.Writer) { table(out, "SEQ\tKEY\tTYPE\tTRIES\tREASON\n", list, parkedEvent.row) })
			})
		},
	}
}
