package sqllog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// postgresTriggers are statement-level triggers with transition tables: a bulk
// statement costs one INSERT. They share one function.
func (c *capture) postgresTriggers() []trigger {
	function := c.on.qualify(c.name("row"))
	triggers := []trigger{{create: postgresFunction(function, c.postgresBody(), postgresText...)}}
	for _, t := range [...]struct{ suffix, when, tables string }{
		{"insert", "AFTER INSERT", "REFERENCING NEW TABLE AS gapless_new"},
		{"update", "AFTER UPDATE", "REFERENCING OLD TABLE AS gapless_old NEW TABLE AS gapless_new"},
		{"delete", "AFTER DELETE", "REFERENCING OLD TABLE AS gapless_old"},
		{"truncate", "AFTER TRUNCATE", ""},
	} {
		name := c.name(t.suffix)
		triggers = append(triggers, trigger{name: name, create: "CREATE TRIGGER " + c.on.quote(name) + " " + t.when + " ON " + c.on.log + " " + t.tables +
			" FOR EACH STATEMENT EXECUTE FUNCTION " + function + "()"})
	}
	return triggers
}

// postgresBody is the function of all four triggers. Rows of an update are
// paired by their key; those without a partner had another key before.
func (c *capture) postgresBody() string {
	o, n := c.postgresRow("o"), c.postgresRow("n")
	same := make([]string, len(c.table.Key))
	for i, k := range c.table.Key {
		same[i] = "o." + c.on.quote(k) + " = n." + c.on.quote(k)
	}
	first := c.on.quote(c.table.Key[0])
	return strings.NewReplacer(
		"INSERTED", c.postgresInsert("insert", "n", "NULL", n, "gapless_new n"),
		"DELETED", c.postgresInsert("delete", "o", o, "NULL", "gapless_old o"),
		"UPDATED", c.postgresInsert("update", "n", o, n, "gapless_old o JOIN gapless_new n ON "+strings.Join(same, " AND ")+
			" WHERE "+c.postgresRecord("o")+" *<> "+c.postgresRecord("n")),
		"LOST", c.postgresInsert("delete", "o", o, "NULL", "gapless_old o LEFT JOIN gapless_new n ON "+strings.Join(same, " AND ")+" WHERE n."+first+" IS NULL"),
		"GAINED", c.postgresInsert("insert", "n", "NULL", n, "gapless_new n LEFT JOIN gapless_old o ON "+strings.Join(same, " AND ")+" WHERE o."+first+" IS NULL"),
		"TRUNCATED", c.postgresInsert("truncate", "", "NULL", "NULL", ""),
	).Replace(`
BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERTED;
	ELSIF TG_OP = 'UPDATE' THEN
		LOST;
		GAINED;
		UPDATED;
	ELSIF TG_OP = 'DELETE' THEN
		DELETED;
	ELSE
		TRUNCATED;
	END IF;
	RETURN NULL;
END`)
}

// postgresRow is an expression: the row as JSON.
func (c *capture) postgresRow(alias string) string {
	columns := make([]string, len(c.table.Columns))
	for i, name := range c.table.Columns {
		columns[i] = c.value(alias, name) + " AS " + c.on.quote(name)
	}
	return "(SELECT row_to_json(r) FROM (SELECT " + strings.Join(columns, ", ") + ") r)"
}

// postgresRecord has the watched columns, to be compared byte by byte: not all
// types have an equality.
func (c *capture) postgresRecord(alias string) string {
	columns := make([]string, len(c.table.Watch))
	for i, name := range c.table.Watch {
		columns[i] = alias + "." + c.on.quote(name)
	}
	return "(SELECT r FROM (SELECT " + strings.Join(columns, ", ") + ") r)" // ROW(…) would compare by the columns' operators
}

// postgresInsert is a statement that logs the rows of from.
func (c *capture) postgresInsert(what, keyOf, before, after, from string) string {
	s := c.settings
	table := s.names.inbox
	if s.Mode == Fence {
		table = s.names.log
	}
	key := "''"
	if keyOf != "" {
		key = c.keyText(keyOf, "json_build_array(%)::text", "%::text")
	}
	data := "json_build_object('old', " + before + ", 'new', " + after + ")::text"
	names, values := []string{}, []string{}
	add := func(column, value string) {
		if column == "" {
			return
		}
		kind := c.target[column].kind
		switch kind {
		case "", "text":
		case "bytea":
			value = "convert_to(" + value + ", 'UTF8')"
		default:
			value = "(" + value + ")::" + kind
		}
		names, values = append(names, s.names.quote(column)), append(values, value)
	}
	add(s.columns.Topic, literal(Postgres, c.table.Topic))
	add(s.columns.Type, literal(Postgres, c.table.Type+"."+what))
	add(s.columns.Key, key)
	add(s.columns.Data, data)
	if time := c.target[s.columns.Time]; !time.hasDef {
		add(s.columns.Time, postgresNow(time.kind))
	}
	insert := "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", ")
	if from != "" {
		insert += " FROM " + from
	}
	return insert
}

// postgresText are the settings under which a value is always the same text.
var postgresText = []string{"TimeZone=UTC", "DateStyle=ISO, MDY", "IntervalStyle=postgres", "extra_float_digits=1"}

// comparePostgres compares the function, and looks for the triggers.
func (c *capture) comparePostgres(ctx context.Context, db *sqlx.DB) ([]string, error) {
	var source sql.NullString
	var settled bool
	err := db.QueryRowContext(ctx, "SELECT max(prosrc), coalesce(bool_and(prosecdef AND proconfig @> $2 AND proconfig::text LIKE '%search_path=%'), false)"+
		" FROM pg_proc WHERE oid = to_regprocedure($1)", c.on.qualify(c.name("row"))+"()", pq.Array(postgresText)).Scan(&source, &settled)
	if err != nil {
		return nil, err
	}
	if source.Valid && !settled {
		source.String += " with other settings"
	}
	var found problems
	if problem := differs(c.name("row"), source.String, c.postgresBody()); problem != "" {
		found = append(found, problem)
	}
	triggers := c.postgresTriggers()[1:] // without the function
	for i, kind := range []int{afterInsert, afterUpdate, afterDelete, afterTruncate} {
		w := wantedTrigger{c.on.log, triggers[i].name, c.on.qualify(c.name("row")), kind, false, "captures changes"}
		if err := found.verifyTrigger(ctx, db, w); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// checkKey wants the key to be unique and without NULL: the rows of an UPDATE
// are paired by it.
func (c *capture) checkKey(ctx context.Context, db *sqlx.DB) error {
	for _, k := range c.table.Key {
		if !c.kinds[k].notNull {
			return fmt.Errorf("the key column %q may be NULL, which identifies no row: make it NOT NULL", k)
		}
	}
	var unique bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"+
		" AND (SELECT bool_and(a.attname = ANY ($2)) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[:i.indnkeyatts - 1])))", c.on.log, pq.Array(c.table.Key)).Scan(&unique)
	if err == nil && !unique {
		err = fmt.Errorf("no unique index says that %q identify a row: make one, or name other columns in Table.Key", c.table.Key)
	}
	return err
}
