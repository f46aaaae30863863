package capture

import (
	"fmt"
	"slices"
	"strings"
)

// mariadbStep adds a step of any kind.
func (g *generator) mariadbStep() {
	index := g.IntN(len(g.script.Tables))
	t := g.script.Tables[index]
	add := func(s Statement) {
		s.Table = index
		s.NoCount = strings.HasPrefix(s.Form, "REPLACE") && !g.allows(ReplaceCount)
		g.add(s)
		if s.NoCount {
			g.run("DO 0") // after which ROW_COUNT() is 0
		}
	}
	ignore := g.one("", "", " IGNORE")
	g.choose([]weighted{
		{weight: 14, make: func() { add(g.mariadbInsert(t, ignore)) }},
		{weight: 8, make: func() {
			add(Statement{Form: "UPDATE" + ignore + " {t} SET {set}" + g.where(t) + g.limit(), Sets: g.sets(t)})
		}},
		{weight: 5, make: func() {
			add(Statement{Form: "UPDATE" + ignore + " {t} SET {set}" + g.where(t), Sets: g.keySets(t)})
		}},
		{weight: 5, make: func() { add(Statement{Form: "DELETE" + ignore + " FROM {t}" + g.where(t) + g.limit()}) }},
		{weight: 1, make: func() { add(Statement{Form: "DELETE FROM {t}" + g.where(t) + " RETURNING {key}", Query: true}) }},
		{weight: 1, make: func() { add(Statement{Form: "DELETE x FROM {t} x JOIN {t} y USING ({key})"}) }},
		{weight: 2, make: func() {
			add(Statement{Form: "UPDATE" + ignore + " {t} SET {k0} = {k0} + 1" + g.where(t) + g.one("", " ORDER BY {k0} DESC")})
		}},
		{weight: 3, make: func() { add(g.mariadbBulk(t, ignore)) }},
		{weight: 1, make: func() { add(Statement{Form: "TRUNCATE {t}", Unseen: true}) }},
		{weight: 3, make: func() { add(Statement{Form: "SELECT LAST_INSERT_ID(), ROW_COUNT(), @@warning_count", Query: true}) }},
		{weight: 3, make: func() { add(Statement{Form: "SHOW WARNINGS", Query: true}) }},
		{weight: 1, make: func() { add(Statement{Form: "SELECT @seen, @gone, @@identity", Query: true}) }},
		{weight: 1, kind: FoundRows, make: func() { add(Statement{Form: "SELECT FOUND_ROWS()", Query: true}) }},
		{weight: 8, make: g.mariadbTransaction},
		{weight: 5, make: g.mariadbSession},
		{weight: 1, kind: ColumnGone, make: func() {
			add(Statement{Unseen: true, Form: fmt.Sprintf(g.one("ALTER TABLE {t} DROP COLUMN {c%d}", "ALTER TABLE {t} RENAME COLUMN {c%d} TO renamed"), len(t.Columns)-1)})
		}},
	})
}

func (g *generator) limit() string {
	return g.one("", "", fmt.Sprintf(" ORDER BY {k0} LIMIT %d", 1+g.IntN(3)))
}

func (g *generator) mariadbInsert(t *Table, ignore string) Statement {
	s := Statement{Form: "INSERT" + ignore + " INTO {t} ({cols}) VALUES {rows}", Rows: g.rows(t, 4)}
	switch g.IntN(8) {
	case 0, 1:
		s.Form = "REPLACE INTO {t} ({cols}) VALUES {rows}"
	case 2:
		s.Form, s.Sets = s.Form+" ON DUPLICATE KEY UPDATE {set}", g.sets(t)
	case 3:
		s.Form, s.Sets = s.Form+" ON DUPLICATE KEY UPDATE {set}", g.keySets(t)
	case 4:
		s.Form = "INSERT" + ignore + " INTO {t} ({cols}) VALUES {rows} ON DUPLICATE KEY UPDATE {k0} = {k0}"
	}
	if g.chance(5) {
		s.Form, s.Query = s.Form+" RETURNING {key}", true
	}
	return s
}

func (g *generator) mariadbBulk(t *Table, ignore string) Statement {
	if t.Columns[t.Key[0]].Bulk == "" || slices.ContainsFunc(t.Columns, largeColumn) { // many large rows take long
		return g.mariadbInsert(t, ignore)
	}
	return Statement{Form: fmt.Sprintf("%s INTO {t} ({cols}) SELECT {bulk} FROM seq_%d_to_%d", g.one("INSERT"+ignore, "REPLACE"), 1+g.IntN(9), 10+g.IntN(60))}
}

func (g *generator) mariadbTransaction() {
	if !g.open {
		g.open = true
		g.run(g.one("BEGIN", "START TRANSACTION", "START TRANSACTION WITH CONSISTENT SNAPSHOT"))
		return
	}
	switch g.IntN(6) {
	case 0, 1:
		g.run("SAVEPOINT a")
	case 2:
		g.run("ROLLBACK TO SAVEPOINT a")
	case 3:
		g.run("RELEASE SAVEPOINT a")
	default:
		g.run(g.one("COMMIT", "COMMIT", "ROLLBACK", "COMMIT AND CHAIN"))
		g.open = false
	}
}

// mariadbSession changes a setting that texts, checks or plans depend on.
func (g *generator) mariadbSession() {
	g.run(g.one(
		"SET sql_mode = ''", "SET sql_mode = ''", "SET sql_mode = 'ANSI'", "SET sql_mode = 'TRADITIONAL'", "SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'", "SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'",
		"SET sql_mode = 'ORACLE'", "SET sql_mode = 'EMPTY_STRING_IS_NULL'", "SET sql_mode = 'STRICT_ALL_TABLES'", "SET sql_mode = 'TIME_ROUND_FRACTIONAL'",
		"SET NAMES latin1", "SET NAMES utf8mb3", "SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET collation_connection = ucs2_bin", "SET character_set_results = NULL",
		"SET div_precision_increment = 0", "SET group_concat_max_len = 4", "SET foreign_key_checks = 0", "SET unique_checks = 0", "SET sql_safe_updates = 0",
		"SET max_sort_length = 64", "SET lc_time_names = 'de_DE'", "SET sql_auto_is_null = 1", "SET last_insert_id = 5", "SET sql_notes = 0",
		"SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET autocommit = 1", "SET max_error_count = 0",
		"SET sql_select_limit = 1", "SET sql_big_selects = 1", "SET old_mode = 'NO_DUP_KEY_WARNINGS_WITH_IGNORE'", "SET auto_increment_increment = 5",
		"SET innodb_lock_wait_timeout = 1", "SET alter_algorithm = 'INSTANT'", "SET @@max_recursive_iterations = 0", "SET max_sp_recursion_depth = 0",
	))
}
