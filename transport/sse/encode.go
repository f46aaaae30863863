package sse

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
)

// Encoder makes the data of an event's frame. Line ends in it are taken care
// of by the Handler, which also writes the id.
type Encoder interface {
	// Encode appends the data to dst and returns it, or returns memory of its
	// own, which is copied before the next call. c is the position of the
	// event. The event must not be changed. If it fails or panics, the event
	// is sent in the form of [Envelope] with dataBase64, which always encodes:
	// one payload never stops a stream.
	Encode(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error)
}

// EncoderFunc is a function that is an [Encoder].
type EncoderFunc func(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error)

// Encode calls f.
func (f EncoderFunc) Encode(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error) {
	return f(dst, c, e)
}

// Envelope is the default [Encoder]:
//
//	{"cursor":"…","topic":"…","type":"…","key":"…","time":"2006-01-02T15:04:05.123456Z","id":"…","data":…}
//
// Data that is valid JSON in UTF-8 is in data as it is; everything else, no
// data at all included, is in dataBase64. id is left out if it is empty.
var Envelope Encoder = envelope{}

type envelope struct {
	base64 bool // always dataBase64
	meta   bool // with "meta", which holds Event.Meta
}

func (v envelope) Encode(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error) {
	dst = append(dst, `{"cursor":"`...)
	dst, _ = c.AppendText(dst)
	dst = appendString(append(dst, `","topic":`...), e.Topic)
	dst = appendString(append(dst, `,"type":`...), e.Type)
	dst = appendString(append(dst, `,"key":`...), e.Key)
	dst = appendTime(append(dst, `,"time":`...), e.Time)
	if e.ID != "" {
		dst = appendString(append(dst, `,"id":`...), e.ID)
	}
	if !v.base64 && isJSON(e.Data) {
		dst = append(append(dst, `,"data":`...), e.Data...)
	} else {
		dst = appendBase64(append(dst, `,"dataBase64":`...), e.Data)
	}
	if v.meta && len(e.Meta) > 0 {
		meta, err := json.Marshal(e.Meta)
		if err != nil {
			return dst, err
		}
		dst = append(append(dst, `,"meta":`...), meta...)
	}
	return append(dst, '}'), nil
}

// isJSON reports whether the data can stand in JSON: Go takes invalid UTF-8
// in strings, a browser would replace it.
func isJSON(data []byte) bool { return json.Valid(data) && utf8.Valid(data) }

func appendBase64(dst, data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), data), '"')
}

func appendTime(dst []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
}

// appendString appends s as a JSON string. Most texts need no escape.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// framer makes the frame of an event.
type framer struct {
	encoder Encoder
	name    func(cdc.Event) string // nil: none
	compat  bool
	onError func(error)
}

// appendFrame appends the frame of the event. The id is its last line: there
// are clients that keep an id as soon as they have read it, and others that take
// an incomplete frame for a complete one, and neither must resume after
// an event that it has not got. scratch is memory for the data, which is returned
// to be used again; it is always the framer's own.
func (f *framer) appendFrame(dst, scratch []byte, epoch string, e cdc.Event) (frame, memory []byte) {
	c := cdc.Cursor{Epoch: epoch, Seq: e.Seq}
	if f.compat {
		c.Epoch = ""
	} else {
		c.Tag = e.Tag()
	}
	name, data, err := f.encode(scratch[:0], c, e)
	if err != nil {
		f.onError(fmt.Errorf("sse: encode event %s: %w", c, err))
		name = ""
		data, _ = envelope{base64: true}.Encode(scratch[:0], c, e)
	}
	if validName(name) {
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	dst = append(appendData(dst, data), "id: "...)
	dst, _ = c.AppendText(dst)
	return append(dst, "\n\n"...), reusable(scratch, len(data))
}

// reusable returns scratch, or larger memory if the data did not fit. What an
// Encoder returned is not kept, though it may be scratch that append has moved:
// it may as well be e.Data, or memory that the Encoder shares with others.
func reusable(scratch []byte, needed int) []byte {
	if needed <= cap(scratch) {
		return scratch
	}
	return make([]byte, 0, needed+needed/4)
}

// encode runs the code of the application. It gets the event in a form in which
// an append to the data or a change of the metadata stays its own affair.
func (f *framer) encode(dst []byte, c cdc.Cursor, e cdc.Event) (name string, data []byte, err error) {
	e.Data = slices.Clip(e.Data)
	if _, own := f.encoder.(envelope); len(e.Meta) > 0 && (!own || f.name != nil) {
		e.Meta = maps.Clone(e.Meta)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if f.name != nil {
		name = f.name(e)
	}
	data, err = f.encoder.Encode(dst, c, e)
	return name, data, err
}

// appendData appends the data: lines of a frame: a new one after each CR, LF
// or CRLF, as the receiver of the stream splits them.
func appendData(dst, data []byte) []byte {
	// As a rule there is none, and IndexByte is ten times as fast as IndexAny.
	oneLine := bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0
	for {
		dst = append(dst, "data: "...)
		end := -1
		if !oneLine {
			end = bytes.IndexAny(data, "\r\n")
		}
		if end < 0 {
			return append(append(dst, data...), '\n')
		}
		dst = append(append(dst, data[:end]...), '\n')
		if data[end] == '\r' && end+1 < len(data) && data[end+1] == '\n' {
			end++
		}
		data = data[end+1:]
	}
}
