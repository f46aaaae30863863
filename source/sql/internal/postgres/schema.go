package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// schema implements engine.Schema.
type schema struct{}

// Alone runs fn in a transaction. What the processes before it have made is
// visible whatever isolation is the default.
func (schema) Alone(ctx context.Context, db engine.DB, s engine.Settings, fn func(tx engine.Session) error) error {
	return engine.ReadCommitted(ctx, db, func(tx engine.Session) error {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "gapless schema "+s.Name); err != nil {
			return err
		}
		return fn(tx)
	})
}

// newEpoch is an expression: a new epoch.
const newEpoch = "left(md5(gen_random_uuid()::text), 16)"

// Statements implements engine.Schema. A log that is made anew beside a head that
// was left behind begins a new epoch.
func (schema) Statements(s engine.Settings) []string {
	n := s.Names
	events := `topic text NOT NULL DEFAULT '', type text NOT NULL DEFAULT '', key text NOT NULL DEFAULT '', ` +
		`time timestamptz NOT NULL DEFAULT clock_timestamp(), data bytea, meta jsonb`
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + n.Head + " (one smallint NOT NULL CHECK (one = 1), version integer NOT NULL, epoch text NOT NULL, " +
			"floor bigint NOT NULL, head bigint NOT NULL, server text NOT NULL)",
		createIndex(n, "UNIQUE INDEX", n.Table+"_head_latest", n.Head+" (head)"),
	}
	seq := "bigint PRIMARY KEY"
	if s.Mode == engine.Fence || s.Mode == engine.AtCommit {
		seq = "bigserial PRIMARY KEY"
	}
	if !s.Mapped {
		statements = append(statements,
			onlyIf(isMissing(n.Log), "UPDATE "+n.Head+" SET epoch = "+newEpoch+", floor = 0, head = 0"),
			"CREATE TABLE IF NOT EXISTS "+n.Log+" (seq "+seq+", id text, "+events+")",
			createIndex(n, "UNIQUE INDEX", n.Table+"_id", n.Log+" (id) WHERE id IS NOT NULL"),
			createIndex(n, "INDEX", n.Table+"_topic", n.Log+" ("+topicHash("topic")+", seq)"),
		)
	}
	if s.HasInbox() {
		statements = append(statements,
			"CREATE TABLE IF NOT EXISTS "+n.Inbox+" (pos bigint NOT NULL DEFAULT "+position+", id text, "+events+
				") WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)",
			createIndex(n, "INDEX", n.Table+"_inbox_pos", n.Inbox+" (pos)"))
	}
	if !s.Mapped {
		statements = append(statements, inSchema(n, appendFunction(s))...)
	}
	statements = append(statements,
		"INSERT INTO "+n.Head+" (one, version, epoch, floor, head, server) SELECT 1, 1, "+newEpoch+", "+engine.FirstBounds(s)+", "+serverIdentity+" WHERE NOT EXISTS (SELECT 1 FROM "+n.Head+") ON CONFLICT DO NOTHING")
	switch s.Mode {
	case engine.Sequencer:
		statements = append(statements, inSchema(n, passFunction(s))...)
	case engine.AtCommit:
		statements = append(statements, atCommitSchema(s)...)
	}
	if s.Mode != engine.Sequencer && !s.InvisibleDeletes {
		statements = append(statements, floorSchema(s)...)
	}
	return statements
}

// position is an expression: where the server's log of writes stands. It grows
// with every row that is written, and whoever waited for a row lock writes after
// the one who had it, so it orders the changes of a row as a sequence would. But
// it does not change what lastval() says in the writer's session, and takes no
// right on anything. It is no key: two sessions may find the same.
const position = "(pg_current_wal_insert_lsn() - '0/0')::bigint"

// createIndex makes an index unless there is one of that name: IF NOT EXISTS
// would lock the table against its writers first, and look then.
func createIndex(n engine.Names, kind, index, on string) string {
	return onlyIf(isMissing(n.Qualify(index)), "CREATE "+kind+" "+n.Quote(index)+" ON "+on)
}

// createTrigger makes a trigger unless there is one of that name: replacing
// it would wait for all writers each time.
func createTrigger(n engine.Names, table, trigger, create string) string {
	return onlyIf(fmt.Sprintf("NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s)", literal(n.Qualify(table)), literal(trigger)), create)
}

// onlyIf runs a statement where a condition holds.
func onlyIf(condition, statement string) string {
	return "DO $do$ BEGIN IF " + condition + " THEN " + statement + "; END IF; END $do$"
}

// isMissing is a condition: there is no relation of that quoted name.
func isMissing(relation string) string { return "to_regclass(" + literal(relation) + ") IS NULL" }

// appendFunction is for programs that have nothing but SQL. It has the rights of
// the one who calls it: a right to call it is everybody's.
func appendFunction(s engine.Settings) func(n engine.Names) function {
	return func(n engine.Names) function {
		table, conflict := n.Inbox, ""
		if s.Mode == engine.Fence {
			table, conflict = n.Log, " ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING"
		}
		return function{
			signature: n.Qualify(n.Table+"_append") + "(topic text, type text, key text, data text, meta jsonb DEFAULT NULL, id text DEFAULT NULL)",
			arguments: "text, text, text, text, jsonb, text",
			returns:   "void",
			settings:  []string{searchPath},
			body: `
#variable_conflict use_column
BEGIN
	INSERT INTO ` + table + ` (topic, type, key, data, meta, id) VALUES ($1, $2, $3, convert_to($4, 'UTF8'), $5, $6)` + conflict + `;
END`,
		}
	}
}

// floorFunction raises the floor in the transaction of every delete, whoever
// deletes.
func floorFunction(s engine.Settings) func(n engine.Names) function {
	return func(n engine.Names) function {
		return triggerFunction(n.Qualify(n.Table+"_floor"), strings.NewReplacer("HEAD", n.Head, "LOG", n.Log, "SEQ", n.Quote(s.Columns.Seq)).Replace(`
DECLARE
	highest bigint;
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		SELECT max(SEQ) INTO highest FROM LOG;
	ELSE
		SELECT max(SEQ) INTO highest FROM gapless_gone;
	END IF;
	UPDATE HEAD SET floor = highest WHERE one = 1 AND floor < highest;
	RETURN NULL;
END`))
	}
}

// floorSchema are the function and its triggers.
func floorSchema(s engine.Settings) []string {
	n := s.Names
	name := n.Qualify(n.Table + "_floor")
	return append(inSchema(n, floorFunction(s)),
		createTrigger(n, n.Table, n.Table+"_floor", fmt.Sprintf("CREATE TRIGGER %s AFTER DELETE ON %s REFERENCING OLD TABLE AS gapless_gone FOR EACH STATEMENT EXECUTE FUNCTION %s()",
			n.Quote(n.Table+"_floor"), n.Log, name)),
		createTrigger(n, n.Table, n.Table+"_floor_truncate", fmt.Sprintf("CREATE TRIGGER %s BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()",
			n.Quote(n.Table+"_floor_truncate"), n.Log, name)),
	)
}
