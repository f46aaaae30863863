package sqllog

import (
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// postgresServer identifies the server and its history: a restored copy has
// another system identifier, the survivor of a failover another timeline.
const postgresServer = `CASE WHEN pg_is_in_recovery() THEN '` + replicaServer + `' ELSE (SELECT system_identifier::text FROM pg_control_system())` +
	` || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END`

// postgresState has the expressions of the state's row.
type postgresState struct {
	head, last, pending, server string
}

func (e postgresState) sql(n names) string {
	return fmt.Sprintf(`SELECT 0::bigint AS seq, h.epoch AS id, h.floor::text AS topic, (%s)::text AS type, (%s)::text AS key,`+
		` NULL AS time, NULL::bytea AS data, (CASE WHEN %s THEN '1 ' ELSE '0 ' END) || h.server || ' ' || (%s) AS meta`+
		` FROM %s h WHERE h.one = 1`, e.head, e.last, e.pending, e.server, n.head)
}

const postgresEvents = `SELECT seq, id, topic, type, key, time, data, meta::text FROM %s WHERE seq >= ` + number1 + ` ORDER BY seq LIMIT ` + number2

func newPostgresStore(db *sqlx.DB, s settings, state string) *store {
	t := &store{
		db: db, settings: s,
		stateSQL: state,
		pageSQL:  state + " UNION ALL (" + fmt.Sprintf(postgresEvents, s.names.log) + ")",
		now:      "clock_timestamp()",
	}
	t.rewound = t.newServer
	return t
}

func newSequencer(db *sqlx.DB, s settings) *sequencer {
	if s.Dialect == MySQL {
		return newMySQLSequencer(db, s)
	}
	n := s.names
	// Not EXISTS: it would pass by all that has been moved since the last VACUUM,
	// where the index soon knows what is gone.
	pending := "(SELECT true FROM " + n.inbox + " ORDER BY pos LIMIT 1)"
	state := postgresState{head: "h.head", last: "h.head", pending: pending, server: postgresServer}
	q := &sequencer{pace: newPacer(s.rest), store: newPostgresStore(db, s, state.sql(n))}
	q.dense = true
	pass := func(wait bool) string {
		return fmt.Sprintf("SELECT * FROM %s(%d, %t, %s)", passName(n), moveBatch, wait, literal(Postgres, s.token))
	}
	q.sql = sequencerSQL{
		lock:    "SELECT epoch, floor, head, 0 FROM " + n.head + " WHERE one = 1 FOR UPDATE",
		advance: "UPDATE " + n.head + " SET head = " + number1 + " WHERE one = 1 RETURNING pg_notify(" + literal(Postgres, channel(s)) + ", " + literal(Postgres, s.token) + ")",
		pass:    pass(true), tryPass: pass(false),
	}
	return q
}

// postgresMove does the whole move in one statement and so in one snapshot, in
// which rows are found again by their place.
const postgresMove = `
WITH batch AS (
	DELETE FROM INBOX WHERE ctid = ANY (ARRAY(SELECT ctid FROM INBOX ORDER BY pos LIMIT batch_size)) RETURNING *
), fresh AS (
	SELECT * FROM batch WHERE id IS NULL
	UNION ALL
	SELECT d.* FROM (SELECT DISTINCT ON (id) * FROM batch WHERE id IS NOT NULL ORDER BY id, pos) d
	WHERE NOT EXISTS (SELECT 1 FROM LOG l WHERE l.id = d.id)
), added AS (
	INSERT INTO LOG (seq, id, topic, type, key, time, data, meta)
	SELECT o_head + row_number() OVER (ORDER BY pos), id, topic, type, key, time, data, meta FROM fresh ORDER BY pos
	RETURNING 1
)
SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM added) INTO o_taken, numbered`

// passName is the function that does a whole pass.
func passName(n names) string { return n.qualify(n.table + "_pass") }

func passSignature(n names) string { return passName(n) + "(integer, boolean, text)" }

// dollar quotes the body of a function.
const dollar = "$gapless$"

// postgresPass is that function. In READ COMMITTED each of its statements has
// a snapshot of its own; under a stricter isolation the lock fails instead, if
// another pass came between. A plan is kept, and one that was made when the
// inbox was small would read all of it, with what is gone: hence enable_seqscan.
func postgresPass(s settings) string {
	n := s.names
	return "CREATE OR REPLACE FUNCTION " + passName(n) + "(batch_size integer, wait boolean, token text, " +
		"OUT o_epoch text, OUT o_floor bigint, OUT o_head bigint, OUT o_taken integer) LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS " + dollar +
		strings.NewReplacer("INBOX", n.inbox, "LOG", n.log, "HEAD", n.head, "CHANNEL", literal(Postgres, channel(s))).Replace(`
#variable_conflict use_column
DECLARE
	numbered bigint;
BEGIN
	IF wait THEN
		SELECT epoch, floor, head INTO o_epoch, o_floor, o_head FROM HEAD WHERE one = 1 FOR UPDATE;
	ELSE
		SELECT epoch, floor, head INTO o_epoch, o_floor, o_head FROM HEAD WHERE one = 1 FOR UPDATE SKIP LOCKED;
	END IF;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	`+postgresMove+`;
	IF numbered > 0 THEN
		o_head := o_head + numbered;
		UPDATE HEAD SET head = o_head WHERE one = 1;
		PERFORM pg_notify(CHANNEL, token);
	END IF;
END`) + dollar
}

// channel is the name that LISTEN and NOTIFY use, within PostgreSQL's 63 bytes.
func channel(s settings) string {
	name := "gapless_" + s.names.schema + "." + s.names.table
	if len(name) > 63 {
		name = "gapless_" + cdc.Event{Key: name}.Tag()
	}
	return name
}

// postgresEpoch is an expression: a new epoch.
const postgresEpoch = "left(md5(gen_random_uuid()::text), 16)"

// postgresSchema are the statements that make our tables, if they are missing.
// A log that is made anew beside a head that is left begins a new epoch.
func postgresSchema(s settings) []string {
	n := s.names
	events := `topic text NOT NULL DEFAULT '', type text NOT NULL DEFAULT '', key text NOT NULL DEFAULT '', ` +
		`time timestamptz NOT NULL DEFAULT clock_timestamp(), data bytea, meta jsonb`
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + n.head + " (one smallint PRIMARY KEY CHECK (one = 1), version integer NOT NULL, epoch text NOT NULL, " +
			"floor bigint NOT NULL, head bigint NOT NULL, server text NOT NULL)",
	}
	seq := "bigint PRIMARY KEY"
	if s.Mode == Fence || s.Mode == AtCommit {
		seq = "bigserial PRIMARY KEY"
	}
	if s.Columns == nil {
		statements = append(statements,
			fmt.Sprintf("DO $do$ BEGIN IF to_regclass(%s) IS NULL THEN UPDATE %s SET epoch = %s, floor = 0, head = 0; END IF; END $do$", literal(Postgres, n.log), n.head, postgresEpoch),
			"CREATE TABLE IF NOT EXISTS "+n.log+" (seq "+seq+", id text, "+events+")",
			"CREATE UNIQUE INDEX IF NOT EXISTS "+n.quote(n.table+"_id")+" ON "+n.log+" (id) WHERE id IS NOT NULL",
		)
	}
	if s.Mode == Sequencer || s.Mode == AtCommit {
		statements = append(statements,
			"CREATE TABLE IF NOT EXISTS "+n.inbox+" (pos bigserial PRIMARY KEY, id text, "+events+
				") WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)")
	}
	statements = append(statements,
		"INSERT INTO "+n.head+" (one, version, epoch, floor, head, server) SELECT 1, 1, "+postgresEpoch+", "+firstBounds(s)+", "+postgresServer+" ON CONFLICT DO NOTHING")
	switch s.Mode {
	case Sequencer:
		statements = append(statements, postgresPass(s))
	case AtCommit:
		statements = append(statements, atCommitSchema(s)...)
	}
	if s.Mode != Sequencer && !s.InvisibleDeletes {
		statements = append(statements, floorSchema(s)...)
	}
	return statements
}

// postgresFunction makes a trigger's function, which has the rights of the one
// who made it, so that writers need none on our tables. Each setting is
// "name=value".
func postgresFunction(name, body string, settings ...string) string {
	var set strings.Builder
	for _, setting := range settings {
		key, value, _ := strings.Cut(setting, "=")
		set.WriteString(" SET " + key + " = " + strings.ReplaceAll("'"+value+"'", ", ", "', '"))
	}
	return "CREATE OR REPLACE FUNCTION " + name + "() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT" + set.String() + " AS " + dollar + body + dollar
}

// postgresTrigger makes a trigger unless there is one of that name: replacing
// it would wait for all writers each time.
func postgresTrigger(n names, table, trigger, create string) string {
	return fmt.Sprintf("DO $do$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s) THEN %s; END IF; END $do$",
		literal(Postgres, n.qualify(table)), literal(Postgres, trigger), create)
}

// floorSchema are the triggers that raise the floor in the transaction of
// every delete, whoever deletes.
func floorSchema(s settings) []string {
	n := s.names
	name := n.qualify(n.table + "_floor")
	body := strings.NewReplacer("HEAD", n.head, "LOG", n.log, "SEQ", n.quote(s.columns.Seq)).Replace(`
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
END`)
	return []string{
		postgresFunction(name, body),
		postgresTrigger(n, n.table, n.table+"_floor", fmt.Sprintf("CREATE TRIGGER %s AFTER DELETE ON %s REFERENCING OLD TABLE AS gapless_gone FOR EACH STATEMENT EXECUTE FUNCTION %s()",
			n.quote(n.table+"_floor"), n.log, name)),
		postgresTrigger(n, n.table, n.table+"_floor_truncate", fmt.Sprintf("CREATE TRIGGER %s BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()",
			n.quote(n.table+"_floor_truncate"), n.log, name)),
	}
}
