package capture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Dialect of a script.
type Dialect string

// The dialects that scripts are made for.
const (
	Postgres Dialect = "postgres"
	MariaDB  Dialect = "mariadb"
	SQLite   Dialect = "sqlite"
)

// Quote makes an identifier of any name.
func (d Dialect) Quote(name string) string {
	if d == MariaDB {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Script is a case: what is made, what is captured, and what is done then.
type Script struct {
	Dialect Dialect
	Seed    uint64
	Log     string      // name of the log that captures; see Logs
	Twice   bool        // a second log captures the tables, too
	Before  []string    // statements before the tables exist: schemas, types, functions
	Tables  []*Table    // in the order in which they are made
	Steps   []Statement // after Capture
}

// Table of a script.
type Table struct {
	Schema, Name string // unquoted; Schema may be empty
	Create       string // "CREATE TABLE", or with a word between
	Columns      []Column
	Key          []int    // indexes of the columns that identify a row
	NameKey      bool     // Capture is told the key, else it looks for the primary key
	Constraints  []string // templates
	Suffix       string   // after the closing parenthesis
	After        []string // templates of statements after it
	Captured     bool
	Partitions   []string // statements may name one of them instead
	// Restates: a statement can write to a row more than once, by a trigger, a
	// cascade or a key that is checked late. An event then says the row's last
	// state, and its old is not what the event before said.
	Restates bool
}

// Column of a table.
type Column struct {
	Name, Type string
	Suffix     string   // NOT NULL, DEFAULT …
	Values     []string // expressions to write, the first one harmless
	Bulk       string   // an expression over i that is another value for each i, or empty
	Generated  bool     // by the database: never written
	Removed    bool     // by the shrinker
}

// Statement is one step in a session.
type Statement struct {
	Session int
	Table   int        // index of the table that the tokens of Form stand for
	Form    string     // template, see SQL
	Rows    [][]string // an expression for each column of the table
	Sets    []Set      // assignments of an UPDATE
	Query   bool       // its rows are compared
	NoCount bool       // its count of rows is not compared
	Unseen  bool       // documented: no trigger sees what it does, so folding ends here
	// Restates: as that of a table, for the events of this statement.
	Restates bool
}

// Set is an assignment.
type Set struct {
	Column int
	Value  string
}

// twin stands in a schema for the number of the twin: two databases of a server
// share its other databases.
const twin = "{twin}"

// In is the text for one of the twins.
func In(number int, text string) string { return strings.ReplaceAll(text, twin, strconv.Itoa(number)) }

// QualifiedName is the table's quoted name with its schema.
func (t *Table) QualifiedName(d Dialect) string {
	if t.Schema == "" {
		return d.Quote(t.Name)
	}
	return d.Quote(t.Schema) + "." + d.Quote(t.Name)
}

// CreateSQL are the statements that make the table.
func (t *Table) CreateSQL(d Dialect) []string {
	var parts []string
	for _, c := range t.Columns {
		if !c.Removed {
			parts = append(parts, strings.TrimSpace(d.Quote(c.Name)+" "+c.Type+" "+c.Suffix))
		}
	}
	for _, c := range t.Constraints {
		if text, ok := t.expand(d, c); ok {
			parts = append(parts, text)
		}
	}
	create := t.Create
	if create == "" {
		create = "CREATE TABLE"
	}
	suffix, _ := t.expand(d, t.Suffix)
	statements := []string{strings.TrimSpace(fmt.Sprintf("%s %s (%s) %s", create, t.QualifiedName(d), strings.Join(parts, ", "), suffix))}
	for _, a := range t.After {
		if text, ok := t.expand(d, a); ok {
			statements = append(statements, text)
		}
	}
	return statements
}

// expand replaces the tokens that need only the table:
//
//	{t} its name   {key} its key columns   {c0} {c1} … columns   {k0} … key columns
//
// It is false if a column that is named has been removed.
func (t *Table) expand(d Dialect, form string) (string, bool) {
	pairs := []string{"{t}", t.QualifiedName(d)}
	var key []string
	for i, k := range t.Key {
		key = append(key, d.Quote(t.Columns[k].Name))
		pairs = append(pairs, fmt.Sprintf("{k%d}", i), key[i])
	}
	pairs = append(pairs, "{key}", strings.Join(key, ", "))
	for i, c := range t.Columns {
		token := fmt.Sprintf("{c%d}", i)
		if c.Removed && strings.Contains(form, token) {
			return "", false
		}
		pairs = append(pairs, token, d.Quote(c.Name))
	}
	return strings.NewReplacer(pairs...).Replace(form), true
}

// SQL is the statement's text; false if nothing remains of it. Tokens besides
// those of the table are
//
//	{cols} the columns that are written   {rows} VALUES of Rows, without the word
//	{set} the assignments   {bulk} the columns' expressions over i
func (s *Statement) SQL(d Dialect, t *Table) (string, bool) {
	var written, bulk []string
	for _, c := range t.Columns {
		if !c.Removed && !c.Generated {
			written, bulk = append(written, d.Quote(c.Name)), append(bulk, c.bulk())
		}
	}
	var rows, sets []string
	for _, row := range s.Rows {
		rows = append(rows, "("+strings.Join(t.writable(row), ", ")+")")
	}
	for _, a := range s.Sets {
		if c := t.Columns[a.Column]; !c.Removed {
			sets = append(sets, d.Quote(c.Name)+" = "+a.Value)
		}
	}
	if len(sets) == 0 && strings.Contains(s.Form, "{set}") || len(rows) == 0 && strings.Contains(s.Form, "{rows}") {
		return "", false
	}
	form := strings.NewReplacer("{cols}", strings.Join(written, ", "), "{rows}", strings.Join(rows, ", "),
		"{set}", strings.Join(sets, ", "), "{bulk}", strings.Join(bulk, ", ")).Replace(s.Form)
	return t.expand(d, form)
}

func (c *Column) bulk() string {
	if c.Bulk != "" {
		return c.Bulk
	}
	if len(c.Values) == 0 {
		return "NULL"
	}
	return c.Values[0]
}

// writable are the values of the columns that can be written.
func (t *Table) writable(row []string) []string {
	var values []string
	for i, c := range t.Columns {
		if !c.Removed && !c.Generated {
			values = append(values, row[i])
		}
	}
	return values
}

// Clone is a copy that shares nothing which a shrinker changes.
func (s *Script) Clone() *Script {
	c := *s
	c.Before = slices.Clone(s.Before)
	c.Steps = slices.Clone(s.Steps)
	c.Tables = nil
	for _, t := range s.Tables {
		table := *t
		table.Columns = slices.Clone(t.Columns)
		table.Constraints, table.After = slices.Clone(t.Constraints), slices.Clone(t.After)
		c.Tables = append(c.Tables, &table)
	}
	return &c
}

// SQL is the script as text that a person can run.
func (s *Script) SQL() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- %s, seed %d, log %s", s.Dialect, s.Seed, s.Log)
	if s.Twice {
		b.WriteString(", and a second log")
	}
	b.WriteString("\n")
	for _, statement := range s.Before {
		fmt.Fprintf(&b, "%s;\n", statement)
	}
	for _, t := range s.Tables {
		for _, statement := range t.CreateSQL(s.Dialect) {
			fmt.Fprintf(&b, "%s;\n", statement)
		}
	}
	for _, t := range s.Tables {
		if t.Captured {
			fmt.Fprintf(&b, "-- Capture %s, key %s\n", t.QualifiedName(s.Dialect), t.keyNames())
		}
	}
	session := 0
	for i := range s.Steps {
		text, ok := s.Steps[i].SQL(s.Dialect, s.Tables[s.Steps[i].Table])
		if s.Steps[i].Session != session {
			session = s.Steps[i].Session
			fmt.Fprintf(&b, "-- session %d\n", session)
		}
		if ok {
			fmt.Fprintf(&b, "%s;\n", shorten(text))
		}
	}
	return b.String()
}

// shorten keeps a text readable that has a large value in it.
func shorten(text string) string {
	if len(text) <= 2000 {
		return text
	}
	return text[:1000] + " … " + text[len(text)-500:]
}

func (t *Table) keyNames() []string {
	var names []string
	for _, k := range t.Key {
		names = append(names, t.Columns[k].Name)
	}
	return names
}
