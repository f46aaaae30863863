package sqllog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// This file makes of what users write what the packages below internal take, and
// of their problems the errors that users see.

// settings checks the options and fills in the defaults.
func (o *Options) settings(d *engine.Dialect, name string) (engine.Settings, error) {
	if o == nil {
		o = &Options{}
	}
	if err := o.check(d); err != nil {
		return engine.Settings{}, err
	}
	s := engine.Settings{
		Dialect: d, Name: name, Mode: engine.Mode(o.Mode), InvisibleDeletes: o.InvisibleDeletes,
		ListenDSN: o.ListenDSN, OnError: o.OnError, PollInterval: o.PollInterval, MaxPollInterval: o.MaxPollInterval,
	}
	if c := o.Columns; c != nil {
		s.Mapped, s.Columns = true, engine.Columns(*c)
	}
	return s.Complete()
}

// check refuses what cannot be meant.
func (o *Options) check(d *engine.Dialect) error {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"Options.PollInterval", o.PollInterval}, {"Options.MaxPollInterval", o.MaxPollInterval}} {
		if f.value < 0 {
			return fmt.Errorf("%s is %v: it must not be negative", f.name, f.value)
		}
	}
	if o.MaxEventBytes < 0 {
		return fmt.Errorf("Options.MaxEventBytes is %d: it must not be negative", o.MaxEventBytes)
	}
	if o.Dialect != "" && string(o.Dialect) != d.Name {
		return fmt.Errorf("Options.Dialect is %q, and the store's is %q: leave it empty", o.Dialect, d.Name)
	}
	return nil
}

// maxEventBytes with its default.
func (o *Options) maxEventBytes() int {
	if o == nil || o.MaxEventBytes == 0 {
		return cdc.DefaultMaxEventBytes
	}
	return o.MaxEventBytes
}

func (t Table) internal() engine.Table {
	e := engine.Table{
		Name: t.Name, Topic: t.Topic, TopicColumns: t.TopicColumns, Type: t.Type,
		Key: t.Key, Columns: t.Columns, Watch: t.Watch, NumbersAsText: t.NumbersAsText,
	}
	for _, key := range slices.Sorted(maps.Keys(t.Meta)) {
		e.Meta = append(e.Meta, engine.Meta{Key: key, Source: engine.MetaSource(t.Meta[key])})
	}
	return e
}

// schemaError joins the problems of a table, if there are any, with an error.
func schemaError(table string, problems []string, err error) error {
	if len(problems) == 0 {
		return err
	}
	refused := &SchemaError{Table: table, Problems: problems}
	if err == nil {
		return refused
	}
	return errors.Join(err, refused)
}

// explain adds what to do to an error of the database.
func explain(s engine.Settings, err error) error {
	if err == nil {
		return nil
	}
	if engine.IsPoolClosed(err) {
		return fmt.Errorf("%w: its pool was closed by the application: %w", cdc.ErrClosed, err)
	}
	if hint := s.Dialect.Hint(s, err); hint != "" {
		return fmt.Errorf("%s: %w", hint, err)
	}
	return err
}
