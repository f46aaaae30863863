package mysql

import (
	"context"
	"database/sql"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Refuse implements engine.Schema: it looks at what the data source name and the
// server make of a connection.
func (schema) Refuse(ctx context.Context, q engine.Querier, _ engine.Settings) (p engine.Problems, err error) {
	rows, err := q.QueryContext(ctx, "SHOW SESSION VARIABLES WHERE Variable_name IN ('autocommit', 'tx_isolation', 'transaction_isolation', 'character_set_client', 'character_set_results', 'log_bin', 'binlog_format')")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	values := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		values[name] = value
		switch {
		case name == "autocommit" && value != "ON":
			p.Add("autocommit is off, so a connection of the pool would never see later commits: add autocommit=1 to the data source name")
		case strings.HasSuffix(name, "_isolation") && value == "READ-UNCOMMITTED":
			p.Add("%s is %s, so events that are rolled back would be read: add %s='READ-COMMITTED' to the data source name", name, value, name)
		case strings.HasPrefix(name, "character_set") && value != "utf8mb4":
			p.Add("%s is %s, which cannot carry every text: add charset=utf8mb4 to the data source name", name, value)
		}
	}
	if values["log_bin"] == "ON" && values["binlog_format"] == "STATEMENT" {
		p.Add("binlog_format is STATEMENT, with which the server refuses every read of the log (error 1665): set it to ROW or MIXED")
	}
	return p, rows.Err()
}

// check collects what is wrong.
type check struct{ *engine.Problems }

// Verify implements engine.Schema.
func (schema) Verify(ctx context.Context, db engine.DB, s engine.Settings) (engine.Problems, error) {
	return engine.Compare(ctx, db, s, engine.Need{
		Head: engine.OneType("one smallint", "version int", "epoch varchar", "floor bigint", "head bigint", "server varchar"),
		Log:  engine.OneType("seq bigint", "id varbinary", "topic longtext", "type longtext", "key longtext", "time bigint", "data longblob", "meta longtext"),
		Also: func(ctx context.Context, p *engine.Problems) error { return check{p}.verify(ctx, db, s) },
	})
}

// verify looks at engines and indexes.
func (p check) verify(ctx context.Context, db engine.DB, s engine.Settings) error {
	n := s.Names
	for _, table := range s.Tables() {
		if err := p.verifyEngine(ctx, db, n, table); err != nil {
			return err
		}
	}
	for _, i := range [][2]string{{n.Table, "seq"}, {n.Table, "id"}, {n.Table + "_head", "one"}, {n.Table + "_inbox", "pos"}} {
		if err := p.verifyIndex(ctx, db, s, i[0], i[1]); err != nil {
			return err
		}
	}
	var topics int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.statistics a JOIN information_schema.statistics b USING (table_schema, table_name, index_name)"+
		" WHERE a.table_name = ? AND a.table_schema = coalesce(nullif(?, ''), database()) AND a.column_name = 'topic_hash' AND a.seq_in_index = 1 AND b.column_name = 'seq' AND b.seq_in_index = 2",
		n.Table, n.Schema).Scan(&topics)
	if err != nil {
		return err
	}
	if topics == 0 {
		p.Add("it has no index of topics: ALTER TABLE %s ADD COLUMN %s, ADD KEY %s (topic_hash, seq)", n.Log, topicHash, n.Quote(n.Table+"_topic"))
	}
	var extra string
	err = db.QueryRowContext(ctx, "SELECT extra FROM information_schema.columns WHERE column_name = 'pos' AND table_name = ? AND table_schema = coalesce(nullif(?, ''), database())",
		n.Table+"_inbox", n.Schema).Scan(&extra)
	if err == nil && !strings.Contains(strings.ToLower(extra), "auto_increment") {
		p.Add("%s.pos is not AUTO_INCREMENT: ALTER TABLE %[1]s MODIFY pos BIGINT NOT NULL AUTO_INCREMENT", n.Inbox)
	}
	return err
}

// verifyEngine refuses an engine without transactions.
func (p check) verifyEngine(ctx context.Context, db engine.DB, n engine.Names, table string) error {
	var storage sql.NullString
	err := db.QueryRowContext(ctx, "SELECT engine FROM information_schema.tables WHERE table_name = ? AND table_schema = coalesce(nullif(?, ''), database())",
		table, n.Schema).Scan(&storage)
	if err == nil && storage.String != "InnoDB" {
		p.Add("%s has the engine %s, so its rows do not belong to a transaction: ALTER TABLE %[1]s ENGINE=InnoDB", n.Qualify(table), storage.String)
	}
	return err
}

func (p check) verifyIndex(ctx context.Context, db engine.DB, s engine.Settings, table, column string) error {
	var found int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.statistics s WHERE s.table_name = ? AND s.table_schema = coalesce(nullif(?, ''), database())"+
		" AND s.column_name = ? AND s.non_unique = 0 AND s.sub_part IS NULL AND s.seq_in_index = 1 AND NOT EXISTS (SELECT 1 FROM information_schema.statistics m"+
		" WHERE m.table_schema = s.table_schema AND m.table_name = s.table_name AND m.index_name = s.index_name AND m.seq_in_index > 1)",
		table, s.Names.Schema, column).Scan(&found)
	if err == nil && found == 0 {
		p.NoIndex(s, table, column, false)
	}
	return err
}
