package capture

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Judge runs scripts in two databases that are equal but for capture.
type Judge struct {
	Dialect         Dialect
	Plain, Captured Twin
	Logs            []*Log // in Captured
	// Plant, if not nil, spoils capture before the steps, to try the judge.
	Plant func(ctx context.Context, db *sqlx.DB, s *Script) error
}

// Twin is one of the databases.
type Twin struct {
	DB       *sqlx.DB // of the judge
	Sessions *sqlx.DB // of the scripts; it keeps no connection
}

// Difference is one that capture makes.
type Difference struct {
	Kind   string // error, affected, rows, final, fold, old, key, form, decode, verify
	Step   int    // index of the step, len(Steps) after the last one
	Detail string
}

// Report is what became of a script.
type Report struct {
	Invalid    string // why the script does not even run without capture
	Refused    string // what Capture said
	Statements int
	Failed     int // statements that fail with and without capture
	Events     int
	Folds      int // comparisons of a table with its events
	Difference *Difference
}

// statementTime is how long a statement may take.
const statementTime = 20 * time.Second

// trial is one run of a script.
type trial struct {
	judge    *Judge
	script   *Script
	report   *Report
	sessions map[int][2]*sql.Conn
	open     map[int]bool // sessions with a transaction
	logs     []*Log
	folds    map[string]*fold // by log and topic
	restates bool             // a statement since the last comparison
}

// Run executes the script. An error says that the machinery failed.
func (j *Judge) Run(ctx context.Context, s *Script) (*Report, error) {
	t := &trial{judge: j, script: s, report: &Report{}, sessions: map[int][2]*sql.Conn{}, open: map[int]bool{}, folds: map[string]*fold{}}
	err := t.run(ctx)
	if cerr := t.clean(context.WithoutCancel(ctx)); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("%s, seed %d: %w", s.Dialect, s.Seed, err)
	}
	return t.report, nil
}

func (t *trial) run(ctx context.Context) error {
	if err := t.prepare(ctx); err != nil || t.report.Invalid != "" {
		return err
	}
	if err := t.capture(ctx); err != nil {
		return err
	}
	if t.judge.Plant != nil && t.report.Refused == "" {
		if err := t.judge.Plant(ctx, t.judge.Captured.DB, t.script); err != nil {
			return err
		}
	}
	for i := range t.script.Steps {
		if err := t.step(ctx, i); err != nil || t.report.Difference != nil {
			return err
		}
	}
	return t.finish(ctx)
}

// prepare makes the tables in both databases.
func (t *trial) prepare(ctx context.Context) error {
	s := t.script
	statements := append([]string{}, s.Before...)
	for _, table := range s.Tables {
		statements = append(statements, table.CreateSQL(s.Dialect)...)
	}
	conns, err := t.session(ctx, 0)
	if err != nil {
		return err
	}
	for _, text := range statements {
		for i, conn := range conns {
			if _, err := conn.ExecContext(ctx, In(i, text)); err != nil {
				t.report.Invalid = fmt.Sprintf("%s: %v", text, err)
				return nil
			}
		}
	}
	return nil
}

// capture captures the tables; a refusal leaves the rest of the script to be
// compared without events.
func (t *trial) capture(ctx context.Context) error {
	for i, l := range t.judge.Logs {
		if l.name == t.script.Log {
			t.logs = append(t.logs, l)
			if t.script.Twice {
				t.logs = append(t.logs, t.judge.Logs[(i+1)%len(t.judge.Logs)])
			}
		}
	}
	for _, l := range t.logs {
		for i, table := range t.script.Tables {
			if !table.Captured {
				continue
			}
			if err := l.capture(ctx, i, table); err != nil {
				t.report.Refused = err.Error()
				clear(t.folds)
				return nil
			}
			f := newFold(t.script.Dialect, table)
			f.jsonb = l.name == jsonbLog
			t.folds[l.name+" "+topicOf(i)] = f
		}
		if err := l.skip(ctx); err != nil {
			return err
		}
	}
	return nil
}

// session is a pair of connections, one to each database.
func (t *trial) session(ctx context.Context, number int) ([2]*sql.Conn, error) {
	if conns, ok := t.sessions[number]; ok {
		return conns, nil
	}
	var conns [2]*sql.Conn
	for i, db := range []*sqlx.DB{t.judge.Plain.Sessions, t.judge.Captured.Sessions} {
		conn, err := db.Conn(ctx)
		if err != nil {
			return conns, err
		}
		conns[i] = conn
		if t.script.Dialect == Postgres { // as any trigger does; its settings are then checked
			if _, err := conn.ExecContext(ctx, "LOAD 'plpgsql'"); err != nil {
				return conns, err
			}
		}
	}
	t.sessions[number] = conns
	return conns, nil
}

// step runs one statement in both databases.
func (t *trial) step(ctx context.Context, index int) error {
	step := &t.script.Steps[index]
	text, ok := step.SQL(t.script.Dialect, t.script.Tables[step.Table])
	if !ok {
		return nil
	}
	conns, err := t.session(ctx, step.Session)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	plain := execute(ctx, conns[0], In(0, text), step.Query)
	captured := execute(ctx, conns[1], In(1, text), step.Query)
	t.report.Statements++
	if plain.Error != "" {
		t.report.Failed++
	}
	if step.NoCount {
		captured.Affected = plain.Affected
	}
	if d := compare(plain, captured); d != nil {
		t.differs(d, index)
		return nil
	}
	t.open[step.Session] = inTransaction(t.script.Dialect, text, plain.Error != "", t.open[step.Session])
	t.restates = t.restates || step.Restates
	if step.Unseen {
		clear(t.folds)
	}
	return t.foldAll(ctx, index)
}

func (t *trial) differs(d *Difference, step int) {
	if t.report.Difference == nil {
		d.Step = step
		t.report.Difference = d
	}
}

// inTransaction says whether the session has a transaction after a statement.
func inTransaction(d Dialect, text string, failed, before bool) bool {
	word, rest, _ := strings.Cut(strings.ToUpper(text), " ")
	switch word {
	case "BEGIN", "START":
		return before || !failed
	case "COMMIT", "END", "ROLLBACK":
		return before && (strings.HasPrefix(rest, "TO ") || strings.HasSuffix(rest, "AND CHAIN"))
	case "ALTER", "CREATE", "DROP", "TRUNCATE", "RENAME":
		return before && d != MariaDB // which commits
	}
	return before
}

// foldAll compares each table with its events, unless something is not yet
// committed.
func (t *trial) foldAll(ctx context.Context, index int) error {
	for _, open := range t.open {
		if open {
			return nil
		}
	}
	if len(t.folds) == 0 {
		return nil
	}
	for _, l := range t.logs {
		events, err := l.events(ctx)
		if err != nil {
			return err
		}
		t.report.Events += len(events)
		times := map[string]int{}
		for _, e := range events {
			times[e.Topic+"\x00"+e.Key]++
		}
		for _, e := range events {
			f, ok := t.folds[l.name+" "+e.Topic]
			if !ok {
				t.differs(&Difference{Kind: "form", Detail: fmt.Sprintf("an event of topic %q", e.Topic)}, index)
				return nil
			}
			again := times[e.Topic+"\x00"+e.Key] > 1
			if d := f.add(e, t.restates || f.table.Restates, again); d != nil {
				t.differs(d, index)
				return nil
			}
		}
	}
	t.restates = false
	return t.compareFolds(ctx, index)
}

func (t *trial) compareFolds(ctx context.Context, index int) error {
	for name, f := range t.folds {
		rows, err := content(ctx, t.judge.Captured.DB, t.script.Dialect, f.table, 1)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t.report.Folds++
		if d := f.compare(rows); d != nil {
			t.differs(d, index)
			return nil
		}
	}
	return nil
}

// finish ends what is open and compares the final tables.
func (t *trial) finish(ctx context.Context) error {
	last := len(t.script.Steps)
	for number, conns := range t.sessions {
		for _, conn := range conns {
			_, _ = conn.ExecContext(ctx, "ROLLBACK") // which fails where nothing is open
		}
		t.open[number] = false
	}
	if err := t.foldAll(ctx, last); err != nil || t.report.Difference != nil {
		return err
	}
	for _, table := range t.script.Tables {
		plain, err1 := content(ctx, t.judge.Plain.DB, t.script.Dialect, table, 0)
		captured, err2 := content(ctx, t.judge.Captured.DB, t.script.Dialect, table, 1)
		if d := unlikeRows(plain, captured); d != "" || (err1 == nil) != (err2 == nil) {
			t.differs(&Difference{Kind: "final", Detail: fmt.Sprintf("%v, %v: %s", err1, err2, d)}, last)
			return nil
		}
	}
	for name := range t.folds {
		for _, l := range t.logs {
			for i, table := range t.script.Tables {
				if name != l.name+" "+topicOf(i) {
					continue
				}
				if err := l.verify(ctx, i, table); err != nil {
					t.differs(&Difference{Kind: "verify", Detail: err.Error()}, last)
				}
			}
		}
	}
	return nil
}
