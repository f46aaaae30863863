package postgres

import (
	"context"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// capturer implements engine.Capturer by statement-level triggers with transition
// tables: a bulk statement costs one INSERT.
type capturer struct{}

// Try implements engine.CapturePlan: Install tries in its own transaction.
func (p plan) Try(context.Context, engine.DB) error { return nil }

// Install implements engine.CapturePlan. A trigger that is right is not touched,
// because that would wait for all writers; the function is replaced in its place,
// which waits for nobody.
func (p plan) Install() []string {
	statements := append([]string{lockTimeout, p.tryTwin()}, p.rowFunction().statements()...)
	statements = append(statements, dropHeld(p.holders()+" AND NOT "+p.tables("t.tgrelid")))
	for _, t := range p.triggers() {
		statements = append(statements, t.ensure(p))
		if t.kind != afterTruncate { // which a TRUNCATE of the parent fires on each partition, too
			statements = append(statements, t.ensureOnPartitions(p))
		}
	}
	return append(statements, p.tryEmpty()...)
}

// lockTimeout bounds how long others queue behind our waiting for a lock.
const lockTimeout = "SELECT set_config('lock_timeout', '3s', true)"

// Remove implements engine.Capturer.
func (capturer) Remove(c *engine.Capture) []string {
	p := plan{Capture: c}
	return []string{lockTimeout, dropHeld(p.holders()), "DROP FUNCTION IF EXISTS " + p.function() + "()"}
}

// Installed implements engine.Capturer. Triggers of partitions are the parent's.
func (capturer) Installed(engine.Names) string {
	return "SELECT n.nspname, c.relname, t.tgname, p.prosrc FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace" +
		" JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT c.relispartition AND strpos(p.prosrc, " + literal(engine.MarkPrefix) + ") > 0 ORDER BY 1, 2"
}

// Differences implements engine.CapturePlan: it compares the function, and looks
// for the triggers and for the rights of the function's owner.
func (p plan) Differences(ctx context.Context, q engine.Querier) (engine.Problems, error) {
	var problems engine.Problems
	found, same, err := p.rowFunction().installed(ctx, q, p.function()+"()")
	switch {
	case err != nil:
		return nil, err
	case !found:
		problems.Add("the function %s is missing: call Capture", p.Name("row"))
	case !same:
		problems.Add("the function %s is not what Capture would make now: call it again", p.Name("row"))
	}
	for _, t := range p.triggers() {
		w := wantedTrigger{
			table: p.On.Log, name: t.name, function: p.function(), kind: t.kind, oldTable: t.oldTable, newTable: t.newTable,
			what: "captures changes", remedy: "call Capture",
		}
		if err := (check{&problems}).verifyTrigger(ctx, q, w); err != nil {
			return nil, err
		}
	}
	if !found {
		return problems, nil
	}
	if err := p.verifyTables(ctx, q, &problems); err != nil {
		return nil, err
	}
	err = p.verifyOwner(ctx, q, &problems)
	return problems, err
}

// verifyOwner finds rights that the owners of the functions have lost: every
// write would fail.
func (p plan) verifyOwner(ctx context.Context, q engine.Querier, problems *engine.Problems) error {
	if err := verifyRights(ctx, q, problems, p.function(), p.inbox(), p.On.Log); err != nil {
		return err
	}
	if n := p.Settings.Names; p.Settings.Mode == engine.AtCommit {
		return verifyRights(ctx, q, problems, n.Qualify(n.Table+"_number"), n.Log, n.Inbox)
	}
	return nil
}

// verifyRights is for a trigger's function that reads a table, or is its
// trigger, and inserts into another.
func verifyRights(ctx context.Context, q engine.Querier, problems *engine.Problems, function, into, from string) error {
	may := func(right, table string) string {
		return "(has_table_privilege(proowner, " + table + "::regclass, '" + right + "') OR has_any_column_privilege(proowner, " + table + "::regclass, '" + right + "'), "
	}
	mayUse := func(table string) string {
		return "(has_schema_privilege(proowner, (SELECT relnamespace FROM pg_class WHERE oid = " + table + "::regclass), 'USAGE')," +
			" 'use the schema of ' || " + table + " || ', so every write fails: GRANT USAGE ON SCHEMA'), "
	}
	missing, err := engine.List[string](ctx, q, "SELECT proowner::regrole || ', whose rights the triggers have, may not ' || what FROM pg_proc, LATERAL (VALUES "+
		mayUse("$2")+mayUse("$3")+may("INSERT", "$2")+"'insert into ' || $2 || ', so every write fails: GRANT INSERT'), "+may("SELECT", "$3")+
		"'read ' || $3 || ', so writes fail: GRANT SELECT'),"+
		" (NOT EXISTS (SELECT FROM pg_attrdef a JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid JOIN pg_class s ON s.oid = d.refobjid"+
		" WHERE a.adrelid = $2::regclass AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(proowner, s.oid, 'USAGE, UPDATE') END),"+
		" 'use the sequence of ' || $2 || ', so every write fails: GRANT USAGE ON SEQUENCE')"+
		") AS rights (granted, what) WHERE oid = to_regprocedure($1) AND NOT granted", function+"()", into, from)
	for _, m := range missing {
		problems.Add("%s", m)
	}
	return err
}

// inbox is the table that events are inserted into.
func (p plan) inbox() string {
	if p.Settings.Mode == engine.Fence {
		return p.Settings.Names.Log
	}
	return p.Settings.Names.Inbox
}

// rowFunction is the function that all triggers of the table share.
func (p plan) rowFunction() function {
	return triggerFunction(p.function(), p.body(), captureSettings...)
}

// captureSettings are those under which a value is always the same text, and
// those that keep a plan, which may be made for one row and kept for many, from
// being quadratic.
var captureSettings = []string{
	"TimeZone=UTC", "DateStyle=ISO, MDY", "IntervalStyle=postgres", "extra_float_digits=1", "bytea_output=hex", "xmlbinary=base64", "lc_monetary=C",
	"quote_all_identifiers=off", "standard_conforming_strings=on",
	"enable_nestloop=off", "enable_hashjoin=on", "enable_seqscan=off", "enable_indexscan=on", "jit=off",
}

// trigger is one of a table's.
type trigger struct {
	name, when         string
	kind               int
	oldTable, newTable string
}

func (p plan) triggers() []trigger {
	const o, n = "gapless_old", "gapless_new"
	return []trigger{
		{p.Name("insert"), "AFTER INSERT", afterInsert, "", n},
		{p.Name("update"), "AFTER UPDATE", afterUpdate, o, n},
		{p.Name("delete"), "AFTER DELETE", afterDelete, o, ""},
		{p.Name("truncate"), "AFTER TRUNCATE", afterTruncate, "", ""},
	}
}

// create is the statement that makes the trigger.
func (t trigger) create(on, function string) string {
	tables := ""
	if t.oldTable != "" {
		tables += " OLD TABLE AS " + t.oldTable
	}
	if t.newTable != "" {
		tables += " NEW TABLE AS " + t.newTable
	}
	if tables != "" {
		tables = " REFERENCING" + tables
	}
	return "TRIGGER " + quote(t.name) + " " + t.when + " ON " + on + tables + " FOR EACH STATEMENT EXECUTE FUNCTION " + function + "()"
}

// find is a query: the trigger of this name.
func (t trigger) find(p plan) string {
	return "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(" + literal(p.On.Log) + ") AND tgname = " + literal(t.name)
}

// ensure makes the trigger unless it is right. Replacing one in its place does
// not lock out readers as dropping it does; PostgreSQL has that since 14.
func (t trigger) ensure(p plan) string {
	create := t.create(p.On.Log, p.function())
	return "DO " + dollarQuote(strings.NewReplacer(
		"RIGHT", t.find(p)+" AND tgenabled IN ('O', 'A') AND "+wantedTrigger{kind: t.kind, oldTable: t.oldTable, newTable: t.newTable}.condition("to_regprocedure("+literal(p.function()+"()")+")"),
		"FIND", t.find(p), "NAME", quote(t.name), "TABLE", p.On.Log, "CREATE", literal("CREATE "+create), "REPLACE", literal("CREATE OR REPLACE "+create),
	).Replace(`
BEGIN
	IF EXISTS (RIGHT) THEN
		RETURN;
	ELSIF NOT EXISTS (FIND) THEN
		EXECUTE CREATE;
	ELSIF current_setting('server_version_num')::integer >= 140000 THEN
		EXECUTE REPLACE;
	ELSE
		DROP TRIGGER NAME ON TABLE;
		EXECUTE CREATE;
	END IF;
END`))
}
