package cdc

// Start says where a stream begins: [Latest], which is the zero value,
// [Beginning], [After] a cursor, or [AfterText]. Starts are comparable.
type Start struct{ text string }

const (
	latestText    = "latest"
	beginningText = "beginning"
)

// Latest begins after the newest event: only what comes from now on.
func Latest() Start { return Start{} }

// Beginning begins at the oldest retained event, wherever that is: it is never
// truncated.
func Beginning() Start { return Start{beginningText} }

// After begins with the event that follows the cursor. A cursor without an
// epoch is bound to the epoch that the log has when the start is resolved.
func After(c Cursor) Start { return Start{c.String()} }

// AfterText is [ParseStart] for a text that a client sent: one that names no
// start is no error here, but resolves to a [*ResetError] with
// [ReasonMalformed], which says where to go on.
func AfterText(text string) Start {
	if text == latestText {
		return Latest()
	}
	return Start{text}
}

// ParseStart reads "latest" (or nothing), "beginning" or a cursor. The error
// is a [*CursorError].
func ParseStart(text string) (Start, error) {
	switch text {
	case "", latestText:
		return Latest(), nil
	case beginningText:
		return Beginning(), nil
	}
	c, err := ParseCursor(text)
	if err != nil {
		return Latest(), err
	}
	return After(c), nil
}

// String is "latest", "beginning" or the cursor.
func (s Start) String() string {
	if s == Latest() {
		return latestText
	}
	return s.text
}

// Cursor returns the cursor of a start made by [After]; ok is false for the
// others and for a text that is no start.
func (s Start) Cursor() (c Cursor, ok bool) {
	if s == Latest() || s == Beginning() {
		return Cursor{}, false
	}
	c, err := ParseCursor(s.text)
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
