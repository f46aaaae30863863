package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// Table says which changes of a table become events, see sqllog.Table.
type Table struct {
	Name, Topic         string
	TopicColumns        []string
	Type                string
	Key, Columns, Watch []string
	NumbersAsText       bool
	Meta                []Meta // in the order of their keys
}

// Meta is a key of an event's Meta and where its value comes from.
type Meta struct {
	Key    string
	Source MetaSource
}

// MetaSource is that of sqllog: one of its kinds is set.
type MetaSource struct {
	Setting       string
	TransactionID bool
	Variable      string
	Table, Column string
}

// CaptureFeatures are what the triggers of a dialect can do.
type CaptureFeatures struct {
	TopicColumns, NumbersAsText                                 bool
	MetaSetting, MetaTransactionID, MetaVariable, MetaTableCell bool
}

// checkFeatures refuses by name what the dialect has not, and what contradicts
// itself.
func (c *Capture) checkFeatures() error {
	d, t := c.Settings.Dialect, c.Table
	switch {
	case len(t.TopicColumns) > 0 && !d.Captures.TopicColumns:
		return fmt.Errorf("Table.TopicColumns cannot be used on %s", d.Name)
	case t.NumbersAsText && !d.Captures.NumbersAsText:
		return fmt.Errorf("Table.NumbersAsText cannot be used on %s", d.Name)
	case len(t.TopicColumns) > 0 && c.Settings.Columns.Topic == "":
		return errors.New("Table.TopicColumns is set, and Options.Columns.Topic names no column for topics")
	case len(t.Meta) > 0 && c.Settings.Columns.Meta == "":
		return errors.New("Table.Meta is set, and Options.Columns.Meta names no column for it")
	}
	for _, m := range t.Meta {
		if err := m.check(d); err != nil {
			return fmt.Errorf("Table.Meta[%q]: %w", m.Key, err)
		}
	}
	return nil
}

func (m Meta) check(d *Dialect) error {
	set := 0
	for _, kind := range [...]struct {
		name      string
		set, able bool
	}{
		{"Setting", m.Source.Setting != "", d.Captures.MetaSetting},
		{"TransactionID", m.Source.TransactionID, d.Captures.MetaTransactionID},
		{"Variable", m.Source.Variable != "", d.Captures.MetaVariable},
		{"Table", m.Source.Table != "", d.Captures.MetaTableCell},
	} {
		if !kind.set {
			continue
		}
		set++
		if !kind.able {
			return fmt.Errorf("%s has no MetaSource.%s", d.Name, kind.name)
		}
	}
	if set != 1 {
		return errors.New("set one of Setting, TransactionID, Variable and Table")
	}
	if (m.Source.Table == "") != (m.Source.Column == "") {
		return errors.New("Table and Column belong together")
	}
	return nil
}

// complete fills in what the user left to us.
func (c *Capture) complete() error {
	t := &c.Table
	if len(t.Key) == 0 {
		return errors.New("the table has no primary key: name the columns that identify a row in Table.Key")
	}
	if t.Columns == nil {
		t.Columns = slices.Sorted(maps.Keys(c.Kinds))
	}
	if t.Watch == nil {
		t.Watch = t.Columns
	}
	for _, name := range slices.Concat(t.Key, t.Columns, t.Watch, t.TopicColumns) {
		if _, ok := c.Kinds[name]; !ok {
			return fmt.Errorf("the table has no column %q", name)
		}
	}
	for _, f := range []*string{&t.Topic, &t.Type} {
		if *f == "" {
			*f = c.On.Table
		}
	}
	if strings.HasPrefix(t.Type, cdc.ReservedTypePrefix) {
		return fmt.Errorf("the Type %q begins with the reserved %q", t.Type, cdc.ReservedTypePrefix)
	}
	return c.checkFeatures()
}

// EscapeTopic is an SQL expression: the text with what separates the parts of
// a topic escaped, so that no value can make a topic that is another's.
func EscapeTopic(text string) string {
	return "replace(replace(" + text + ", '%', '%25'), '/', '%2F')"
}

// MarkPrefix begins the comment in each trigger of Capture.
const MarkPrefix = "-- gapless: "

// Mark is a comment line for the text of a trigger. It says as what the table
// is captured, so that another capture of the same table and log is found.
func (c *Capture) Mark() string {
	mark, _ := json.Marshal(map[string]any{"topic": c.Table.Topic, "topic columns": c.Table.TopicColumns, "type": c.Table.Type}) // strings always encode
	return MarkPrefix + string(mark) + "\n"
}

// CheckMark refuses to replace the trigger with this text if it captures the
// table as something else: who follows that would wait for ever.
func (c *Capture) CheckMark(installed string) error {
	_, mark, found := strings.Cut(installed, MarkPrefix)
	mark, _, _ = strings.Cut(mark, "\n")
	if want := c.Mark(); found && MarkPrefix+mark+"\n" != want {
		return fmt.Errorf("this log captures the table already, as %s and not as %s: call RemoveCapture first", mark, strings.TrimSpace(strings.TrimPrefix(want, MarkPrefix)))
	}
	return nil
}

// JSONText is the text as a JSON string.
func JSONText(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // strings always encode
	return strings.TrimSuffix(b.String(), "\n")
}
