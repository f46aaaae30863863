package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// capture is the state of the commands.
type capture struct {
	*app
	table sqllog.Table // of the flags, without the name
}

func (a *app) capture() *cobra.Command {
	c := &capture{app: a}
	cmd := &cobra.Command{
		Use:   "capture",
		Short: "Manage the triggers that make events of the changes of tables",
		Long:  "capture lists the tables that a SQL log captures, installs and removes their triggers, and prints these for a migration.",
		Args:  cobra.NoArgs, // a command that is misspelt is refused
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	add := &cobra.Command{
		Use: "add TABLE…", Short: "Capture tables, and make the log if it is missing; the SQL is shown first", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := c.openOrMake(cmd.Context())
			if err != nil {
				return err
			}
			err = c.captureTables(cmd.Context(), s, c.tables(args))
			if err = errors.Join(err, s.Close()); err != nil {
				return err
			}
			return c.print(map[string]any{"captured": args}, func(out io.Writer) { fmt.Fprintf(out, "captured: %s\n", strings.Join(args, ", ")) })
		},
	}
	show := &cobra.Command{
		Use: "print TABLE…", Short: "Print the SQL that captures tables, for a migration", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.show(cmd.Context(), args) },
	}
	c.addFlags(add)
	c.addFlags(show)
	cmd.AddCommand(c.list(), add, show, c.remove())
	return cmd
}

func (c *capture) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.table.Topic, "as-topic", "", "`topic` of the events; the table's name if not given")
	f.StringVar(&c.table.Type, "as-type", "", "what the events' `types` begin with; the table's name if not given")
	f.StringSliceVar(&c.table.TopicColumns, "topic-columns", nil, "`columns` whose values come after the topic: orders/7")
	f.StringSliceVar(&c.table.Key, "key-columns", nil, "`columns` that identify a row; the primary key if not given")
	f.StringSliceVar(&c.table.Columns, "only", nil, "the `columns` in the events; all if not given")
	f.StringSliceVar(&c.table.Watch, "watch", nil, "`columns` whose change makes an event; those in the events if not given")
	f.BoolVar(&c.table.NumbersAsText, "numbers-as-text", false, "write numbers that JavaScript cannot read exactly as texts")
}

func (c *capture) tables(names []string) []sqllog.Table {
	tables := make([]sqllog.Table, len(names))
	for i, name := range names {
		tables[i] = c.table
		tables[i].Name = name
	}
	return tables
}

func (a *app) withLog(ctx context.Context, access source.Access, fn func(*source.Source, *sqllog.Log) error) error {
	return a.with(ctx, access, func(s *source.Source) error {
		log, ok := s.Log.(*sqllog.Log)
		if !ok {
			return usagef("tables are captured in SQL databases, and the source is %s", s.Address.Kind)
		}
		return fn(s, log)
	})
}

func (c *capture) show(ctx context.Context, names []string) error {
	return c.withLog(ctx, source.Read, func(s *source.Source, log *sqllog.Log) error {
		var all []string
		for _, t := range c.tables(names) {
			statements, err := log.CaptureStatements(ctx, t)
			if err != nil {
				return err
			}
			all = append(all, script(s.Address.Kind, statements))
		}
		sql := strings.Join(all, "\n")
		return c.print(map[string]any{"sql": sql}, func(out io.Writer) { fmt.Fprint(out, sql) })
	})
}

// capturedTable is one of the list.
type capturedTable struct {
	Table        string   `json:"table"`
	Topic        string   `json:"topic"`
	TopicColumns []string `json:"topicColumns,omitempty"`
	Type         string   `json:"type"`
}

func (t capturedTable) row() string {
	var topic strings.Builder
	topic.WriteString(t.Topic)
	for _, column := range t.TopicColumns {
		topic.WriteString("/{" + column + "}")
	}
	return t.Table + "\t" + topic.String() + "\t" + t.Type
}

func (c *capture) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tables that the log captures", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withLog(cmd.Context(), source.Read, func(_ *source.Source, log *sqllog.Log) error {
				tables, err := log.Captured(cmd.Context())
				if err != nil {
					return err
				}
				list := make([]capturedTable, len(tables))
				for i, t := range tables {
					list[i] = capturedTable{t.Name, t.Topic, t.TopicColumns, t.Type}
				}
				return c.print(list, func(out io.Writer) { table(out, "TABLE\tTOPIC\tTYPE\n", list, capturedTable.row) })
			})
		},
	}
}

func (c *capture) remove() *cobra.Command {
	return &cobra.Command{
		Use: "remove TABLE…", Short: "Remove the triggers of tables; events stay", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withLog(cmd.Context(), source.Write, func(_ *source.Source, log *sqllog.Log) error {
				if err := c.ask(fmt.Sprintf("Changes of %s will not be seen any more.", strings.Join(args, ", "))); err != nil {
					return err
				}
				var failed error
				for _, name := range args {
					failed = errors.Join(failed, log.RemoveCapture(cmd.Context(), sqllog.Table{Name: name}))
				}
				if failed != nil {
					return failed
				}
				return c.print(map[string]any{"removed": args}, func(out io.Writer) { fmt.Fprintf(out, "no longer captured: %s\n", strings.Join(args, ", ")) })
			})
		},
	}
}
