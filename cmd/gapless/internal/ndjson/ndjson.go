// Package ndjson writes and reads events as lines of JSON.
package ndjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
)

// line is an event as Encode writes it and Decode reads it. Cursor, seq and time are the log's: Decode takes no notice of them.
type line struct {
	Cursor     string            `json:"cursor,omitempty"`
	Seq        uint64            `json:"seq,omitempty"`
	Topic      string            `json:"topic"`
	Type       string            `json:"type"`
	Key        string            `json:"key"`
	Time       *time.Time        `json:"time,omitempty"`
	ID         string            `json:"id,omitempty"`
	Data       json.RawMessage   `json:"data,omitempty"`
	DataBase64 []byte            `json:"dataBase64,omitempty"`
	Meta       map[string]string `json:"meta,omitempty"`
}

// Encode adds the event as one line. One without a seq is in no log yet, and gets
// no cursor.
func Encode(dst *bytes.Buffer, epoch string, e cdc.Event) error {
	l := line{Seq: e.Seq, Topic: e.Topic, Type: e.Type, Key: e.Key, ID: e.ID, Meta: e.Meta}
	if e.Seq > 0 {
		l.Cursor = e.Cursor(epoch).String()
	}
	if !e.Time.IsZero() {
		l.Time = &e.Time
	}
	if len(e.Data) > 0 && utf8.Valid(e.Data) && json.Valid(e.Data) {
		l.Data = e.Data
	} else {
		l.DataBase64 = e.Data
	}
	encoder := json.NewEncoder(dst)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(l)
}

// Decode reads an event.
func Decode(text []byte) (cdc.Event, error) {
	if !utf8.Valid(text) {
		return cdc.Event{}, errors.New("it is not UTF-8")
	}
	var l line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return cdc.Event{}, fmt.Errorf("it is no event like {\"topic\":\"orders\",\"type\":\"order.created\",\"key\":\"o-1\",\"data\":{\"total\":42}}: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if rest := text[decoder.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return cdc.Event{}, errors.New("something follows the event: write one on each line")
	}
	if l.Type == "" && l.Data == nil && l.DataBase64 == nil {
		return cdc.Event{}, errors.New("it has neither a type nor data")
	}
	e := cdc.Event{ID: l.ID, Topic: l.Topic, Type: l.Type, Key: l.Key, Data: l.Data, Meta: l.Meta}
	if l.DataBase64 != nil {
		e.Data = l.DataBase64
	}
	return e, cdc.CheckAppend([]cdc.Event{e}, 0)
}
