package cdc

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
)

// MaxCursorBytes is the longest text form of a [Cursor].
const MaxCursorBytes = 128

const (
	maxEpochBytes = 64
	maxTagBytes   = 32
)

// Cursor is a position in a log: everything up to and including Seq has been
// seen. Its text form is
//
//	<epoch>.<seq>.<tag>     or     <epoch>.<seq>     or     <seq>
//
// of [A-Za-z0-9._~-] only, at most [MaxCursorBytes] long; the seq is decimal
// without leading zeros. In JSON it is a string. The form without an epoch is
// for input: it is bound to the current epoch once, when a [Start] is resolved.
type Cursor struct {
	Epoch string // of the log: 1–64 bytes of [A-Za-z0-9_~-]; empty in a bare number
	Seq   uint64 // the last event seen; 0 is before the first
	Tag   string // [Event.Tag] of the event at Seq; empty if unknown
}

// ParseCursor reads the text form. The error is a [*CursorError].
func ParseCursor(text string) (Cursor, error) {
	if len(text) > MaxCursorBytes {
		return Cursor{}, &CursorError{Text: text, Problem: fmt.Sprintf("is %d bytes long, the limit is %d", len(text), MaxCursorBytes)}
	}
	parts := strings.Split(text, ".")
	c := Cursor{}
	seq := parts[0]
	if len(parts) > 1 {
		c.Epoch, seq = parts[0], parts[1]
		if !ValidEpoch(c.Epoch) {
			return Cursor{}, &CursorError{Text: text, Problem: "has an epoch that no log could have given"}
		}
	}
	if len(parts) > 2 {
		c.Tag = parts[2]
		if !validToken(c.Tag, maxTagBytes) {
			return Cursor{}, &CursorError{Text: text, Problem: "has a tag that no log could have given"}
		}
	}
	if len(parts) > 3 {
		return Cursor{}, &CursorError{Text: text, Problem: "has more than three parts"}
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != seq {
		return Cursor{}, &CursorError{Text: text, Problem: "has no decimal seq of 64 bits"}
	}
	c.Seq = n
	return c, nil
}

// String is the text form. It has no tag if there is no epoch.
func (c Cursor) String() string {
	b, _ := c.AppendText(make([]byte, 0, 48))
	return string(b)
}

// AppendText appends the text form to b. It never fails.
func (c Cursor) AppendText(b []byte) ([]byte, error) {
	if c.Epoch != "" {
		b = append(b, c.Epoch...)
		b = append(b, '.')
	}
	b = strconv.AppendUint(b, c.Seq, 10)
	if c.Epoch != "" && c.Tag != "" {
		b = append(b, '.')
		b = append(b, c.Tag...)
	}
	return b, nil
}

// MarshalText is the text form; it makes a Cursor a JSON string.
func (c Cursor) MarshalText() ([]byte, error) { return c.AppendText(nil) }

// UnmarshalText is [ParseCursor].
func (c *Cursor) UnmarshalText(text []byte) error {
	parsed, err := ParseCursor(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// NewEpoch returns a random epoch of 13 characters (65 bits).
func NewEpoch() string {
	return strings.ToLower(rand.Text()[:13])
}

// ValidEpoch reports whether a cursor can carry the epoch: 1–64 bytes of
// [A-Za-z0-9_~-].
func ValidEpoch(epoch string) bool { return validToken(epoch, maxEpochBytes) }

func validToken(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '~', c == '-':
		default:
			return false
		}
	}
	return true
}
