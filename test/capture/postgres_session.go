package capture

import "fmt"

// postgresTransaction begins, ends or divides a transaction.
func (g *generator) postgresTransaction() {
	if !g.open {
		g.open = true
		g.run("BEGIN" + g.one("", "", " ISOLATION LEVEL REPEATABLE READ", " ISOLATION LEVEL SERIALIZABLE"))
		return
	}
	switch g.IntN(7) {
	case 0:
		g.run("SAVEPOINT a")
	case 1, 2:
		g.run("ROLLBACK TO SAVEPOINT a")
	case 3:
		g.run("RELEASE SAVEPOINT a")
	case 4:
		g.run("ROLLBACK")
		g.open = false
	case 5, 6:
		g.run("COMMIT" + g.one("", "", " AND CHAIN"))
		g.open = false
	}
}

// postgresSession changes a setting that texts, plans or rights depend on.
func (g *generator) postgresSession() {
	g.run(g.one(
		"SET TimeZone = 'Asia/Kolkata'", "SET DateStyle = 'German'", "SET DateStyle = 'SQL, DMY'", "SET bytea_output = 'escape'", "SET extra_float_digits = -5",
		"SET extra_float_digits = 3", "SET IntervalStyle = 'iso_8601'", "SET IntervalStyle = 'sql_standard'", "SET standard_conforming_strings = off",
		"SET search_path = pg_catalog, public", "SET search_path = ''", "SET search_path = s, public", "SET plan_cache_mode = force_generic_plan",
		"SET plan_cache_mode = force_custom_plan", "SET enable_hashjoin = off", "SET enable_nestloop = off", "SET transform_null_equals = on",
		"SET xmlbinary = hex", "SET xmloption = document", "SET quote_all_identifiers = on", "SET plpgsql.extra_errors = 'all'", "SET plpgsql.variable_conflict = 'use_column'",
		"SET default_transaction_isolation = 'serializable'", "SET constraint_exclusion = on", "SET jit = on", "SET row_security = off",
		"SET work_mem = '64kB'", "SET synchronous_commit = off", "SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS ALL IMMEDIATE",
		"SET force_parallel_mode = regress", "SET check_function_bodies = off", "SET array_nulls = off", "SET lc_monetary = 'C.UTF-8'", "SET backslash_quote = off",
		"SET SESSION AUTHORIZATION weak", "SET ROLE weak", "SET ROLE weak", "RESET ROLE", "RESET ALL", "DISCARD PLANS", "SET client_min_messages = error",
		"SET LOCAL TimeZone = 'UTC'", "SET idle_in_transaction_session_timeout = '1h'",
	))
}

// postgresShadow makes temporary objects with the log's names, which come
// first in the names' path of a session.
func (g *generator) postgresShadow() {
	g.run(fmt.Sprintf("CREATE TEMP TABLE %s%s (pos bigserial, seq bigint, id text, topic text, type text, key text, time timestamptz, data bytea, meta jsonb,"+
		" n bigint, t text, e text, k text, d text, at timestamptz)", g.script.Log, g.one("", "_inbox", "_head")))
	g.run("GRANT ALL ON ALL TABLES IN SCHEMA pg_temp TO PUBLIC")
}

// postgresAlter changes the captured table.
func (g *generator) postgresAlter(index int, t *Table) {
	last := len(t.Columns) - 1
	g.add(Statement{Table: index, Unseen: true, Form: g.one(
		fmt.Sprintf("ALTER TABLE {t} DROP COLUMN {c%d}", last), fmt.Sprintf("ALTER TABLE {t} RENAME COLUMN {c%d} TO renamed", last),
		"ALTER TABLE {t} ADD COLUMN added integer",
	)})
}
