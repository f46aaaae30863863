package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func (a *app) trim() *cobra.Command {
	var to, keep uint64
	cmd := &cobra.Command{
		Use:   "trim",
		Short: "Remove the oldest events of a log",
		Long:  "trim removes the events up to a seq. Readers that are not past it get a reset, which says so.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("to") == cmd.Flags().Changed("keep") {
				return usagef("say what is removed: --to SEQ, or --keep N for all but the newest N seqs")
			}
			return a.with(cmd.Context(), source.Write, func(s *source.Source) error {
				b, err := s.Log.Bounds(cmd.Context())
				if err != nil {
					return err
				}
				if cmd.Flags().Changed("keep") {
					to = b.Head - min(b.Head, keep)
				}
				if err := a.ask(fmt.Sprintf("Events up to seq %d will be removed from %v for good (floor %d, head %d).", to, s.Log, b.Floor, b.Head)); err != nil {
					return err
				}
				removed, err := cdc.Trim(cmd.Context(), s.Log, to)
				if err != nil {
					return fmt.Errorf("%d events were removed: %w", removed, err)
				}
				return a.print(map[string]any{"removed": removed, "to": to}, func(w io.Writer) { fmt.Fprintf(w, "%d events removed\n", removed) })
			})
		},
	}
	cmd.Flags().Uint64Var(&to, "to", 0, "the last `seq` to remove")
	cmd.Flags().Uint64Var(&keep, "keep", 0, "`number` of seqs to keep below the head")
	return cmd
}

func (a *app) renew() *cobra.Command {
	return &cobra.Command{
		Use:   "renew",
		Short: "Give a log a new epoch, after a restore from a backup",
		Long:  "renew ends a restore from a backup, before anything is appended: readers whose cursors are of the lost future get a reset.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), source.Write, func(s *source.Source) error {
				if err := a.ask(fmt.Sprintf("Every reader of %v will get a reset and reload its state.", s.Log)); err != nil {
					return err
				}
				epoch, err := cdc.Renew(cmd.Context(), s.Log)
				if err != nil {
					return err
				}
				return a.print(map[string]any{"epoch": epoch}, func(w io.Writer) { fmt.Fprintf(w, "the epoch is %s now\n", epoch) })
			})
		},
	}
}

func (a *app) schema() *cobra.Command {
	var place string
	cmd := &cobra.Command{
		Use:       "schema postgres|sqlite|mysql",
		Short:     "Print the SQL that makes a log, for a migration",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{string(sqllog.Postgres), string(sqllog.SQLite), string(sqllog.MySQL)},
		RunE: func(_ *cobra.Command, args []string) error {
			sql, err := a.schemaSQL(sqllog.Dialect(args[0]), place)
			if err != nil {
				return err
			}
			return a.print(map[string]any{"sql": sql}, func(w io.Writer) { fmt.Fprint(w, sql) })
		},
	}
	cmd.Flags().StringVar(&place, "place", "", "print the tables of the place of workers with this `name` instead")
	return cmd
}

func (a *app) schemaSQL(dialect sqllog.Dialect, place string) (string, error) {
	if place != "" {
		return sqllog.PlaceSchema(dialect, place)
	}
	address := source.Address{Kind: source.Kind(dialect)}
	opts, err := source.SQLOptions(address, &a.open)
	if err != nil {
		return "", &usageError{err}
	}
	name := a.log
	if name == "" {
		name = "change_log"
	}
	return sqllog.Schema(dialect, name, opts)
}
