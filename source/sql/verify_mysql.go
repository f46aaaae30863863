package sqllog

import (
	"context"
	"database/sql"
	"strings"

	"github.com/jmoiron/sqlx"
)

// refuseMySQL looks at what the data source name and the server make of a
// connection.
func (p *problems) refuseMySQL(ctx context.Context, db *sqlx.DB) error {
	rows, err := db.QueryContext(ctx, "SHOW SESSION VARIABLES WHERE Variable_name IN ('autocommit', 'tx_isolation', 'transaction_isolation', 'character_set_client', 'character_set_results')")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // only frees it
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		switch {
		case name == "autocommit" && value != "ON":
			p.add("autocommit is off, so a connection of the pool would never see later commits: add autocommit=1 to the data source name")
		case strings.HasSuffix(name, "_isolation") && value == "READ-UNCOMMITTED":
			p.add("%s is %s, so events that are rolled back would be read: add %s='READ-COMMITTED' to the data source name", name, value, name)
		case strings.HasPrefix(name, "character_set") && value != "utf8mb4":
			p.add("%s is %s, which cannot carry every text: add charset=utf8mb4 to the data source name", name, value)
		}
	}
	return rows.Err()
}

// verifyMySQL looks at engines and indexes.
func (p *problems) verifyMySQL(ctx context.Context, db *sqlx.DB, s settings) error {
	n := s.names
	for _, t := range checked(s) {
		if err := p.verifyEngine(ctx, db, n, t.name); err != nil {
			return err
		}
	}
	for _, i := range [][2]string{{n.table, "seq"}, {n.table, "id"}, {n.table + "_head", "one"}, {n.table + "_inbox", "pos"}} {
		if err := p.verifyMySQLIndex(ctx, db, s, i[0], i[1]); err != nil {
			return err
		}
	}
	var extra string
	err := db.QueryRowContext(ctx, "SELECT extra FROM information_schema.columns WHERE column_name = 'pos' AND table_name = ? AND table_schema = coalesce(nullif(?, ''), database())",
		n.table+"_inbox", n.schema).Scan(&extra)
	if err == nil && !strings.Contains(strings.ToLower(extra), "auto_increment") {
		p.add("%s.pos is not AUTO_INCREMENT: ALTER TABLE %[1]s MODIFY pos BIGINT NOT NULL AUTO_INCREMENT", n.inbox)
	}
	return err
}

// verifyEngine refuses an engine without transactions.
func (p *problems) verifyEngine(ctx context.Context, db *sqlx.DB, n names, table string) error {
	var engine sql.NullString
	err := db.QueryRowContext(ctx, "SELECT engine FROM information_schema.tables WHERE table_name = ? AND table_schema = coalesce(nullif(?, ''), database())",
		table, n.schema).Scan(&engine)
	if err == nil && engine.String != "InnoDB" {
		p.add("%s has the engine %s, so its rows do not belong to a transaction: ALTER TABLE %[1]s ENGINE=InnoDB", n.qualify(table), engine.String)
	}
	return err
}

func (p *problems) verifyMySQLIndex(ctx context.Context, db *sqlx.DB, s settings, table, column string) error {
	var found int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.statistics s WHERE s.table_name = ? AND s.table_schema = coalesce(nullif(?, ''), database())"+
		" AND s.column_name = ? AND s.non_unique = 0 AND s.sub_part IS NULL AND s.seq_in_index = 1 AND NOT EXISTS (SELECT 1 FROM information_schema.statistics m"+
		" WHERE m.table_schema = s.table_schema AND m.table_name = s.table_name AND m.index_name = s.index_name AND m.seq_in_index > 1)",
		table, s.names.schema, column).Scan(&found)
	if err == nil && found == 0 {
		p.noIndex(s, table, column)
	}
	return err
}
