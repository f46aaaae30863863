package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// topicText is an expression: the topic by its bytes, also where another program
// has stored a BLOB, and whatever collation the column has.
const topicText = "CAST(topic AS TEXT)"

// topicIndex is the statement that makes the index; the seq is the row's number,
// which every index of SQLite ends with.
func topicIndex(n engine.Names) string {
	return "CREATE INDEX IF NOT EXISTS " + n.Qualify(n.Table+"_topic") + " ON " + n.Quote(n.Table) + " (" + topicText + ")"
}

// topics reads each topic by the index, and SQLite merges them.
func topics(read func(where string) string) func(topics []string, from int64, limit int) string {
	return func(topics []string, from int64, limit int) string {
		each := make([]string, len(topics))
		for i, topic := range topics {
			each[i] = read(fmt.Sprintf("%s = %s AND seq >= %d", topicText, literal(topic), from))
		}
		return fmt.Sprintf("%s ORDER BY seq LIMIT %d", strings.Join(each, " UNION ALL "), limit)
	}
}

// verifyTopics wants the index of topics.
func (p check) verifyTopics(ctx context.Context, db engine.DB, n engine.Names) error {
	var found bool
	err := db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM "+n.Qualify("sqlite_master")+" WHERE type = 'index' AND tbl_name = ? AND sql LIKE '%("+topicText+")'", n.Table).Scan(&found)
	if err == nil && !found {
		p.Add("its index %s is missing or another one, run EnsureSchema", n.Table+"_topic")
	}
	return err
}
