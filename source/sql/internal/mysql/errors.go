package mysql

import (
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// hint implements engine.Dialect. It goes by the driver's text, which begins with
// the number of the error.
func hint(s engine.Settings, err error) string {
	has := func(numbers ...string) bool { return hasNumber(err, numbers...) }
	switch {
	case has("1146"):
		return s.HintMissingTable()
	case has("1142", "1044", "1143"):
		return s.HintMissingRight("")
	case has("1665"):
		return "binlog_format is STATEMENT: set it to ROW or MIXED"
	case has("1205"):
		return "another transaction has held the lock too long: try again when it has ended"
	case has("1290", "1836"):
		return engine.HintReadOnly
	}
	return ""
}

// hasNumber reports whether the error is one of those numbers, by the driver's
// text.
func hasNumber(err error, numbers ...string) bool {
	return slices.ContainsFunc(numbers, func(n string) bool { return strings.Contains(err.Error(), "Error "+n+" ") })
}
