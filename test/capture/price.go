package capture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Price is what a statement of so many rows takes, in pairs of turns.
type Price struct {
	Statement       string
	Rows            int
	Plain, Captured []time.Duration // one of each pair
}

// Ratio is the median over the pairs: with capture against without.
func (p *Price) Ratio() float64 {
	return p.median(func(plain, captured time.Duration) float64 { return float64(captured) / float64(plain) })
}

// PerRow is the median over the pairs of what capture adds to a row.
func (p *Price) PerRow() time.Duration {
	return time.Duration(p.median(func(plain, captured time.Duration) float64 { return float64(captured-plain) / float64(p.Rows) }))
}

// PlainRow is the median of a row without capture.
func (p *Price) PlainRow() time.Duration {
	return time.Duration(p.median(func(plain, _ time.Duration) float64 { return float64(plain) / float64(p.Rows) }))
}

func (p *Price) median(of func(plain, captured time.Duration) float64) float64 {
	values := make([]float64, len(p.Plain))
	for i := range values {
		values[i] = of(p.Plain[i], p.Captured[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// priceForms insert, update and delete rows 1 to n of a table with 20,000
// others. One session runs all of them, so each plan has been made before.
func priceForms(d Dialect, n int) []string {
	return []string{
		"INSERT INTO {t} " + fmt.Sprintf(numbers(d), 1, n),
		fmt.Sprintf("UPDATE {t} SET b = b + 1 WHERE id <= %d", n),
		fmt.Sprintf("DELETE FROM {t} WHERE id <= %d", n),
	}
}

// Price measures INSERT, UPDATE and DELETE of n rows in that many pairs. The
// turns of a pair follow each other at once, and the first of them is the plain
// one in every second pair, so that what else runs on the machine hits both.
// Events are numbered between the pairs, not in them.
func (j *Judge) Price(ctx context.Context, n, pairs int) ([]*Price, error) {
	s := &Script{Dialect: j.Dialect, Log: j.Dialect.Logs()[0], Tables: []*Table{costTable()}}
	t := &trial{judge: j, script: s, report: &Report{}, sessions: map[int][2]*sql.Conn{}, open: map[int]bool{}, folds: map[string]*fold{}}
	defer func() { _ = t.clean(context.WithoutCancel(ctx)) }() // the next run would find what is left
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	if _, err := t.turns(ctx, "INSERT INTO {t} "+fmt.Sprintf(numbers(j.Dialect), 1_000_001, 1_020_000), 0); err != nil {
		return nil, err
	}
	if err := t.capture(ctx); err != nil {
		return nil, err
	}
	prices := []*Price{{Statement: "INSERT"}, {Statement: "UPDATE"}, {Statement: "DELETE"}}
	for pair := range pairs + 1 {
		for i, form := range priceForms(j.Dialect, n) {
			times, err := t.turns(ctx, form, pair%2)
			if err != nil {
				return nil, err
			}
			if p := prices[i]; pair > 0 { // the first one warms up
				p.Rows, p.Plain, p.Captured = n, append(p.Plain, times[0]), append(p.Captured, times[1])
			}
		}
		if _, err := t.logs[0].log.Bounds(ctx); err != nil {
			return nil, err
		}
	}
	return prices, nil
}

// turns runs a statement in both twins, beginning with the given one.
func (t *trial) turns(ctx context.Context, form string, first int) (times [2]time.Duration, err error) {
	text, _ := (&Statement{Form: form}).SQL(t.script.Dialect, t.script.Tables[0])
	for i := range times {
		number := (first + i) % 2
		begun := time.Now()
		o := execute(ctx, t.sessions[0][number], text, false)
		times[number] = time.Since(begun)
		if o.Error != "" {
			return times, errors.New(o.Error)
		}
	}
	return times, nil
}
