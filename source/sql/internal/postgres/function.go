package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/lib/pq"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// function is one of our functions in PL/pgSQL.
type function struct {
	signature string // the qualified name and the arguments
	arguments string // the types of those that it takes; empty: none
	returns   string // empty: it has OUT arguments
	body      string
	settings  []string // each "name=value"
	definer   bool     // it has the rights of the one who made it, so that writers need none on our tables
}

// searchPath keeps everybody from putting something before what a function
// means: all our tables are named with their schema, all else is PostgreSQL's
// own. Without pg_temp as the last, temporary tables would come first.
const searchPath = "search_path=pg_catalog, pg_temp"

// triggerFunction has the rights of the one who makes it.
func triggerFunction(name, body string, settings ...string) function {
	return function{signature: name + "()", returns: "trigger", body: body, settings: append([]string{searchPath}, settings...), definer: true}
}

// identity is the signature without OUT arguments and names.
func (f function) identity() string {
	if f.arguments == "" {
		return f.signature
	}
	name, _, _ := strings.Cut(f.signature, "(")
	return name + "(" + f.arguments + ")"
}

// create is the statement that makes it, or replaces it in its place.
func (f function) create() string {
	var b strings.Builder
	b.WriteString("CREATE OR REPLACE FUNCTION " + f.signature)
	if f.returns != "" {
		b.WriteString(" RETURNS " + f.returns)
	}
	b.WriteString(" LANGUAGE plpgsql")
	if f.definer {
		b.WriteString(" SECURITY DEFINER")
	}
	for _, setting := range f.settings {
		key, value, _ := strings.Cut(setting, "=")
		b.WriteString(" SET " + key + " = " + strings.ReplaceAll("'"+value+"'", ", ", "', '"))
	}
	return b.String() + " AS " + dollarQuote(f.body)
}

// dollarQuote quotes a text by a tag that it does not have.
func dollarQuote(text string) string {
	tag := "$gapless$"
	for strings.Contains(text, tag) {
		tag = strings.TrimSuffix(tag, "$") + "_$"
	}
	return tag + text + tag
}

// statements make it. Nobody but its owner may make a trigger with a function that
// has its owner's rights: on a table of a stranger's it would read what the
// stranger wrote.
func (f function) statements() []string {
	if !f.definer {
		return []string{f.create()}
	}
	return []string{f.create(), "REVOKE ALL ON FUNCTION " + f.identity() + " FROM PUBLIC"}
}

// installed reports whether the function is there, and whether it is this one.
func (f function) installed(ctx context.Context, q engine.Querier, signature string) (found, same bool, err error) {
	err = q.QueryRowContext(ctx, "SELECT prosrc = $2 AND prosecdef = $3 AND coalesce(proconfig, '{}') = $4 AND NOT (prosecdef AND has_function_privilege('public', oid, 'EXECUTE')) FROM pg_proc WHERE oid = to_regprocedure($1)",
		signature, f.body, f.definer, pq.Array(f.settings)).Scan(&same)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	return err == nil, same, err
}

// installSchema stands for the schema of the log in a statement that finds it
// out when it runs.
const installSchema = "<schema of the log>"

// inSchema makes a function for names with a schema. If the user gave none, the
// schema is the one in which the statement finds the log.
func inSchema(n engine.Names, define func(n engine.Names) function) []string {
	if n.Schema != "" {
		return define(n).statements()
	}
	statements := define(n.In(installSchema)).statements()
	for i, s := range statements {
		statements[i] = "DO " + dollarQuote("BEGIN EXECUTE replace("+dollarQuote(s)+", "+literal(quote(installSchema))+
			", (SELECT '\"' || replace(nspname, '\"', '\"\"') || '\"' FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace WHERE c.oid = "+literal(n.Log)+"::regclass)); END")
	}
	return statements
}
