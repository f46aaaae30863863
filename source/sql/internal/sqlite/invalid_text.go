package sqlite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// A text of SQLite may be any bytes, and no function of a trigger tells which
// texts are UTF-8. So a captured change is looked at when it is read: what is not
// UTF-8 is left out of its Data, and written in hexadecimal in its Key.

func makeValid(p *engine.RowPage) {
	if p.At != nil {
		makeEventValid(p.At)
	}
	if p.Top != nil {
		makeEventValid(p.Top)
	}
	for i := range p.Events {
		makeEventValid(&p.Events[i])
	}
}

func makeEventValid(e *cdc.Event) {
	if !bytes.HasPrefix(e.Data, []byte(`{"old":`)) || utf8.Valid(e.Data) && utf8.ValidString(e.Key) && utf8.ValidString(e.Topic) {
		return
	}
	if data, ok := validData(e.Data); ok {
		e.Data, e.Key, e.Topic = data, validKey(e.Key), validTopic(e.Topic)
	}
}

// validData omits the columns that are not UTF-8. It wants the form of a captured
// change.
func validData(data []byte) (valid []byte, ok bool) {
	var change struct {
		Old     map[string]json.RawMessage `json:"old"`
		New     map[string]json.RawMessage `json:"new"`
		Omitted map[string]string          `json:"omitted,omitempty"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if d.Decode(&change) != nil {
		return nil, false
	}
	for _, row := range []map[string]json.RawMessage{change.Old, change.New} {
		for name, value := range row {
			if utf8.Valid(value) {
				continue
			}
			if change.Omitted == nil {
				change.Omitted = map[string]string{}
			}
			change.Omitted[name] = "not UTF-8"
		}
	}
	for name := range change.Omitted {
		delete(change.Old, name)
		delete(change.New, name)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(change) != nil {
		return nil, false
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), true
}

// validKey writes bytes as x'ff'text, which is no key of another value.
func validKey(key string) string {
	if utf8.ValidString(key) {
		return key
	}
	var parts []json.RawMessage
	if json.Unmarshal([]byte(key), &parts) != nil {
		return fmt.Sprintf("x'%x'text", key)
	}
	for i, part := range slices.Clone(parts) {
		if !utf8.Valid(part) {
			parts[i] = fmt.Appendf(nil, `"x'%x'text"`, part)
		}
	}
	return "[" + string(bytes.Join(rawBytes(parts), []byte(","))) + "]"
}

func rawBytes(parts []json.RawMessage) [][]byte {
	all := make([][]byte, len(parts))
	for i, part := range parts {
		all[i] = part
	}
	return all
}

// validTopic writes bytes that are not UTF-8 as %ff.
func validTopic(topic string) string {
	var b strings.Builder
	for i, r := range topic {
		if r == utf8.RuneError && !strings.HasPrefix(topic[i:], string(utf8.RuneError)) {
			fmt.Fprintf(&b, "%%%02x", topic[i])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
