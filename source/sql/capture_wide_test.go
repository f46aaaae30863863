package sqllog_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// wide is a captured table of so many columns beside its key.
func wide(t *testing.T, v variant, columns int) (l *sqllog.Log, update func(value int) time.Duration) {
	t.Helper()
	l, db := v.fresh(t)
	names := make([]string, columns)
	for i := range names {
		names[i] = fmt.Sprintf("column_%d INTEGER", i)
	}
	mustExec(t, db, "CREATE TABLE w (id INTEGER PRIMARY KEY, "+strings.Join(names, ", ")+")")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "w"}); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "INSERT INTO w (id) VALUES (1)")
	return l, func(value int) time.Duration {
		begun := time.Now()
		mustExec(t, db, fmt.Sprintf("UPDATE w SET column_0 = %d WHERE id = 1", value))
		return time.Since(begun)
	}
}

// TestCaptureOfManyColumns has a table that is as wide as any, and wants a
// statement to cost less than in proportion to the columns.
func TestCaptureOfManyColumns(t *testing.T) {
	const few, many = 4, 400
	for _, v := range []variant{variants[0], mariadbVariant, sqliteVariant} {
		t.Run(v.name, func(t *testing.T) {
			l, wideUpdate := wide(t, v, many)
			_, narrowUpdate := wide(t, v, few)
			narrow, full := time.Hour, time.Hour
			for i := range 30 {
				narrow, full = min(narrow, narrowUpdate(i)), min(full, wideUpdate(i))
			}
			if t.Logf("%d columns %v, %d columns %v", few, narrow, many, full); full > many/few/2*narrow {
				t.Errorf("an UPDATE of one row takes %v in a table of %d columns, and %v in one of %d", full, many, narrow, few)
			}
			var data struct{ Old, New map[string]any }
			events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
			if err := json.Unmarshal(events[len(events)-1].Data, &data); err != nil {
				t.Fatal(err)
			}
			if len(data.Old) != many+1 || len(data.New) != many+1 || fmt.Sprint(data.Old["column_0"], data.New["column_0"]) != "28 29" {
				t.Errorf("the last event has %d old and %d new columns, column_0 from %v to %v", len(data.Old), len(data.New), data.Old["column_0"], data.New["column_0"])
			}
		})
	}
}

// TestSQLiteOmitsWhatIsTooLarge has rows that as JSON could be more than SQLite
// holds. It needs gigabytes of memory.
func TestSQLiteOmitsWhatIsTooLarge(t *testing.T) {
	if os.Getenv("GAPLESS_SOAK") == "" {
		t.Skip("runs with GAPLESS_SOAK")
	}
	l, db := sqliteVariant.fresh(t)
	mustExec(t, db, "CREATE TABLE k (id INTEGER PRIMARY KEY, a TEXT, b BLOB, c TEXT)")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "INSERT INTO k VALUES (1, replace(hex(zeroblob(100000000)), '00', '\x01\x01'), x'ff', 'small')")
	mustExec(t, db, "UPDATE k SET b = x'fe' WHERE id = 1")
	mustExec(t, db, "UPDATE k SET id = 2, a = 'small' WHERE id = 1")
	var got []string
	for _, e := range readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}) {
		got = append(got, e.Type+" "+e.Key+" "+string(e.Data))
	}
	want := []string{
		`k.insert 1 {"old":null,"new":{"b":"ff","c":"small","id":1},"omitted":{"a":"too large"}}`,
		`k.update 1 {"old":{"b":"ff","c":"small","id":1},"new":{"b":"fe","c":"small","id":1},"omitted":{"a":"too large"}}`,
		`k.delete 1 {"old":{"b":"fe","c":"small","id":1},"new":null,"omitted":{"a":"too large"}}`,
		`k.insert 2 {"old":null,"new":{"a":"small","b":"fe","c":"small","id":2}}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %.3000q\nwant %q", got, want)
	}
}
