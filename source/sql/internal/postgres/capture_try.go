package postgres

import (
	"strings"
)

// What is tried is rolled back by this error, which nobody else raises.
const tried = "GL000"

// tryTwin is a statement that feeds a sample of the table's rows to the triggers
// of a twin, with the names as they are at install and after they have changed.
// Nothing of it stays: neither the twin nor an event.
func (p plan) tryTwin() string {
	twin := p
	capture := *p.Capture
	capture.On = capture.On.Rename(p.Name("twin"))
	twin.Capture = &capture
	statements := []string{"CREATE TABLE " + twin.On.Log + " (LIKE " + p.On.Log + ")", twin.rowFunction().create()}
	for _, t := range twin.triggers() {
		statements = append(statements, "CREATE "+t.create(twin.On.Log, twin.function()))
	}
	key := quote(p.Table.Key[0])
	for _, table := range []string{twin.On.Log, p.On.Qualify(p.Name("moved"))} {
		if table != twin.On.Log {
			statements = append(statements, "ALTER TABLE "+twin.On.Log+" RENAME TO "+quote(p.Name("moved")))
		}
		insert := "INSERT INTO " + table + " SELECT * FROM " + p.On.Log + " LIMIT 100"
		statements = append(statements, insert, "UPDATE "+table+" SET "+key+" = "+key, "DELETE FROM "+table, insert, "TRUNCATE "+table)
	}
	return rolledBack("WHEN SQLSTATE '"+tried+"' THEN NULL;", statements...)
}

// tryEmpty are statements that fire the triggers of the table itself for no
// rows. What this user may not do, and what a trigger of the user's refuses, is
// not tried.
func (p plan) tryEmpty() []string {
	const allowed = "WHEN SQLSTATE '" + tried + "' OR insufficient_privilege OR raise_exception THEN NULL;"
	statements := []string{
		"UPDATE " + p.On.Log + " SET " + quote(p.Table.Key[0]) + " = DEFAULT WHERE false",
		"DELETE FROM " + p.On.Log + " WHERE false",
	}
	for _, name := range p.used() {
		if column := quote(name); !p.columns[name].generated {
			statements = append(statements, "INSERT INTO "+p.On.Log+" ("+column+") OVERRIDING SYSTEM VALUE SELECT "+column+" FROM "+p.On.Log+" WHERE false")
			break
		}
	}
	for i, s := range statements {
		statements[i] = rolledBack(allowed, s)
	}
	return statements
}

// rolledBack runs the statements and undoes them.
func rolledBack(handler string, statements ...string) string {
	var b strings.Builder
	b.WriteString("BEGIN\n")
	for _, s := range statements {
		b.WriteString("\tEXECUTE " + literal(s) + ";\n")
	}
	b.WriteString("\tRAISE EXCEPTION 'tried' USING ERRCODE = '" + tried + "';\nEXCEPTION " + handler + "\nEND")
	return "DO " + dollarQuote(b.String())
}
