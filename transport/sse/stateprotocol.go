package sse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// StateProtocol is an [Encoder] that sends each event as a change message of
// the State Protocol 1.0 of Durable Streams
// (https://github.com/durable-streams/durable-streams, packages/state):
//
//	{"type":"orders","key":"17","value":{…},"old_value":{…},
//	 "headers":{"operation":"insert|update|delete","txid":…,"timestamp":…}}
//
// The cursor is in the frame's id alone: the protocol allows no other members.
// An event that is no change, by the judgement of Change, is sent in the
// envelope instead, and Options.OnError is told.
type StateProtocol struct {
	// Change says which change an event is. nil means [ChangeOf].
	Change func(cdc.Event) (StateChange, error)
}

// StateChange is what happened to an entity.
type StateChange struct {
	Type      string // of the entity; not empty
	Key       string // the entity among those of its type; not empty
	Operation string // "insert", "update" or "delete"

	// Value is what the entity is now, as JSON; nil only after a delete.
	// OldValue is what it was; nil leaves it out.
	Value, OldValue json.RawMessage

	TxID string // names the transaction; empty leaves it out
}

// operationOf is the operation that the last word of an event's type means;
// empty if it means none.
func operationOf(word string) string {
	switch word {
	case "insert", "inserted", "created":
		return "insert"
	case "update", "updated", "changed":
		return "update"
	case "delete", "deleted", "removed":
		return "delete"
	}
	return ""
}

// ChangeOf reads a type such as "orders.insert" or "order.created": what comes
// before the last dot is the entity's type, the word after it the operation.
// Data of the form {"old":…,"new":…}, which the triggers of source/sql make, is
// taken apart; other JSON is the value. A txid is taken from Meta.
func ChangeOf(e cdc.Event) (StateChange, error) {
	dot := strings.LastIndexByte(e.Type, '.')
	c := StateChange{Type: e.Type[:max(dot, 0)], Key: e.Key, Operation: operationOf(e.Type[dot+1:]), TxID: e.Meta["txid"]}
	if c.Operation == "" {
		return c, fmt.Errorf("type %q does not end in an operation such as .insert, .update or .delete: set StateProtocol.Change", e.Type)
	}
	if len(e.Data) > 0 {
		c.Value = e.Data
	}
	var row map[string]json.RawMessage
	if json.Unmarshal(e.Data, &row) == nil && len(row) == 2 && row["old"] != nil && row["new"] != nil {
		c.Value, c.OldValue = row["new"], row["old"]
		if c.Operation == "insert" || bytes.Equal(c.OldValue, []byte("null")) {
			c.OldValue = nil
		}
	}
	return c, nil
}

// Encode implements [Encoder].
func (v StateProtocol) Encode(dst []byte, _ cdc.Cursor, e cdc.Event) ([]byte, error) {
	change := v.Change
	if change == nil {
		change = ChangeOf
	}
	c, err := change(e)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return dst, fmt.Errorf("StateProtocol: %w", err)
	}
	dst = appendString(append(dst, `{"type":`...), c.Type)
	dst = appendString(append(dst, `,"key":`...), c.Key)
	if c.Value != nil {
		dst = append(append(dst, `,"value":`...), c.Value...)
	}
	if c.OldValue != nil {
		dst = append(append(dst, `,"old_value":`...), c.OldValue...)
	}
	dst = appendString(append(dst, `,"headers":{"operation":`...), c.Operation)
	if c.TxID != "" {
		dst = appendString(append(dst, `,"txid":`...), c.TxID)
	}
	return append(appendTime(append(dst, `,"timestamp":`...), e.Time), "}}"...), nil
}

func (c StateChange) check() error {
	switch {
	case c.Type == "":
		return errors.New("the change has no type")
	case c.Key == "":
		return errors.New("the change has no key")
	case c.Operation != "insert" && c.Operation != "update" && c.Operation != "delete":
		return fmt.Errorf("operation %q is none of insert, update and delete", c.Operation)
	case c.Value == nil && c.Operation != "delete":
		return fmt.Errorf("an %s needs a value", c.Operation)
	case c.Value != nil && !isJSON(c.Value) || c.OldValue != nil && !isJSON(c.OldValue):
		return errors.New("the value is not JSON")
	}
	return nil
}
