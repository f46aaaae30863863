package sqlite

import (
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// hint implements engine.Dialect. It goes by the texts, which are SQLite's own
// whatever the driver.
func hint(s engine.Settings, err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "no such table"):
		return s.HintMissingTable()
	case strings.Contains(text, "database is locked"), strings.Contains(text, "database table is locked"):
		return "another connection is writing: let connections wait, by _pragma=busy_timeout(10000), and transactions that write begin with the lock, by _txlock=immediate"
	case strings.Contains(text, "unable to open database file"):
		return "the file cannot be opened: its folder must exist, and this user must be allowed to write there"
	case strings.Contains(text, "readonly database"):
		return "the file is read-only: a log needs to write its head table"
	}
	return ""
}
