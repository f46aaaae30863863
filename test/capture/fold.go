package capture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// fold is what the events so far say of one table.
type fold struct {
	dialect Dialect
	table   *Table
	rows    map[string]row    // by Key
	keyOf   map[string]string // the values of the key columns by Key
	named   map[string]string // Key by the values of the key columns
	jsonb   bool              // numbers come back in another form, see plainNumbers
}

func newFold(d Dialect, t *Table) *fold {
	return &fold{dialect: d, table: t, rows: map[string]row{}, keyOf: map[string]string{}, named: map[string]string{}}
}

// change is the Data of an event.
type change struct {
	Old, New map[string]any
	Omitted  map[string]string
}

// add applies an event, and says what is wrong about it. Where statements
// restate rows, a row that has several events in a transaction may have another
// old, and one that a statement wrote and removed has only a delete.
func (f *fold) add(e Event, restates, again bool) *Difference {
	if !utf8.Valid(e.Data) || !utf8.ValidString(e.Key) {
		return &Difference{Kind: "decode", Detail: fmt.Sprintf("not UTF-8: %q %q", e.Key, e.Data)}
	}
	var data change
	d := json.NewDecoder(bytes.NewReader(e.Data))
	d.UseNumber()
	if err := d.Decode(&data); err != nil {
		return &Difference{Kind: "decode", Detail: fmt.Sprintf("%s %q: %v: %s", e.Type, e.Key, err, shorten(string(e.Data)))}
	}
	what := e.Type[strings.LastIndexByte(e.Type, '.')+1:]
	if what == "truncate" {
		clear(f.rows)
		return nil
	}
	if d := f.checkForm(e, what, data); d != nil {
		return d
	}
	before, existed := f.rows[e.Key]
	var wrong *Difference
	said, mayDiffer := f.row(data.Old, data), restates && (again || data.New == nil)
	if !mayDiffer && ((data.Old != nil) != existed || existed && !said.agrees(before)) {
		wrong = &Difference{Kind: "old", Detail: shorten(fmt.Sprintf("%s %q says old %q, the events before say %q (%v)", e.Type, e.Key, said, before, existed))}
	}
	delete(f.rows, e.Key)
	if data.New != nil {
		f.rows[e.Key] = f.row(data.New, data)
	}
	return wrong
}

// checkForm compares the type with what is there, and the key with its columns.
func (f *fold) checkForm(e Event, what string, data change) *Difference {
	if want := map[string][2]bool{"insert": {false, true}, "update": {true, true}, "delete": {true, false}}[what]; want != [2]bool{data.Old != nil, data.New != nil} {
		return &Difference{Kind: "form", Detail: fmt.Sprintf("%s with data %s", e.Type, shorten(string(e.Data)))}
	}
	shown := data.New
	if shown == nil {
		shown = data.Old
	}
	var parts []string
	hidden := f.hidesKey()
	for _, c := range f.table.Columns {
		if c.Removed {
			continue
		}
		_, ok := shown[c.Name]
		if reason := data.Omitted[c.Name]; ok == (reason != "") {
			return &Difference{Kind: "form", Detail: fmt.Sprintf("column %q, omitted as %q, in %s", c.Name, reason, shorten(string(e.Data)))}
		}
	}
	for _, k := range f.table.Key {
		c := f.table.Columns[k]
		hidden = hidden || data.Omitted[c.Name] != ""
		parts = append(parts, canonical(f.dialect, c, shown[c.Name]))
	}
	if hidden {
		return nil
	}
	values := strings.Join(parts, "\x00")
	if named, ok := f.named[values]; ok && named != e.Key {
		return &Difference{Kind: "key", Detail: fmt.Sprintf("the row %q has the key %q and also %q", parts, named, e.Key)}
	}
	if keyOf, ok := f.keyOf[e.Key]; ok && keyOf != values {
		return &Difference{Kind: "key", Detail: fmt.Sprintf("the key %q is of the rows %q and %q", e.Key, keyOf, values)}
	}
	f.named[values], f.keyOf[e.Key] = e.Key, values
	return nil
}

// hidesKey reports whether JSON does not tell all values of the key apart: of
// an array it has no bounds.
func (f *fold) hidesKey() bool {
	return slices.ContainsFunc(f.table.Key, func(k int) bool { return strings.HasSuffix(f.table.Columns[k].Type, "[]") })
}

// The canonical texts of a value that an event has left out: of an insert, and of
// an update, which omits a column in both rows if it cannot carry it in one.
const (
	omitted       = "(omitted)"
	omittedInBoth = "(omitted in both)"
)

func isOmitted(value string) bool { return value == omitted || value == omittedInBoth }

// row is the canonical form of a row in an event.
func (f *fold) row(values map[string]any, of change) row {
	if values == nil {
		return nil
	}
	var parts row
	for _, c := range f.table.Columns {
		switch {
		case c.Removed:
		case of.Omitted[c.Name] != "" && of.Old != nil && of.New != nil:
			parts = append(parts, omittedInBoth)
		case of.Omitted[c.Name] != "":
			parts = append(parts, omitted)
		case f.jsonb:
			parts = append(parts, plainNumbers(canonical(f.dialect, c, values[c.Name])))
		default:
			parts = append(parts, canonical(f.dialect, c, values[c.Name]))
		}
	}
	return parts
}

func (r row) omissions() int {
	n := 0
	for _, value := range r {
		if isOmitted(value) {
			n++
		}
	}
	return n
}

// agrees reports whether two rows have the same values but for what is omitted.
func (r row) agrees(other row) bool {
	for i := range r {
		if r[i] != other[i] && !isOmitted(r[i]) && !isOmitted(other[i]) {
			return false
		}
	}
	return true
}

// compare the table's rows with those that the events say. What an event has
// omitted must be a value that it cannot carry.
func (f *fold) compare(table []row) *Difference {
	if f.jsonb {
		for _, r := range table {
			for i := range r {
				r[i] = plainNumbers(r[i])
			}
		}
	}
	var said []row
	for _, r := range f.rows {
		said = append(said, r)
	}
	onlyTable, onlySaid := minusRows(table, said), minusRows(said, table)
	slices.SortFunc(onlySaid, func(a, b row) int { return a.omissions() - b.omissions() }) // the more is omitted, the more rows agree
	for _, r := range slices.Clone(onlySaid) {
		at := slices.IndexFunc(onlyTable, func(t row) bool { return r.agrees(t) && f.mayOmit(r, t) })
		if at < 0 {
			continue
		}
		onlyTable = slices.Delete(onlyTable, at, at+1)
		at = slices.IndexFunc(onlySaid, func(s row) bool { return s.String() == r.String() })
		onlySaid = slices.Delete(onlySaid, at, at+1)
	}
	if len(onlyTable)+len(onlySaid) == 0 {
		return nil
	}
	return &Difference{Kind: "fold", Detail: unlike(texts(onlyTable), texts(onlySaid), "in the table", "in the events")}
}

// mayOmit reports whether the values that r leaves out are large or no UTF-8, or
// can have been before an update.
func (f *fold) mayOmit(r, table row) bool {
	i := 0
	for _, c := range f.table.Columns {
		if c.Removed {
			continue
		}
		carried := utf8.ValidString(table[i]) && len(table[i]) < 500_000
		if r[i] == omitted && carried || r[i] == omittedInBoth && carried && !c.omissible() {
			return false
		}
		i++
	}
	return r.omissions() > 0
}

// omissible reports whether the column has values that an event cannot carry.
func (c *Column) omissible() bool {
	return slices.ContainsFunc(c.Values, func(v string) bool { return strings.HasPrefix(v, "CAST(x'") || strings.HasPrefix(v, "REPEAT('y', ") })
}
