package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// room is how many bytes the functions of a trigger may return: beyond
// max_allowed_packet they return NULL, or an error. A part of it is kept for the
// names around the values.
const room = "(LEAST(@@SESSION.max_allowed_packet, @@GLOBAL.max_allowed_packet) - %d)"

func (c capture) room(rows []string) string {
	reserved := 1024
	for _, name := range c.Table.Columns {
		reserved += (6*len(name)+smallBytes)*len(rows) + 6*len(name) + len(`"": "too large", `)
	}
	return fmt.Sprintf(room, reserved)
}

// emit writes one event; of, the row that its key and topic are of, and the rows
// that it shows are OLD or NEW. If the rows may be too large for a function, it
// omits the largest values.
func (c capture) emit(what, of string, rows ...string) string {
	var bounds []string
	for _, row := range rows {
		for _, name := range c.Table.Columns {
			if bound := c.bound(row, name); bound != "" {
				bounds = append(bounds, bound)
			}
		}
	}
	insert := c.insert(what, of, "JSON_OBJECT('old', "+c.object("OLD", rows)+", 'new', "+c.object("NEW", rows)+")")
	if len(bounds) == 0 {
		return insert
	}
	return "IF " + strings.Join(bounds, " + ") + " <= " + c.room(rows) + " THEN " + insert + " ELSE " + c.emitShortened(what, of, rows) + " END IF;"
}

func (c capture) object(row string, rows []string) string {
	if !slices.Contains(rows, row) {
		return "NULL"
	}
	parts := make([]string, len(c.Table.Columns))
	for i, name := range c.Table.Columns {
		parts[i] = literal(name) + ", " + c.value(row, name)
	}
	return "JSON_OBJECT(" + strings.Join(parts, ", ") + ")"
}

func (c capture) insert(what, of, data string) string {
	columns, values := "topic, type, `key`, time, data", []string{
		c.topic(of), literal(c.Table.Type + "." + what), c.key(of), now, "CONVERT(" + data + " USING utf8mb4)",
	}
	if len(c.Table.Meta) > 0 {
		columns, values = columns+", meta", append(values, c.meta())
	}
	return "INSERT INTO " + c.Settings.Names.Inbox + " (" + columns + ") VALUES (" + strings.Join(values, ", ") + ");"
}

// emitShortened leaves out the largest value until the rest has room.
func (c capture) emitShortened(what, of string, rows []string) string {
	var declare, total []string
	limit := map[string]string{} // columns that may be large, by the variable with their size
	for i, name := range c.Table.Columns {
		if c.bound(rows[0], name) == "" {
			continue
		}
		var sizes []string
		for _, row := range rows {
			sizes = append(sizes, c.size(row, name))
		}
		variable := fmt.Sprintf("gapless_size%d", i)
		declare = append(declare, "DECLARE "+variable+" BIGINT DEFAULT "+strings.Join(sizes, " + ")+";")
		total = append(total, "IF("+variable+" > gapless_most, 0, "+variable+")")
		limit[name] = variable
	}
	var omitted []string
	for _, name := range c.Table.Columns {
		if variable := limit[name]; variable != "" {
			omitted = append(omitted, "IF("+variable+" > gapless_most, "+literal(engine.JSONText(name)+`: "too large"`)+", NULL)")
		}
	}
	data := "CONCAT('{\"old\": ', " + c.shortened("OLD", rows, limit) + ", ', \"new\": ', " + c.shortened("NEW", rows, limit) +
		", ', \"omitted\": {', CONCAT_WS(', ', " + strings.Join(omitted, ", ") + "), '}}')"
	return "BEGIN DECLARE gapless_most BIGINT DEFAULT " + c.room(rows) + "; " + strings.Join(declare, " ") +
		" WHILE " + strings.Join(total, " + ") + " > " + c.room(rows) + " DO SET gapless_most = GREATEST(0, " + strings.Join(total, ", ") + ") - 1; END WHILE; " + c.insert(what, of, data) + " END;"
}

// shortened is a row as JSON without the values that are too large. JSON_ARRAY
// writes one value; its brackets are taken off.
func (c capture) shortened(row string, rows []string, limit map[string]string) string {
	if !slices.Contains(rows, row) {
		return "'null'"
	}
	var parts []string
	for _, name := range c.Table.Columns {
		array := "JSON_ARRAY(" + c.value(row, name) + ")"
		part := "CONCAT(" + literal(engine.JSONText(name)+": ") + ", SUBSTRING(" + array + ", 2, CHAR_LENGTH(" + array + ") - 2))"
		if variable := limit[name]; variable != "" {
			part = "IF(" + variable + " > gapless_most, NULL, " + part + ")"
		}
		parts = append(parts, part)
	}
	return "CONCAT('{', CONCAT_WS(', ', " + strings.Join(parts, ", ") + "), '}')"
}

// maxMetaBytes is what a value of Meta may have.
const maxMetaBytes = 1000

// meta is an object with those user variables that are set; those that are longer
// are left out.
func (c capture) meta() string {
	parts := make([]string, len(c.Table.Meta))
	for i, m := range c.Table.Meta {
		variable := "@" + c.On.Quote(m.Source.Variable)
		parts[i] = fmt.Sprintf("IF(LENGTH(%s) <= %d, CONCAT(%s, JSON_QUOTE(%s)), NULL)", variable, maxMetaBytes, literal(engine.JSONText(m.Key)+": "), variableText(variable))
	}
	return "NULLIF(CONCAT('{', CONCAT_WS(', ', " + strings.Join(parts, ", ") + "), '}'), '{}')"
}

// variableText is a user variable as text. A number and bytes have no character
// set; bytes that are not ASCII are written in hexadecimal.
func variableText(variable string) string {
	latin := "CONVERT(" + variable + " USING latin1)"
	return "IF(CHARSET(" + variable + ") = 'binary', IF(LENGTH(CONVERT(" + latin + " USING utf8mb4)) = LENGTH(" + variable + "), " + latin + ", LOWER(HEX(" + variable + ")))," +
		" CONVERT(" + variable + " USING utf8mb4))"
}
