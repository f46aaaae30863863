package capture

import "slices"

// Kind names what scripts avoid on some dialects.
type Kind string

// The kinds that are avoided.
const (
	ColumnGone      Kind = "a captured column is dropped or renamed"
	ReplaceCount    Kind = "REPLACE counts the rows that it removes"
	FoundRows       Kind = "FOUND_ROWS() after a write"
	ReplacingUpdate Kind = "an UPDATE of SQLite that replaces rows of its own"
	RowOrder        Kind = "the order in which an UPDATE of SQLite takes rows of which it leaves some out"
	PartOfFailure   Kind = "what SQLite leaves of an INSERT that fails in a trigger, because a STRICT table takes no such type"
	RowidOfFailure  Kind = "last_insert_rowid() after an INSERT that a foreign key refuses"
)

// Avoid is a kind that differs with capture, as docs/sql.md says.
type Avoid struct {
	Kind    Kind
	Dialect Dialect
	Reason  string
}

// Avoided are the kinds that no script has: the server itself answers in another
// way as soon as a table has any trigger, whatever is in it.
func Avoided() []Avoid {
	return []Avoid{
		{ColumnGone, MariaDB, "a trigger names its columns, so each write fails until Capture is called again"},
		{ReplaceCount, MariaDB, "with a trigger REPLACE never updates in place"},
		{FoundRows, MariaDB, "the statements of a trigger set it"},
		{ReplacingUpdate, SQLite, "with a trigger the rows that it replaces are counted one by one"},
		{RowOrder, SQLite, "with a trigger the rows are looked up before any is changed"},
		{PartOfFailure, SQLite, "without another trigger that may fail it leaves the row in the transaction"},
		{RowidOfFailure, SQLite, "with a trigger the row's number is kept"},
	}
}

// allows reports whether scripts may have that kind.
func (g *generator) allows(k Kind) bool {
	return k == "" || !slices.ContainsFunc(g.avoided, func(a Avoid) bool { return a.Kind == k && a.Dialect == g.script.Dialect })
}
