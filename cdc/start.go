package cdc

// Start says where a stream begins. The zero value is [Latest]. It is its own
// text form, so that it can stand in a flag or a query; a text that names no
// start resolves to a [*ResetError] with [ReasonMalformed].
type Start string

const (
	// Latest begins after the newest event: only what comes from now on.
	Latest Start = ""
	// Beginning begins at the oldest retained event, wherever that is: it is
	// never truncated.
	Beginning Start = "beginning"

	latestText = "latest"
)

// After begins with the event that follows the cursor. A cursor without an
// epoch is bound to the epoch that the log has when the start is resolved.
func After(c Cursor) Start { return Start(c.String()) }

// ParseStart reads "latest" (or nothing), "beginning" or a cursor. The error
// is a [*CursorError].
func ParseStart(text string) (Start, error) {
	switch Start(text) {
	case Latest, latestText:
		return Latest, nil
	case Beginning:
		return Beginning, nil
	}
	c, err := ParseCursor(text)
	if err != nil {
		return Latest, err
	}
	return After(c), nil
}

// String is "latest", "beginning" or the cursor.
func (s Start) String() string {
	if s == Latest {
		return latestText
	}
	return string(s)
}

// Cursor returns the cursor of a start made by [After]; ok is false for the
// others and for a text that is no start.
func (s Start) Cursor() (c Cursor, ok bool) {
	if s == Latest || s == Beginning {
		return Cursor{}, false
	}
	c, err := ParseCursor(string(s))
	return c, err == nil
}

// MarshalText is [Start.String].
func (s Start) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is [ParseStart].
func (s *Start) UnmarshalText(text []byte) error {
	parsed, err := ParseStart(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
