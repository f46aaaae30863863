package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
	"github.com/gapless-go/gapless/conformance"
)

// certify is the state of the command.
type certify struct {
	*app
	cases []string
	file  string
}

func (a *app) certify() *cobra.Command {
	c := &certify{app: a}
	cmd := &cobra.Command{
		Use:   "certify",
		Short: "Run the conformance suite against a store, in a log of its own",
		Long: `certify checks the store of the source against the guarantees of Gapless. It works in scratch logs under new names, which it removes, and
never opens one that exists: beside a file, in a schema or database of its own, or under a name of its own.

What cannot be done from outside (crashes, cut connections) is skipped, and what --cases leaves out is not run: the verdict is "partial" then. It takes minutes, and
loads the store meanwhile.`,
		Example: "  gapless certify --source postgres://app@db/shop --report report.html",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	cmd.Flags().StringSliceVar(&c.cases, "cases", nil, "only these `cases`: a guarantee, or a pattern such as Handoff/*")
	cmd.Flags().StringVar(&c.file, "report", "", "write the report to this `file`: .html for people, .json for programs")
	return cmd
}

// withScratch runs fn with room for logs beside the source.
func (a *app) withScratch(ctx context.Context, fn func(*source.Scratch, source.Kind) error) error {
	address, err := source.Parse(a.address, a.log)
	if err != nil {
		return &usageError{err}
	}
	scratch, err := source.NewScratch(ctx, address, a.open.Mode)
	if err != nil {
		return err
	}
	return errors.Join(fn(scratch, address.Kind), scratch.Close(ctx))
}

func (c *certify) run(ctx context.Context) error {
	if c.file != "" && !strings.HasSuffix(c.file, ".html") && !strings.HasSuffix(c.file, ".json") {
		return usagef("--report is %q: give a file that ends in .html or .json", c.file)
	}
	return c.withScratch(ctx, func(scratch *source.Scratch, kind source.Kind) error {
		report := conformance.Check(ctx, harness(scratch, kind), &conformance.Options{Cases: c.cases, Dir: scratch.Dir})
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(report.Results) == 0 {
			return usagef("--cases %s selects no case", strings.Join(c.cases, ","))
		}
		return errors.Join(c.write(report), c.tell(report)) //nolint:contextcheck // a list of cases opens nothing
	})
}

func (c *certify) write(report conformance.Report) error {
	if c.file == "" {
		return nil
	}
	file, err := os.Create(c.file)
	if err != nil {
		return err
	}
	if strings.HasSuffix(c.file, ".html") {
		err = report.WriteHTML(file)
	} else {
		err = report.WriteJSON(file)
	}
	return errors.Join(err, file.Close())
}

// tell prints the verdict.
func (c *certify) tell(report conformance.Report) error {
	v := struct {
		Verdict string   `json:"verdict"`
		Passed  int      `json:"passed"`
		Skipped int      `json:"skipped"`
		Left    int      `json:"notSelected"`
		Failed  []string `json:"failed"`
		Seconds float64  `json:"seconds"`
	}{Verdict: "passed", Left: len(conformance.Cases()) - len(report.Results), Failed: []string{}, Seconds: report.Duration.Seconds()}
	for _, r := range report.Results {
		switch {
		case r.Skipped != "":
			v.Skipped++
		case r.Passed():
			v.Passed++
		default:
			v.Failed = append(v.Failed, r.Case.Name())
		}
	}
	switch {
	case len(v.Failed) > 0:
		v.Verdict = "failed"
	case v.Skipped > 0 || v.Left > 0:
		v.Verdict = "partial"
	}
	err := c.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d cases passed, %d failed, %d were skipped, %d not selected, in %v\n", v.Verdict, v.Passed, len(v.Failed), v.Skipped, v.Left, report.Duration.Round(time.Second))
	})
	if failed := report.Err(); failed != nil {
		return errors.Join(err, &differError{failed})
	}
	return err
}

// harness is what can be done with a store from outside.
func harness(scratch *source.Scratch, kind source.Kind) conformance.Harness {
	open := func(ctx context.Context, at conformance.Place) (cdc.Log, error) {
		s, err := scratch.Open(ctx, at.Dir, at.Name)
		if err != nil {
			return nil, err
		}
		return &handle{s.Log, s}, nil
	}
	h := conformance.Harness{
		Open: open, Reopen: open, Second: open, Writers: 3,
		Append: func(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
			return cdc.Append(ctx, log.(*handle).Log, events...)
		},
		Trim: func(ctx context.Context, log cdc.Log, seq uint64) (int, error) {
			return cdc.Trim(ctx, log.(*handle).Log, seq)
		},
		Renew: func(ctx context.Context, log cdc.Log) error {
			_, err := cdc.Renew(ctx, log.(*handle).Log)
			return err
		},
	}
	if kind == source.Bolt || kind.IsSQL() {
		h.Begin = func(_ context.Context, log cdc.Log) (conformance.Tx, error) {
			return log.(*handle).source.Begin() //nolint:contextcheck // a transaction is not bound to the call that begins it
		}
	}
	switch kind {
	case source.Bolt: // one process has the file, and one writer
		h.Second, h.Writers = nil, 1
	case source.SQLite:
		h.Writers = 1
	}
	return h
}

// handle is a log of a case, with its client.
type handle struct {
	cdc.Log
	source *source.Source
}

// Close closes both.
func (h *handle) Close() error { return h.source.Close() }
