package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// placer implements engine.Placer.
func placer() engine.Placer {
	return engine.Placer{
		Statements: placeStatements,
		State:      engine.OneType("name text", "revision bigint", "generation bigint", "position text", "paused boolean"),
		Lease:      engine.OneType("name text", "holder text", "generation bigint", "expires bigint"),
		Parked:     engine.OneType("name text", "seq text", "entry text"),
		Also: func(ctx context.Context, db engine.DB, n engine.Names, p *engine.Problems) error {
			return check{p}.verifyRelation(ctx, db, n.Log)
		},
		Now:     "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
		Insert:  "INSERT INTO ",
		Keep:    " ON CONFLICT DO NOTHING",
		Replace: " ON CONFLICT (name, seq) DO UPDATE SET entry = excluded.entry",
		Lock:    " FOR UPDATE NOWAIT",
		Write:   engine.ReadCommitted,
		Holders: placeHolders,
		Refused: refusedAtCommit,
		Enter:   enterPlace,
	}
}

// refusedAtCommit: a deferred constraint or trigger was violated.
func refusedAtCommit(err error) bool {
	code := engine.SQLState(err)
	return strings.HasPrefix(code, "23") || strings.HasPrefix(code, "P0")
}

func placeStatements(n engine.PlaceNames) []string {
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.State + ` (name text COLLATE "C" PRIMARY KEY, revision bigint NOT NULL, generation bigint NOT NULL, position text NOT NULL, paused boolean NOT NULL)`,
		"CREATE TABLE IF NOT EXISTS " + n.Lease + ` (name text COLLATE "C" PRIMARY KEY, holder text NOT NULL, generation bigint NOT NULL, expires bigint NOT NULL)`,
		"CREATE TABLE IF NOT EXISTS " + n.Parked + ` (name text COLLATE "C", seq text COLLATE "C", entry text NOT NULL, PRIMARY KEY (name, seq))`,
	}
}

// enterPlace sets the timeout for this transaction alone, so nothing has to be
// restored, and a pooler may give the connection to others afterwards.
func enterPlace(ctx context.Context, tx engine.Session, n engine.PlaceNames, e engine.PlaceEntry) (uint64, string, error) {
	query, args := "SELECT revision FROM "+n.State+" WHERE name = $1", []any{e.Worker}
	var set []any
	if e.Idle > 0 {
		query = "SELECT revision, set_config('idle_in_transaction_session_timeout', $2, true) FROM " + n.State + " WHERE name = $1"
		args = append(args, strconv.FormatInt(max(e.Idle.Milliseconds(), 1), 10))
		set = []any{new(string)}
	}
	revision, err := engine.ReadRevision(ctx, tx, query, args, set...)
	return revision, "", err
}

// placeHolders asks for the transactions that write to the table of states: who
// has locked which of its rows, PostgreSQL does not say.
func placeHolders(ctx context.Context, q engine.Querier, n engine.PlaceNames, err error) string {
	if engine.SQLState(err) != "55P03" {
		return ""
	}
	list, err := engine.List[string](ctx, q, "SELECT 'backend ' || a.pid || coalesce(' at ' || host(a.client_addr), '') || coalesce(' (' || nullif(a.application_name, '') || ')', '')"+
		" || coalesce(', ' || a.state, '') || coalesce(' for ' || extract(epoch from date_trunc('second', clock_timestamp() - a.state_change))::bigint || ' s', '')"+
		" FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND EXISTS (SELECT 1 FROM pg_locks l"+
		" WHERE l.pid = a.pid AND l.relation = to_regclass($1) AND l.granted AND l.mode = 'RowExclusiveLock')", n.State)
	if err != nil || len(list) == 0 {
		return "another transaction"
	}
	return strings.Join(list, ", ")
}
