package capture

import (
	"context"
	"slices"
	"strings"
	"time"
)

// shrinkTime is how long passes are begun.
const shrinkTime = 15 * time.Second

// Shrink returns the smallest script it finds that still differs as the given
// one does: it drops statements, then columns, rows and assignments, until
// nothing can be dropped.
func (j *Judge) Shrink(ctx context.Context, s *Script, as *Difference) (*Script, *Difference, error) {
	sh := &shrinker{judge: j, ctx: ctx, script: s, difference: as}
	for deadline := time.Now().Add(shrinkTime); sh.err == nil && time.Now().Before(deadline); {
		if !sh.pass() {
			break
		}
	}
	return sh.script, sh.difference, sh.err
}

// shrinker holds the smallest script so far.
type shrinker struct {
	judge      *Judge
	ctx        context.Context // of the one call that it serves
	script     *Script
	difference *Difference
	err        error
}

// pass tries every part once, and reports whether it dropped any.
func (s *shrinker) pass() bool {
	dropped := false
	if n := s.difference.Step + 1; n < len(s.script.Steps) {
		dropped = s.try(func(c *Script) { c.Steps = c.Steps[:n] })
	}
	for size := max(len(s.script.Steps)/2, 1); size >= 1; size /= 2 {
		for i := len(s.script.Steps) - size; i >= 0; i -= size {
			if i+size <= len(s.script.Steps) {
				dropped = s.try(func(c *Script) { c.Steps = append(c.Steps[:i:i], c.Steps[i+size:]...) }) || dropped
			}
		}
	}
	dropped = s.tables() || dropped
	for i := len(s.script.Steps) - 1; i >= 0; i-- {
		dropped = s.statement(i) || dropped
	}
	for i := len(s.script.Before) - 1; i >= 0; i-- {
		if strings.HasPrefix(s.script.Before[i], "PRAGMA") {
			continue // without it less is seen, as documented
		}
		dropped = s.try(func(c *Script) { c.Before = append(c.Before[:i:i], c.Before[i+1:]...) }) || dropped
	}
	return dropped
}

// tables drops columns, constraints, and what is made after a table.
func (s *shrinker) tables() bool {
	dropped := false
	if s.script.Twice {
		dropped = s.try(func(c *Script) { c.Twice = false })
	}
	for i, t := range s.script.Tables {
		for k := range t.Columns {
			if !t.Columns[k].Removed && !isKey(t, k) {
				dropped = s.try(func(c *Script) { c.Tables[i].Columns[k].Removed = true }) || dropped
			}
		}
		for k := len(t.After) - 1; k >= 0; k-- {
			dropped = s.try(func(c *Script) { c.Tables[i].After = append(c.Tables[i].After[:k:k], c.Tables[i].After[k+1:]...) }) || dropped
		}
		if t.Suffix != "" {
			dropped = s.try(func(c *Script) { c.Tables[i].Suffix = "" }) || dropped
		}
	}
	return dropped
}

func isKey(t *Table, column int) bool {
	return slices.Contains(t.Key, column)
}

// statement drops rows and assignments, and makes values harmless.
func (s *shrinker) statement(i int) bool {
	dropped := false
	for k := len(s.script.Steps[i].Rows) - 1; k >= 0 && len(s.script.Steps[i].Rows) > 1; k-- {
		dropped = s.try(func(c *Script) {
			c.Steps[i].Rows = append(c.Steps[i].Rows[:k:k], c.Steps[i].Rows[k+1:]...)
		}) || dropped
	}
	for k := len(s.script.Steps[i].Sets) - 1; k >= 0 && len(s.script.Steps[i].Sets) > 1; k-- {
		dropped = s.try(func(c *Script) {
			c.Steps[i].Sets = append(c.Steps[i].Sets[:k:k], c.Steps[i].Sets[k+1:]...)
		}) || dropped
	}
	return dropped
}

// try keeps a change of the script if it still differs in the same way.
func (s *shrinker) try(change func(*Script)) bool {
	if s.err != nil {
		return false
	}
	smaller := s.script.Clone()
	change(smaller)
	report, err := s.judge.Run(s.ctx, smaller)
	if err != nil {
		s.err = err
		return false
	}
	if report.Invalid != "" || report.Difference == nil || report.Difference.Kind != s.difference.Kind {
		return false
	}
	s.script, s.difference = smaller, report.Difference
	return true
}
