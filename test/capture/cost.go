package capture

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Cost is what the rows of a statement cost as there are more of them.
type Cost struct {
	Statement string
	Rows      []int
	Plain     []time.Duration // without capture
	Captured  []time.Duration
}

// Growth is how many times longer a row takes among the most rows than among
// the fewest, with capture; 1 is linear.
func (c *Cost) Growth() float64 {
	last := len(c.Rows) - 1
	few, many := float64(c.Captured[0])/float64(c.Rows[0]), float64(c.Captured[last])/float64(c.Rows[last])
	return many / few
}

// Best takes the shorter times of another measurement.
func (c *Cost) Best(other *Cost) {
	for i := range c.Rows {
		c.Plain[i], c.Captured[i] = min(c.Plain[i], other.Plain[i]), min(c.Captured[i], other.Captured[i])
	}
}

// costTime ends a statement that would take for ever; it counts with that time.
const costTime = 20 * time.Second

// Cost measures INSERT, UPDATE, UPDATE of the key and DELETE of that many rows
// at once. Each is first run for one row in the same session, because a plan
// that is made for one row may be kept for many.
func (j *Judge) Cost(ctx context.Context, rows []int) ([]*Cost, error) {
	costs := []*Cost{{Statement: "INSERT"}, {Statement: "UPDATE"}, {Statement: "UPDATE of the key"}, {Statement: "DELETE"}}
	for _, n := range rows {
		s := costScript(j.Dialect, n)
		plain, err := j.costOf(ctx, s, false)
		if err != nil {
			return nil, err
		}
		captured, err := j.costOf(ctx, s, true)
		if err != nil {
			return nil, err
		}
		for i, c := range costs {
			c.Rows, c.Plain, c.Captured = append(c.Rows, n), append(c.Plain, plain[i]), append(c.Captured, captured[i])
		}
	}
	return costs, nil
}

// costTable is a table whose statements are measured.
func costTable() *Table {
	return &Table{
		Name: "costs", Captured: true, Key: []int{0}, Constraints: []string{"PRIMARY KEY ({key})"},
		Columns: []Column{{Name: "id", Type: "INTEGER"}, {Name: "a", Type: "VARCHAR(50)"}, {Name: "b", Type: "INTEGER"}},
	}
}

// numbers is a query of its rows, with the first and the last number.
func numbers(d Dialect) string {
	return map[Dialect]string{
		Postgres: "SELECT i, 'some text', i FROM generate_series(%d, %d) i",
		MariaDB:  "SELECT seq, 'some text', seq FROM seq_%d_to_%d",
		SQLite:   "WITH RECURSIVE n(i) AS (VALUES (%d) UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i, 'some text', i FROM n",
	}[d]
}

// costScript has four pairs of steps: for one row, then for n.
func costScript(d Dialect, n int) *Script {
	s := &Script{Dialect: d, Log: d.Logs()[0], Tables: []*Table{costTable()}}
	s.Before = map[Dialect][]string{Postgres: {"SET statement_timeout = 20000"}, MariaDB: {"SET max_statement_time = 20"}}[d]
	for _, form := range []string{
		"INSERT INTO {t} " + fmt.Sprintf(numbers(d), 0, 0), "INSERT INTO {t} " + fmt.Sprintf(numbers(d), 1, n),
		"UPDATE {t} SET b = b + 1 WHERE id = 0", "UPDATE {t} SET b = b + 1",
		"UPDATE {t} SET id = -2000000 WHERE id = 0", "UPDATE {t} SET id = -1000000 - id WHERE id > 0",
		"DELETE FROM {t} WHERE id = -2000000", "DELETE FROM {t}",
	} {
		s.Steps = append(s.Steps, Statement{Form: form})
	}
	return s
}

// costOf times every second step in one of the twins.
func (j *Judge) costOf(ctx context.Context, s *Script, captured bool) ([]time.Duration, error) {
	t := &trial{judge: j, script: s, report: &Report{}, sessions: map[int][2]*sql.Conn{}, open: map[int]bool{}, folds: map[string]*fold{}}
	defer func() { _ = t.clean(context.WithoutCancel(ctx)) }() // the next run would find what is left
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	twin := 0
	if captured {
		twin = 1
		if err := t.capture(ctx); err != nil {
			return nil, err
		}
		if j.Plant != nil {
			if err := j.Plant(ctx, j.Captured.DB, s); err != nil {
				return nil, err
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*costTime)
	defer cancel()
	var times []time.Duration
	for i := range s.Steps {
		text, _ := s.Steps[i].SQL(s.Dialect, s.Tables[0])
		begun := time.Now()
		if o := execute(ctx, t.sessions[0][twin], text, false); o.Error != "" && time.Since(begun) < costTime/2 {
			return nil, fmt.Errorf("%s: %s", text, o.Error)
		}
		if i%2 == 1 {
			times = append(times, time.Since(begun))
		}
	}
	return times, nil
}

// String shows the cost of a row for each number of rows.
func (c *Cost) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s:", c.Statement)
	for i, n := range c.Rows {
		fmt.Fprintf(&text, " %d rows %v, without capture %v;", n, c.Captured[i].Round(time.Microsecond), c.Plain[i].Round(time.Microsecond))
	}
	fmt.Fprintf(&text, " a row takes %.1f times as long among %d as among %d", c.Growth(), slices.Max(c.Rows), slices.Min(c.Rows))
	return text.String()
}
