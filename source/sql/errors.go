package sqllog

import (
	"fmt"
	"strings"
)

// SchemaError names what differs between the database and what the log needs.
type SchemaError struct {
	Table    string   // of the log, or the captured one
	Problems []string // each says what is wrong, and what to do if that is not obvious
}

// Error lists the problems.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("table %s cannot serve as a log: %s", e.Table, strings.Join(e.Problems, "; "))
}

// PlaceSchemaError names what differs between the database and what a place
// needs.
type PlaceSchemaError struct {
	Place    string
	Problems []string // each says what is wrong, and what to do if that is not obvious
}

// Error lists the problems.
func (e *PlaceSchemaError) Error() string {
	return fmt.Sprintf("the tables of place %s cannot keep workers: %s", e.Place, strings.Join(e.Problems, "; "))
}
