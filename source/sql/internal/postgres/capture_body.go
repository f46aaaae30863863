package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// The order of a statement's events against those of others in one transaction
// is not that of their triggers: a trigger of the user's can write to a row of
// the statement again before ours is called, a query can hold several statements,
// and with deferrable keys two rows can have one key for a while. So an event
// that comes late must not say what was, but what is: a row that has gone is
// looked up, and if its key has a row again, the event is an update to that one;
// an update carries the row as the table has it now. Of an INSERT that is needed
// only if a row of the table was changed before in the transaction, which a
// setting says that lives as long as the transaction.

// body is the function of all four triggers.
func (p plan) body() string {
	return p.Mark() + strings.NewReplacer(
		"CHANGED", literal("gapless.changed_"+strconv.FormatUint(uint64(hash(p.function())), 16)),
		"META", p.meta(),
		"TRUNCATED", p.insert(literal(p.Table.Topic), "'truncate'", "''", "NULL", "NULL", ""),
		"AS_INSTALLED", p.asInstalled(),
		"STATEMENTS", p.statements(rowWriter{plan: p}, func(sql string) string { return sql }),
		"MOVED", p.movedStatements(),
	).Replace(`
#variable_conflict use_column
DECLARE
	gapless_meta jsonb := META;
	gapless_table oid := coalesce(pg_partition_root(TG_RELID)::oid, TG_RELID);
	gapless_changed boolean := coalesce(current_setting(CHANGED, true), '') = 'on';
	gapless_columns text;
	gapless_column record;
	gapless_sql text;
BEGIN
	IF TG_NARGS > 0 AND gapless_table = TG_RELID THEN
		RETURN NULL;
	ELSIF TG_OP = 'TRUNCATE' THEN
		TRUNCATED;
		RETURN NULL;
	END IF;
	IF TG_OP <> 'INSERT' AND NOT gapless_changed THEN
		PERFORM set_config(CHANGED, 'on', true);
	END IF;
	IF AS_INSTALLED THEN
STATEMENTS	ELSE
MOVED	END IF;
	RETURN NULL;
END`)
}

// hash is FNV-1a.
func hash(text string) uint32 {
	h := uint32(2166136261)
	for _, b := range []byte(text) {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

// statements are those of INSERT, UPDATE and DELETE; run makes a PL/pgSQL
// statement of each.
func (p plan) statements(w rowWriter, run func(sql string) string) string {
	var b strings.Builder
	add := func(condition string, statements ...string) {
		b.WriteString("\t\t" + condition + "\n")
		for _, s := range statements {
			b.WriteString("\t\t\t" + run(s) + ";\n")
		}
	}
	add("IF TG_OP = 'INSERT' AND NOT gapless_changed THEN", p.insert(w.topic("n"), "'insert'", w.key("n"), "NULL", w.row("n"), "FROM gapless_new n"))
	add("ELSIF TG_OP = 'INSERT' THEN", w.appeared("true"))
	add("ELSIF TG_OP = 'UPDATE' THEN", slices.Concat(
		w.gone("NOT EXISTS (SELECT 1 FROM gapless_new n WHERE "+w.same("n", "o")+")", "AND NOT EXISTS (SELECT 1 FROM gapless_new n WHERE "+w.key("n")+" = "+w.key("o")+")"),
		[]string{w.appeared("NOT EXISTS (SELECT 1 FROM gapless_old o WHERE " + w.same("o", "n") + ")"), w.updated()},
	)...)
	add("ELSE", w.gone("true", "")...)
	b.WriteString("\t\tEND IF;\n")
	return b.String()
}

// gone are rows that the statement has taken from their key. With a topic for
// each row, one that has come back under another topic is said again, because
// its key was just deleted; elsewhere excludes those that come anyway.
func (w rowWriter) gone(condition, elsewhere string) []string {
	statements := []string{w.insertEvents("CASE WHEN e.after IS NULL THEN 'delete' ELSE 'update' END",
		w.row("o")+" AS before, "+w.current("o", w.row("t"), w.same("t", "o"))+" AS after", "o", "gapless_old o WHERE "+condition, "")}
	if len(w.Table.TopicColumns) > 0 {
		from := "FROM (SELECT " + w.current("o", w.topic("t"), w.key("t")+" = "+w.key("o")) + " AS topic, " + w.topic("o") + " AS was, " + w.key("o") + " AS key, " +
			w.current("o", w.row("t"), w.key("t")+" = "+w.key("o")) + " AS after FROM gapless_old o WHERE " + condition + " " + elsewhere + ` OFFSET 0) e WHERE e.topic COLLATE "C" <> e.was COLLATE "C"`
		statements = append(statements, w.insert("e.topic", "'insert'", "e.key", "NULL", "e.after", from))
	}
	return statements
}

// appeared are rows that the statement has brought to their key.
func (w rowWriter) appeared(condition string) string {
	return w.insertEvents("'insert'", "NULL::json AS before, "+w.current("n", w.row("t"), w.same("t", "n"))+" AS after", "n", "gapless_new n WHERE "+condition, "WHERE e.after IS NOT NULL")
}

// updated are rows that have kept their key and topic.
func (w rowWriter) updated() string {
	return w.insertEvents("'update'", w.row("o")+" AS before, "+w.current("n", w.row("t"), w.same("t", "n"))+" AS after", "n",
		"gapless_old o JOIN gapless_new n ON "+w.same("o", "n")+" WHERE "+w.differ("o", "n"), "WHERE e.after IS NOT NULL")
}

// insertEvents logs rows. OFFSET keeps each subquery from being run twice.
func (w rowWriter) insertEvents(what, rows, of, from, where string) string {
	return w.insert("e.topic", what, "e.key", "e.before", "e.after",
		"FROM (SELECT "+w.topic(of)+" AS topic, "+w.key(of)+" AS key, "+rows+" FROM "+from+" OFFSET 0) e "+where)
}

// insert is a statement that logs the rows of from.
func (p plan) insert(topic, what, key, before, after, from string) string {
	s := p.Settings
	table := s.Names.Inbox
	if s.Mode == engine.Fence {
		table = s.Names.Log
	}
	var names, values []string
	add := func(column, value string) {
		if column == "" {
			return
		}
		switch kind := p.Target[column].Kind; kind {
		case "", "text":
		case "bytea":
			value = "convert_to(" + value + ", 'UTF8')"
		default:
			value = "(" + value + ")::" + kind
		}
		names, values = append(names, s.Names.Quote(column)), append(values, value)
	}
	add(s.Columns.Topic, topic)
	add(s.Columns.Type, literal(p.Table.Type+".")+" || "+what)
	add(s.Columns.Key, key)
	add(s.Columns.Data, "json_build_object('old', "+before+", 'new', "+after+")::text")
	if len(p.Table.Meta) > 0 {
		add(s.Columns.Meta, "gapless_meta::text")
	}
	if time := p.Target[s.Columns.Time]; !time.HasDefault {
		add(s.Columns.Time, now(time.Kind))
	}
	return strings.TrimSpace("INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", ") + " " + from)
}

// meta is the Meta of the statement's events; what is not set is left out.
func (p plan) meta() string {
	if len(p.Table.Meta) == 0 {
		return "NULL"
	}
	pairs := make([]string, len(p.Table.Meta))
	for i, m := range p.Table.Meta {
		value := "txid_current()::text"
		if m.Source.Setting != "" {
			value = "nullif(current_setting(" + literal(m.Source.Setting) + ", true), '')"
		}
		pairs[i] = literal(m.Key) + ", " + value
	}
	return "jsonb_strip_nulls(jsonb_build_object(" + strings.Join(pairs, ", ") + "))"
}

// used are the columns that the triggers name.
func (p plan) used() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(p.Table.Key, p.Table.TopicColumns, p.Table.Columns, p.Table.Watch))))
}

// asInstalled is a condition: table and columns have the names and, where a
// value is written differently, the types that the statements are made for.
func (p plan) asInstalled() string {
	parts := make([]string, 0, len(p.columns))
	for _, name := range p.used() {
		part := "attname = " + literal(name)
		if w := (rowWriter{plan: p}); slices.Contains(p.Table.Key, name) || w.value("o", name) != w.ref("o", name) {
			part += " AND " + p.columns[name].typeOf
		}
		parts = append(parts, "("+part+")")
	}
	return fmt.Sprintf("gapless_table = to_regclass(%s) AND (SELECT count(*) FROM pg_attribute WHERE attrelid = gapless_table AND attnum > 0 AND NOT attisdropped AND (%s)) = %d",
		literal(p.On.Log), strings.Join(parts, " OR "), len(parts))
}
