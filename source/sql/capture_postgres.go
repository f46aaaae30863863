package sqllog

import (
	"context"
	"database/sql"
	"strings"

	"github.com/jmoiron/sqlx"
)

// postgresTriggers are statement-level triggers with transition tables: a bulk
// statement costs one INSERT. They share one function.
func (c *capture) postgresTriggers() []trigger {
	function := c.on.qualify(c.name("row"))
	triggers := []trigger{{"", postgresFunction(function, c.postgresBody())}}
	for _, t := range [...]struct{ suffix, when, tables string }{
		{"insert", "AFTER INSERT", "REFERENCING NEW TABLE AS gapless_new"},
		{"update", "AFTER UPDATE", "REFERENCING OLD TABLE AS gapless_old NEW TABLE AS gapless_new"},
		{"delete", "AFTER DELETE", "REFERENCING OLD TABLE AS gapless_old"},
		{"truncate", "AFTER TRUNCATE", ""},
	} {
		name := c.name(t.suffix)
		triggers = append(triggers, trigger{name, "CREATE TRIGGER " + c.on.quote(name) + " " + t.when + " ON " + c.on.log + " " + t.tables +
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
		columns[i] = alias + "." + c.on.quote(name)
		if c.kinds[name].kind == "bytea" {
			columns[i] = "encode(" + columns[i] + ", 'hex') AS " + c.on.quote(name)
		}
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

// keyText is the key as text; % stands for the columns in the forms for
// several and for one.
func (c *capture) keyText(alias, several, one string) string {
	columns := make([]string, len(c.table.Key))
	for i, k := range c.table.Key {
		columns[i] = alias + "." + c.on.quote(k)
	}
	form := several
	if len(columns) == 1 {
		form = one
	}
	return strings.Replace(form, "%", strings.Join(columns, ", "), 1)
}

// comparePostgres compares the function's text and looks for the triggers.
func (c *capture) comparePostgres(ctx context.Context, db *sqlx.DB) ([]string, error) {
	var source sql.NullString
	err := db.QueryRowContext(ctx, "SELECT (SELECT prosrc FROM pg_proc WHERE oid = to_regproc($1))", c.on.qualify(c.name("row"))).Scan(&source)
	if err != nil {
		return nil, err
	}
	var found problems
	if problem := differs(c.name("row"), source.String, c.postgresBody()); problem != "" {
		found = append(found, problem)
	}
	for _, t := range c.postgresTriggers()[1:] {
		if err := found.verifyTrigger(ctx, db, c.on.log, t.name, "captures changes"); err != nil {
			return nil, err
		}
	}
	return found, nil
}
