package postgres

import (
	"context"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// A statement that names a partition fires the triggers of that partition alone,
// one that names the parent those of the parent alone. So each partition has
// triggers of its own, with an argument: when it is detached, its rows are no
// longer the table's, and they do nothing.

// onPartition is that argument.
const onPartition = "'partition'"

// tables is a condition: the relation is the table, or one of its partitions.
// Those of other servers have no transition tables.
func (p plan) tables(relation string) string {
	table := "to_regclass(" + literal(p.On.Log) + ")"
	return "(" + relation + " = " + table + " OR " + relation + " IN (SELECT relid FROM pg_partition_tree(" + table + ")))"
}

// partitionsWithout is a query: the partitions that have no such trigger.
func (t trigger) partitionsWithout(p plan) string {
	return "SELECT c.oid::regclass AS name FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relispartition AND " + p.tables("c.oid") +
		" AND NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = c.oid AND tgname = " + literal(t.name) + " AND tgenabled IN ('O', 'A') AND tgnargs = 1 AND " +
		wantedTrigger{kind: t.kind, oldTable: t.oldTable, newTable: t.newTable}.condition("to_regprocedure("+literal(p.function()+"()")+")") + ")"
}

// ensureOnPartitions makes the trigger on those that lack it.
func (t trigger) ensureOnPartitions(p plan) string {
	escaped := t
	escaped.name = strings.ReplaceAll(t.name, "%", "%%")
	create := "CREATE " + strings.TrimSuffix(escaped.create("%s", strings.ReplaceAll(p.function(), "%", "%%")), "()") + "(" + onPartition + ")"
	return "DO " + dollarQuote(strings.NewReplacer("WITHOUT", t.partitionsWithout(p), "NAME", literal(t.name), "CREATE", literal(create)).Replace(`
DECLARE partition record;
BEGIN
	FOR partition IN WITHOUT LOOP
		EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', NAME, partition.name);
		EXECUTE format(CREATE, partition.name);
	END LOOP;
END`))
}

// holders is a query: the triggers that call the function on other tables, which
// had the table's name or were its partitions.
func (p plan) holders() string {
	return "SELECT t.tgname AS trigger, t.tgrelid::regclass AS name FROM pg_trigger t WHERE t.tgfoid = to_regprocedure(" + literal(p.function()+"()") + ")"
}

// dropHeld drops the triggers that the query finds.
func dropHeld(query string) string {
	return "DO " + dollarQuote(strings.Replace(`
DECLARE held record;
BEGIN
	FOR held IN QUERY LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', held.trigger, held.name);
	END LOOP;
END`, "QUERY", query, 1))
}

// verifyTables finds partitions without triggers, and triggers on other tables.
func (p plan) verifyTables(ctx context.Context, q engine.Querier, problems *engine.Problems) error {
	for _, t := range p.triggers() {
		if t.kind == afterTruncate {
			continue
		}
		partitions, err := engine.List[string](ctx, q, "SELECT name::text FROM ("+t.partitionsWithout(p)+") w")
		if err != nil {
			return err
		}
		if len(partitions) > 0 {
			problems.Add("the trigger %s is missing on the partitions %s, so writes that name them are not seen: call Capture", t.name, strings.Join(partitions, ", "))
		}
	}
	others, err := engine.List[string](ctx, q, "SELECT DISTINCT name::text FROM ("+p.holders()+" AND NOT "+p.tables("t.tgrelid")+") h")
	if err == nil && len(others) > 0 {
		problems.Add("%s has triggers of this table, whose name or partition it was: call Capture", strings.Join(others, ", "))
	}
	return err
}
