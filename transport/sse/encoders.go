package sse

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
)

// Payload is an [Encoder] that sends the data of an event alone, as text. Data
// that is not UTF-8 has no such form and is sent in the envelope. Line ends
// arrive as LF.
var Payload Encoder = EncoderFunc(func(dst []byte, _ cdc.Cursor, e cdc.Event) ([]byte, error) {
	if !utf8.Valid(e.Data) {
		return dst, errors.New("the data is not UTF-8")
	}
	return append(dst, e.Data...), nil
})

// CloudEvents is an [Encoder] that sends each event as a CloudEvent 1.0 in its
// JSON format, with the cursor as extension attribute:
//
//	{"specversion":"1.0","id":…,"source":…,"type":…,"subject":<key>,"time":…,
//	 "cursor":…,"topic":…,"datacontenttype":"application/json","data":…|"data_base64":…}
//
// The id is that of the event, or its cursor if it has none; an empty type is
// DefaultType, an empty topic or key is left out. One of blanks alone counts as
// empty, as validators have it.
type CloudEvents struct {
	// Source is the source attribute, a URI reference that names this log,
	// such as "https://shop.example.com/orders". It must not be empty.
	Source string

	// DefaultType is the type of events that have none: a CloudEvent must have
	// one. Empty means "event".
	DefaultType string
}

func (v CloudEvents) check() error {
	if v.Source == "" {
		return errors.New("CloudEvents.Source is empty: name the log by a URI")
	}
	return nil
}

// Encode implements [Encoder].
func (v CloudEvents) Encode(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error) {
	if err := v.check(); err != nil {
		return dst, err
	}
	cursor := c.String()
	id, typ := e.ID, e.Type
	if blank(id) {
		id = cursor
	}
	if blank(typ) {
		typ = v.DefaultType
	}
	if blank(typ) {
		typ = "event"
	}
	dst = appendString(append(dst, `{"specversion":"1.0","id":`...), id)
	dst = appendString(append(dst, `,"source":`...), v.Source)
	dst = appendString(append(dst, `,"type":`...), typ)
	if !blank(e.Key) {
		dst = appendString(append(dst, `,"subject":`...), e.Key)
	}
	dst = appendTime(append(dst, `,"time":`...), e.Time)
	dst = appendString(append(dst, `,"cursor":`...), cursor)
	if !blank(e.Topic) {
		dst = appendString(append(dst, `,"topic":`...), e.Topic)
	}
	if isJSON(e.Data) {
		dst = append(append(dst, `,"datacontenttype":"application/json","data":`...), e.Data...)
	} else {
		dst = appendBase64(append(dst, `,"data_base64":`...), e.Data)
	}
	return append(dst, '}'), nil
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
