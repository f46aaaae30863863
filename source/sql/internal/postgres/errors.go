package postgres

import (
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// hint implements engine.Dialect.
func hint(s engine.Settings, err error) string {
	switch engine.SQLState(err) {
	case "42P01":
		return s.HintMissingTable()
	case "42501":
		return s.HintMissingRight(", USAGE and SELECT on their sequences")
	case "55P03":
		return "another transaction holds a lock on the table, and all others would queue behind waiting for it: try again when it is over"
	case "25006":
		return engine.HintReadOnly
	}
	return ""
}
