package cdc

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// DefaultMaxEventBytes is the largest [Event.Size] that a log accepts unless
// its options say otherwise: 1 MiB.
const DefaultMaxEventBytes = 1 << 20

// ReservedTypePrefix starts the event types that belong to Gapless: control
// frames of the transports use it, so an event of this type is refused by
// [CheckAppend].
const ReservedTypePrefix = "cdc."

// Event is one change in a log. Events handed out by a log are immutable: they
// are shared between readers and may be kept for ever.
type Event struct {
	Seq   uint64            // position, assigned by the log; never 0 in a log
	ID    string            // optional; unique while retained: appending it again returns the first result
	Topic string            // where: a table, a project, a room; may be empty
	Type  string            // what happened: "order.created"; not "cdc.…"
	Key   string            // to what: a primary key; may be empty
	Time  time.Time         // when the log accepted it; UTC, whole microseconds
	Data  []byte            // payload, the exact bytes that were appended; nil and empty are the same
	Meta  map[string]string // optional: trace context and the like
}

// Size is the number of bytes of the event's texts, payload and metadata. It
// is what MaxEventBytes and the page size of about 1 MiB are counted in.
func (e Event) Size() int {
	n := len(e.ID) + len(e.Topic) + len(e.Type) + len(e.Key) + len(e.Data)
	for k, v := range e.Meta {
		n += len(k) + len(v)
	}
	return n
}

// Clone returns a copy that shares no memory with e. An empty Data stays
// empty, a nil one stays nil.
func (e Event) Clone() Event {
	e.Data = slices.Clone(e.Data)
	e.Meta = maps.Clone(e.Meta)
	return e
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	ieee       = crc32.MakeTable(crc32.IEEE)
)

// Tag is a short hash of the event's time, type, key and data: 11 characters
// of unpadded base64url. A [Cursor] carries it so that a log that was rewound
// and grew again is noticed though epoch and seq look right (the role of
// prevLogTerm in Raft, Ongaro and Ousterhout 2014, section 5.3).
//
// It is 64 bits: CRC-32C and CRC-32 (IEEE 802.3) of the microseconds of Time
// (8 bytes), Type and Key (each after its length in 4 bytes) and Data, all
// integers big-endian. Both run in hardware. It detects accidents, not forgery.
func (e Event) Tag() string {
	var room [96]byte
	h := binary.BigEndian.AppendUint64(room[:0], uint64(e.Time.UnixMicro()))
	h = binary.BigEndian.AppendUint32(h, uint32(len(e.Type)))
	h = append(h, e.Type...)
	h = binary.BigEndian.AppendUint32(h, uint32(len(e.Key)))
	h = append(h, e.Key...)

	var sum [8]byte
	binary.BigEndian.PutUint32(sum[:], crc32.Update(crc32.Checksum(h, castagnoli), castagnoli, e.Data))
	binary.BigEndian.PutUint32(sum[4:], crc32.Update(crc32.Checksum(h, ieee), ieee, e.Data))
	var text [11]byte
	base64.RawURLEncoding.Encode(text[:], sum[:])
	return string(text[:])
}

// Cursor is the position of the event in the log of that epoch, with its tag.
func (e Event) Cursor(epoch string) Cursor {
	return Cursor{Epoch: epoch, Seq: e.Seq, Tag: e.Tag()}
}

// CheckAppend says why a log must refuse these events: an [*InvalidEventError]
// for a reserved Type or a text that is not UTF-8 or has a NUL in it (some
// stores cannot hold either), a [*TooLargeError] for one of more than maxBytes
// (0 means [DefaultMaxEventBytes]). Every [Appender] calls it first, so that an
// event which one store accepts is accepted by all. Data may be any bytes.
func CheckAppend(events []Event, maxBytes int) error {
	if maxBytes <= 0 {
		maxBytes = DefaultMaxEventBytes
	}
	for i, e := range events {
		if size := e.Size(); size > maxBytes {
			return &TooLargeError{Index: i, Size: size, Max: maxBytes}
		}
		if strings.HasPrefix(e.Type, ReservedTypePrefix) {
			return &InvalidEventError{Index: i, Field: "Type", Problem: fmt.Sprintf("%q starts with the reserved %q", e.Type, ReservedTypePrefix)}
		}
		for _, f := range [...]struct{ name, text string }{{"ID", e.ID}, {"Topic", e.Topic}, {"Type", e.Type}, {"Key", e.Key}} {
			if problem := badText(f.text); problem != "" {
				return &InvalidEventError{Index: i, Field: f.name, Problem: problem}
			}
		}
		for k, v := range e.Meta {
			if problem := badText(k) + badText(v); problem != "" {
				return &InvalidEventError{Index: i, Field: "Meta", Problem: problem}
			}
		}
	}
	return nil
}

func badText(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "is not valid UTF-8; put raw bytes into Data"
	case strings.IndexByte(s, 0) >= 0:
		return "contains a NUL byte; put raw bytes into Data"
	}
	return ""
}
