package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
)

// Streams are those of the process.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// app is one run of the program.
type app struct {
	Streams
	started bool // the command line was understood

	json     bool
	yes      bool
	progress string
	config   string
	address  string
	log      string
	open     source.Options
}

// Run runs the command of the arguments and returns the exit code.
func Run(ctx context.Context, args []string, streams Streams) int {
	a := &app{Streams: streams}
	root := a.root() //nolint:contextcheck // commands take the context that they are executed with
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = usagef("%w: see gapless help, or gapless COMMAND --help", err)
	}
	return a.report(ctx, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gapless",
		Short: "Follow, serve and look after event logs without a gap",
		Long: "gapless follows, serves and looks after the log in a store that exists.\n\nA source is one of\n" + source.Forms +
			"\n\nEvery flag can be set in the environment (--resume-file is GAPLESS_RESUME_FILE) or in the file of --config;\na flag wins over the environment, which wins over the file.\n\n" + exitCodes,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.configure(cmd); err != nil {
				return err
			}
			a.started = true
			return nil
		},
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "table" {
			name = "log"
		}
		return pflag.NormalizedName(name)
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.address, "source", "s", "", "`address` of the log")
	f.StringVar(&a.log, "log", "", "`name` of the log in its store: a table (--table is the same), bucket, key or stream")
	f.StringVar(&a.open.Mode, "mode", "", "`mode` of numbering of a SQL log: sequencer, fence, at-commit")
	f.StringSliceVar(&a.open.Columns, "columns", nil, "a SQL table that exists: its columns, as `FIELD=COLUMN`,… (seq, id, topic, type, key, time, data, meta)")
	f.StringVar(&a.open.Token, "token", "", "bearer `token` for an HTTP source")
	f.StringVar(&a.config, "config", "", "YAML `file` with values of flags")
	f.BoolVar(&a.json, "json", false, "write results and errors as JSON")
	f.BoolVarP(&a.yes, "yes", "y", false, "do without asking")
	f.StringVar(&a.progress, "progress", "auto", "show progress on standard error: auto (on a terminal), always, never")
	root.AddCommand(a.serve(), a.tail(), a.append(), a.info(), a.trim(), a.renew(), a.schema(), a.version(), a.consumers(), a.capture(), a.verify(), a.certify(), a.bench())
	return root
}

// source opens the log of the flags.
func (a *app) source(ctx context.Context, access source.Access) (*source.Source, error) {
	address, err := source.Parse(a.address, a.log)
	if err != nil {
		return nil, &usageError{err}
	}
	a.open.Access = access
	a.open.OnError = a.warn
	if err := source.Check(address, &a.open); err != nil {
		return nil, &usageError{err}
	}
	return source.Open(ctx, address, &a.open)
}

// with runs fn with the log of the flags.
func (a *app) with(ctx context.Context, access source.Access, fn func(*source.Source) error) error {
	s, err := a.source(ctx, access)
	if err != nil {
		return err
	}
	err = fn(s)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

// warn tells of something that the command goes on without.
func (a *app) warn(err error) {
	if a.json {
		text, _ := json.Marshal(map[string]any{"warning": err.Error()}) // a text always encodes
		fmt.Fprintf(a.Err, "%s\n", text)
		return
	}
	fmt.Fprintf(a.Err, "gapless: %v\n", err)
}

// print writes a result: as one line of JSON, or by the function for people.
func (a *app) print(v any, people func(w io.Writer)) error {
	if !a.json {
		people(a.Out)
		return nil
	}
	encoder := json.NewEncoder(a.Out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// filterFlags adds the flags of a filter.
type filterFlags struct{ topics, types, keys []string }

func (f *filterFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.topics, "topic", nil, "only this `topic`, or with * at its end those that begin so; may be repeated")
	flags.StringArrayVar(&f.types, "type", nil, "only this `type`; may be repeated")
	flags.StringArrayVar(&f.keys, "key", nil, "only this `key`; may be repeated")
}

func (f *filterFlags) filter() cdc.Filter {
	filter := cdc.Filter{Types: f.types, Keys: f.keys}
	for _, topic := range f.topics {
		if n := len(topic); n > 0 && topic[n-1] == '*' {
			filter.TopicPrefixes = append(filter.TopicPrefixes, topic[:n-1])
		} else {
			filter.Topics = append(filter.Topics, topic)
		}
	}
	return filter
}
