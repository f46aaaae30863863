package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// topicHash is an expression: what the index of topics has in the place of a
// topic, because an index row cannot hold every text. It is that of the bytes,
// whatever the database sorts by.
func topicHash(topic string) string { return "hashtextextended(" + topic + ` COLLATE "C", 0)` }

// byTopics makes the log read topics, each by the index, merged by the server.
// In another encoding than UTF8 a filter may have a text that cannot be sent.
func byTopics(ctx context.Context, b *engine.Base) error {
	var utf8 bool
	if err := b.DB.QueryRowContext(ctx, "SELECT current_setting('server_encoding') = 'UTF8'").Scan(&utf8); err != nil || !utf8 || b.Settings.Mapped {
		return err
	}
	b.Topics = func(topics []string, from int64, limit int) string {
		each := make([]string, len(topics))
		for i, topic := range topics {
			each[i] = b.Select(fmt.Sprintf(`%s = %s AND topic COLLATE "C" = %s AND seq >= %d`, topicHash("topic"), topicHash(literal(topic)), literal(topic), from))
		}
		return fmt.Sprintf("SELECT * FROM (%s) each ORDER BY seq LIMIT %d", strings.Join(each, " UNION ALL "), limit)
	}
	return nil
}

// verifyTopics wants the index of topics.
func (p check) verifyTopics(ctx context.Context, db engine.DB, n engine.Names) error {
	var found bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 2"+
		" AND pg_get_indexdef(i.indexrelid, 1, true) LIKE 'hashtextextended(topic COLLATE \"C\", %' AND pg_get_indexdef(i.indexrelid, 2, true) = 'seq')", n.Log).Scan(&found)
	if err == nil && !found {
		p.Add("its index %s is missing or another one, run EnsureSchema", n.Table+"_topic")
	}
	return err
}
