package mysql

import (
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// topicHash is the column that the index of topics has, because an index cannot
// hold every text and in order of seq as well. Topics with the same hash are told
// apart by their bytes.
const topicHash = "topic_hash BIGINT GENERATED ALWAYS AS (CRC32(topic)) VIRTUAL"

// topics looks for the seqs of each topic in the index, which holds them, and
// reads the rows of the lowest ones. With topic_hash = the server would enter the
// index at the topic's first event, and pass over all up to from.
func topics(n engine.Names, read func(where string) string) func(topics []string, from int64, limit int) string {
	return func(topics []string, from int64, limit int) string {
		each := make([]string, len(topics))
		for i, topic := range topics {
			each[i] = fmt.Sprintf("(SELECT seq FROM %s WHERE topic_hash >= %d AND topic_hash <= %[2]d AND seq >= %d AND CAST(topic AS BINARY) = X'%x' ORDER BY topic_hash, seq LIMIT %d)",
				n.Log, crc32.ChecksumIEEE([]byte(topic)), from, topic, limit)
		}
		return read(fmt.Sprintf("seq IN (SELECT seq FROM (SELECT seq FROM (%s) every ORDER BY seq LIMIT %d) lowest)", strings.Join(each, " UNION ALL "), limit))
	}
}
