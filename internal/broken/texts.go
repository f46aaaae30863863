package broken

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
)

// Bugs of bytes, numbers, and contexts that end in the middle.
const (
	TextsTrimmed     Bug = "texts trimmed"                                 // strings.TrimSpace of each field
	TextsPadded      Bug = "trailing spaces of texts lost"                 // CHAR(n)
	TopicsFolded     Bug = "topics in lower case"                          // a name of a subject
	TextsNormalized  Bug = "texts normalized"                              // NFC on the way in
	TextsOneLineEnd  Bug = "line ends of texts changed"                    // a text mode
	TextsEscaped     Bug = "markup in texts escaped"                       // html.EscapeString
	TextsUnescaped   Bug = "percent signs in texts decoded"                // url.QueryUnescape of what was never escaped
	TextsUnslashed   Bug = "backslashes in texts decoded"                  // NO_BACKSLASH_ESCAPES
	TextsControls    Bug = "control characters of texts dropped"           // a sanitizer
	TextsNumeric     Bug = "texts that are numbers kept as numbers"        // YAML, a column without a type
	TextsNull        Bug = "text NULL taken for none"                      // COPY with the wrong null
	TypeCutAt255     Bug = "types cut at 255 bytes"                        // VARCHAR(255)
	KeyCutAt1000     Bug = "keys cut at 1,000 bytes"                       // an index prefix
	TopicCutAt4096   Bug = "topics cut at 4,096 bytes"                     // a line of a header
	MetaCutAt64K     Bug = "metadata cut at 64 KiB"                        // a TEXT column
	MetaKeysFolded   Bug = "keys of metadata in lower case"                // headers of HTTP/2
	MetaCanonical    Bug = "keys of metadata as headers write them"        // http.CanonicalHeaderKey
	MetaEmptyDropped Bug = "metadata without a value dropped"              // omitempty
	MetaFirst64      Bug = "at most 64 pairs of metadata"                  // a fixed table
	DataCompacted    Bug = "JSON compacted"                                // json.RawMessage within json.Marshal
	DataSorted       Bug = "keys of JSON sorted"                           // a column of JSON
	DataNewlineCut   Bug = "line end after the data lost"                  // a reader of lines
	DataNULCut       Bug = "NUL bytes after the data lost"                 // BINARY(n), a C string
	DataBOMCut       Bug = "byte order mark before the data lost"          // a decoder of UTF-8
	DataDecoded      Bug = "data that is base64 decoded"                   // a guess at what the bytes are
	LargestRefused   Bug = "largest event refused"                         // size >= max
	LargestLost      Bug = "largest event read without data"               // a frame whose header counts in the limit
	LargestSilent    Bug = "largest event not handed over"                 // max_payload of the bus beside the store
	LimitOverflows   Bug = "limit + 1 overflows"                           // LIMIT n+1, to know whether there is more
	LimitCutTo32     Bug = "limit cut to 32 bits"                          // int32(limit)
	CutReadIsPage    Bug = "read that its context ends is a shorter page"  // break out of the loop over the rows, Next at the head
	CutReadIsEmpty   Bug = "read that its context ends is empty"           // the error of the context taken for no rows
	CutBoundsAreZero Bug = "bounds that their context ends are zero"       // the same for a row
	CutAppendErrs    Bug = "append that its context ends after the commit" // ctx.Err() returned at the end
	CutAppendSilent  Bug = "append that its context ends is no error"      // select with ctx.Done(), and no return
	CutAppendHalf    Bug = "append that its context ends adds a part"      // a look at the context after each event
	NULAccepted      Bug = "NUL accepted"                                  // utf8.ValidString alone
	UTF8NotChecked   Bug = "texts that are not UTF-8 accepted"             // no check, or one of the type alone
	MetaNotChecked   Bug = "metadata not checked"                          // the fields are, the map is not
	TopicNotChecked  Bug = "topic not checked"                             // the same for one field
	TxNotChecked     Bug = "events of a transaction not checked"           // CheckAppend in Append alone
	RefusedAtIndex0  Bug = "every refused event said to be the first"      // the check within the loop, event by event
	BadTextReplaced  Bug = "texts that are not UTF-8 replaced"             // strings.ToValidUTF8, which accepts what others refuse
	RefusedUntyped   Bug = "refused event without a type of error"         // the error of the column
	RequestedEmpty   Bug = "reset that does not say what was asked"        // a literal with the fields that came to mind
	FarSeqWrapped    Bug = "reset that says 0 for a cursor above 2^63"     // strconv.FormatInt
)

// textMutants change what they are given, or mistake a context that ends.
func textMutants() []Mutant {
	var mutants []Mutant
	for kills, bugs := range map[string][]Bug{
		"Reliable/Texts":                 {TextsTrimmed, TextsPadded, TopicsFolded, TextsNormalized, TextsOneLineEnd, TextsEscaped, TextsUnescaped, TextsUnslashed, TextsControls, TextsNumeric, TextsNull, MetaKeysFolded, MetaCanonical, MetaEmptyDropped, MetaFirst64},
		"Reliable/Payloads":              {DataCompacted, DataSorted, DataNewlineCut, DataNULCut, DataBOMCut, DataDecoded},
		"Reliable/Sizes":                 {TypeCutAt255, KeyCutAt1000, TopicCutAt4096, MetaCutAt64K, LargestRefused, LargestLost, LargestSilent},
		"Reliable/FarLimit":              {LimitOverflows, LimitCutTo32},
		"Reliable/ReadContextEnds":       {CutReadIsPage, CutReadIsEmpty, CutBoundsAreZero},
		"Committed/ContextEnds":          {CutAppendErrs, CutAppendSilent, CutAppendHalf},
		"Committed/RefusedTexts":         {NULAccepted, UTF8NotChecked, MetaNotChecked, TopicNotChecked, RefusedAtIndex0, BadTextReplaced, RefusedUntyped},
		"Committed/RefusedInTransaction": {TxNotChecked},
		"Resumable/FarCursor":            {RequestedEmpty, FarSeqWrapped},
	} {
		for _, bug := range bugs {
			mutants = append(mutants, Mutant{Bug: bug, Layer: Source, Kills: kills})
		}
	}
	slices.SortFunc(mutants, func(a, b Mutant) int { return strings.Compare(a.Kills+string(a.Bug), b.Kills+string(b.Bug)) })
	return mutants
}

// text is what becomes of a text.
func (s *Store) text(t string) string {
	switch s.bug {
	case TextsTrimmed:
		return strings.TrimSpace(t)
	case TextsPadded:
		return strings.TrimRight(t, " ")
	case TextsNormalized:
		return strings.ReplaceAll(t, "e\u0301", "é")
	case TextsOneLineEnd:
		return strings.ReplaceAll(t, "\r\n", "\n")
	case TextsEscaped:
		return strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(t)
	case TextsUnescaped:
		return strings.ReplaceAll(t, "%41", "A")
	case TextsUnslashed:
		return strings.ReplaceAll(t, `\n`, "\n")
	case TextsControls:
		return strings.Map(func(r rune) rune {
			if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f {
				return -1
			}
			return r
		}, t)
	case TextsNumeric:
		if n, err := strconv.Atoi(t); err == nil {
			return strconv.Itoa(n)
		}
	case TextsNull:
		if t == "NULL" {
			return ""
		}
	case BadTextReplaced:
		return strings.ReplaceAll(strings.ToValidUTF8(t, "?"), "\x00", "?")
	}
	return t
}

func cut(text string, n int) string { return text[:min(len(text), n)] }

// kept is the event as its bytes are kept.
func (s *Store) kept(e cdc.Event) cdc.Event {
	e.ID, e.Topic, e.Type, e.Key = s.text(e.ID), s.text(e.Topic), s.text(e.Type), s.text(e.Key)
	switch s.bug {
	case TopicsFolded:
		e.Topic = strings.ToLower(e.Topic)
	case TypeCutAt255:
		e.Type = cut(e.Type, 255)
	case KeyCutAt1000:
		e.Key = cut(e.Key, 1000)
	case TopicCutAt4096:
		e.Topic = cut(e.Topic, 4096)
	}
	e.Meta = s.keptMeta(e.Meta)
	e.Data = s.keptData(e.Data)
	if s.bug == LargestLost && e.Size() >= cdc.DefaultMaxEventBytes {
		e.Data, e.Meta = nil, nil
	}
	return e
}

func (s *Store) keptMeta(meta map[string]string) map[string]string {
	if len(meta) == 0 {
		return meta
	}
	kept := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		v := s.text(meta[k])
		k = s.text(k)
		switch s.bug {
		case MetaKeysFolded:
			k = strings.ToLower(k)
		case MetaCanonical:
			if k != "" {
				k = strings.ToUpper(k[:1]) + k[1:]
			}
		case MetaCutAt64K:
			v = cut(v, 1<<16-1)
		}
		if s.bug == MetaEmptyDropped && v == "" || s.bug == MetaFirst64 && len(kept) == 64 {
			continue
		}
		kept[k] = v
	}
	return kept
}

func (s *Store) keptData(data []byte) []byte {
	switch s.bug {
	case DataCompacted:
		var b bytes.Buffer
		if json.Compact(&b, data) == nil {
			return b.Bytes()
		}
	case DataSorted:
		var v map[string]json.RawMessage
		if json.Unmarshal(data, &v) == nil {
			data, _ = json.Marshal(v)
		}
	case DataNewlineCut:
		return bytes.TrimSuffix(data, []byte("\n"))
	case DataNULCut:
		return bytes.TrimRight(data, "\x00")
	case DataBOMCut:
		return bytes.TrimPrefix(data, []byte("\ufeff"))
	case DataDecoded:
		if string(data) == "aGVsbG8=" {
			return []byte("hello")
		}
	}
	return data
}

// refuses is [cdc.CheckAppend] with its bug. tx says that a transaction asks.
func (s *Store) refuses(events []cdc.Event, tx bool) error {
	err := cdc.CheckAppend(events, 0)
	switch bad := err.(type) { //nolint:errorlint // it is what CheckAppend returns
	case *cdc.InvalidEventError:
		e := events[bad.Index]
		texts := []string{e.ID, e.Topic, e.Type, e.Key}
		for k, v := range e.Meta {
			texts = append(texts, k, v)
		}
		all := strings.Join(texts, "")
		switch {
		case s.bug == TxNotChecked && tx,
			s.bug == NULAccepted && utf8.ValidString(all) && strings.Contains(all, "\x00"),
			s.bug == UTF8NotChecked && !utf8.ValidString(all),
			s.bug == BadTextReplaced && bad.Problem != "" && (!utf8.ValidString(all) || strings.Contains(all, "\x00")),
			s.bug == MetaNotChecked && bad.Field == "Meta",
			s.bug == TopicNotChecked && bad.Field == "Topic":
			return nil
		case s.bug == RefusedAtIndex0:
			bad.Index = 0
		case s.bug == RefusedUntyped:
			return errors.New("broken: value violates a constraint of the column")
		}
	case *cdc.TooLargeError:
		switch {
		case s.bug == TooLargeIsData && len(events[bad.Index].Data) <= bad.Max:
			return nil
		case s.bug == TooLargeUnnamed:
			bad.Index = 0
		}
	case nil:
		for i, e := range events {
			if s.bug == TypesReserved && strings.HasPrefix(e.Type, "cdc") {
				return &cdc.InvalidEventError{Index: i, Field: "Type", Problem: "is reserved"}
			}
			if s.bug == LargestRefused && e.Size() >= cdc.DefaultMaxEventBytes {
				return &cdc.TooLargeError{Index: i, Size: e.Size(), Max: cdc.DefaultMaxEventBytes}
			}
		}
	}
	return err
}

// cutAppend is an append whose context has ended after its first look.
func (s *Store) cutAppend(ctx context.Context, events []cdc.Event) (part []cdc.Event, err error) {
	switch {
	case s.bug == CutAppendSilent && ctx.Err() != nil:
		return nil, nil
	case s.bug == CutAppendHalf:
		for i := range events {
			if i > 0 && ctx.Err() != nil {
				return events[:i], context.Cause(ctx)
			}
		}
	}
	return events, nil
}

// cutRead says what a read makes of a context that has ended in its middle.
func (s *Store) cutRead(ctx context.Context, page cdc.Page) cdc.Page {
	n := len(page.Events)
	switch {
	case s.bug == CutReadIsPage && n > 1 && ctx.Err() != nil:
		page.Events = page.Events[: n/2 : n/2]
	case s.bug == CutReadIsEmpty && ctx.Err() != nil:
		page.Events = nil
	}
	return page
}

// limit is the limit as the store takes it.
func (s *Store) limit(limit int) int {
	switch {
	case s.bug == LimitOverflows && limit == math.MaxInt:
		return math.MinInt + 1
	case s.bug == LimitCutTo32:
		return int(int32(limit)) //nolint:gosec // the bug
	}
	return limit
}

// resetFor spoils the reset for a cursor.
func (s *Store) resetFor(err error, after cdc.Cursor) error {
	if reset, ok := err.(*cdc.ResetError); ok { //nolint:errorlint // it is what Check returns
		switch {
		case s.bug == ResetNamesLast:
			reset.Resume.Seq = s.disk.bounds.Last
		case s.bug == RequestedEmpty:
			reset.Requested = ""
		case s.bug == FarSeqWrapped && after.Seq > math.MaxInt64:
			reset.Requested = cdc.Cursor{Epoch: after.Epoch}.String()
		}
	}
	return err
}
