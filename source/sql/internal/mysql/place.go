package mysql

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// placer implements engine.Placer.
func placer() engine.Placer {
	return engine.Placer{
		Statements: placeStatements,
		State:      engine.OneType("name varbinary", "revision bigint", "generation bigint", "position varchar", "paused tinyint"),
		Lease:      engine.OneType("name varbinary", "holder varchar", "generation bigint", "expires bigint"),
		Parked:     engine.OneType("name varbinary", "seq char", "entry longtext"),
		Also: func(ctx context.Context, db engine.DB, n engine.Names, p *engine.Problems) error {
			return check{p}.verifyEngine(ctx, db, n, n.Table)
		},
		Now:     now,
		Insert:  "INSERT IGNORE INTO ",
		Replace: " ON DUPLICATE KEY UPDATE entry = VALUES(entry)",
		Lock:    " FOR UPDATE NOWAIT",
		Write:   engine.ReadCommitted,
		Holders: placeHolders,
		Enter:   enterPlace,
		Leave:   leavePlace,
	}
}

func placeStatements(n engine.PlaceNames) []string {
	name := fmt.Sprintf("name VARBINARY(%d)", maxWorkerBytes)
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.State + " (" + name + " PRIMARY KEY, revision BIGINT NOT NULL, generation BIGINT NOT NULL," +
			" position VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, paused TINYINT(1) NOT NULL) ENGINE=InnoDB",
		"CREATE TABLE IF NOT EXISTS " + n.Lease + " (" + name + " PRIMARY KEY, holder VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL," +
			" generation BIGINT NOT NULL, expires BIGINT NOT NULL) ENGINE=InnoDB",
		"CREATE TABLE IF NOT EXISTS " + n.Parked + " (" + name + ", seq CHAR(20) CHARACTER SET ascii COLLATE ascii_bin," +
			" entry LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, PRIMARY KEY (name, seq)) ENGINE=InnoDB",
	}
}

// maxWorkerBytes is cdc.MaxWorkerBytes.
const maxWorkerBytes = 128

// enterPlace sets wait_timeout, after which MySQL and MariaDB close a silent
// connection, also in a transaction. It is the session's.
func enterPlace(ctx context.Context, tx engine.Session, n engine.PlaceNames, e engine.PlaceEntry) (uint64, string, error) {
	var before int64
	revision, err := engine.ReadRevision(ctx, tx, "SELECT revision, @@SESSION.wait_timeout FROM "+n.State+" WHERE name = ?", []any{e.Worker}, &before)
	seconds := int64((e.Idle + time.Second - 1) / time.Second)
	if err != nil || revision != e.Revision || seconds == 0 || before <= seconds {
		return revision, "", err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("SET SESSION wait_timeout = %d", seconds)); err != nil {
		return revision, "", err
	}
	return revision, fmt.Sprintf("SET SESSION wait_timeout = %d", before), nil
}

// leavePlace ends the transaction by a statement, so that the session is
// restored behind the commit, on the connection that the transaction still has.
func leavePlace(ctx context.Context, tx engine.Session, statement, restore string) error {
	if _, err := tx.ExecContext(ctx, statement); err != nil {
		return err
	}
	if restore != "" {
		// If it fails, the server closes the connection when it was idle for so long.
		_, _ = tx.ExecContext(ctx, restore)
	}
	return nil
}

// placeHolders asks for transactions that have locked rows. Without the right
// PROCESS it cannot know them.
func placeHolders(ctx context.Context, q engine.Querier, _ engine.PlaceNames, err error) string {
	if !hasNumber(err, "1205", "3572") {
		return ""
	}
	list, err := engine.List[string](ctx, q, "SELECT CONCAT('connection ', t.trx_mysql_thread_id, COALESCE(CONCAT(' at ', p.host), ''), ', ', LOWER(COALESCE(p.command, '')),"+
		" ' for ', COALESCE(p.time, 0), ' s') FROM information_schema.innodb_trx t LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"+
		" WHERE t.trx_rows_locked > 0 AND t.trx_mysql_thread_id <> CONNECTION_ID()")
	if err != nil || len(list) == 0 {
		return "another transaction"
	}
	return "one of " + strings.Join(list, "; ")
}
