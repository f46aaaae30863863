package verify

import (
	"encoding/base64"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
)

// Outcome says what is known of an append.
type Outcome int

// The outcomes. An append whose process was killed is Unknown.
const (
	Unknown      Outcome = iota // may or may not have happened
	Acknowledged                // the log returned without an error, or the commit did
	Refused                     // rolled back, or returned an error that excludes a commit
)

// Record is one event as somebody saw it.
type Record struct {
	Seq uint64
	ID  string // empty if the event has none
	Sum uint64 // [Sum] of the event, or any hash of what was seen; 0 if unknown
}

// Append is one call of Append, or one transaction.
type Append struct {
	Begin, End int64 // [History.Tick] before the call and after it; End 0 if it never ended
	Epoch      string
	Records    []Record // Seq 0 where the log did not tell
	Outcome    Outcome
}

// Step is one batch of a stream.
type Step struct {
	Records []Record
	Cursor  uint64 // everything up to here was delivered or filtered
}

// Stream is what one reader saw, from a start to an end. One goroutine at a
// time may record it.
type Stream struct {
	Name  string
	Epoch string
	From  uint64 // the position that the start was resolved to
	Steps []Step
	Ends  int    // number of final errors
	End   string // text of the last
	After int    // batches that came after the end

	// Selects says which events the stream is to deliver; nil is all.
	Selects func(Record) bool `json:"-"`

	begun bool
}

// Batch records what [cdc.Follow] yielded. The first batch says where the
// stream begins.
func (s *Stream) Batch(b cdc.Batch) {
	if s.Ends > 0 {
		s.After++
	}
	if !s.begun {
		s.begun, s.Epoch, s.From = true, b.Cursor.Epoch, b.Cursor.Seq
		if len(b.Events) > 0 {
			s.From = b.Events[0].Seq - 1
		}
	}
	step := Step{Cursor: b.Cursor.Seq, Records: make([]Record, len(b.Events))}
	for i, e := range b.Events {
		step.Records[i] = RecordOf(e)
	}
	s.Steps = append(s.Steps, step)
}

// Finish records the final error of the stream.
func (s *Stream) Finish(err error) {
	s.Ends++
	if err != nil {
		s.End = err.Error()
	}
}

// Begin records where a stream begins that is not read through [cdc.Follow].
func (s *Stream) Begin(from cdc.Cursor) {
	s.begun, s.Epoch, s.From = true, from.Epoch, from.Seq
}

// Add records a step of a stream that is not read through [cdc.Follow]; Begin
// comes first.
func (s *Stream) Add(cursor uint64, records ...Record) {
	if s.Ends > 0 {
		s.After++
	}
	s.Steps = append(s.Steps, Step{Records: records, Cursor: cursor})
}

// History is everything that is known of a run. Its methods may be called
// concurrently; [Verify] comes last.
type History struct {
	clock atomic.Int64

	mu      sync.Mutex
	Appends []Append
	Streams []*Stream
	// Logs holds what was read from each epoch of the log in the end, from the
	// floor to the head. It may be empty: then the streams are compared with
	// the appends and with each other.
	Logs []*Stream
}

// Tick returns the next moment of the history's clock.
func (h *History) Tick() int64 { return h.clock.Add(1) }

// Append records one.
func (h *History) Append(a Append) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.Records = slices.Clone(a.Records)
	h.Appends = append(h.Appends, a)
}

// Stream begins the record of a stream that delivers every event.
func (h *History) Stream(name string) *Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &Stream{Name: name}
	h.Streams = append(h.Streams, s)
	return s
}

// Log begins the record of the log itself, read from the floor to the head.
func (h *History) Log(name string) *Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &Stream{Name: name}
	h.Logs = append(h.Logs, s)
	return s
}

// RecordOf is the event as a record.
func RecordOf(e cdc.Event) Record { return Record{Seq: e.Seq, ID: e.ID, Sum: Sum(e)} }

var seed = maphash.MakeSeed()

// Sum is a hash of everything in the event but its seq; it holds within one
// process. It is never 0.
func Sum(e cdc.Event) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, text := range [...]string{e.ID, e.Topic, e.Type, e.Key} {
		writeText(&h, text)
	}
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], uint64(e.Time.UnixMicro()))
	_, _ = h.Write(word[:])
	binary.BigEndian.PutUint64(word[:], uint64(len(e.Data)))
	_, _ = h.Write(word[:])
	_, _ = h.Write(e.Data)
	var meta uint64 // in any order
	for k, v := range e.Meta {
		meta += maphash.String(seed, base64.StdEncoding.EncodeToString([]byte(k))+" "+v)
	}
	return (h.Sum64() + meta) | 1
}

func writeText(h *maphash.Hash, text string) {
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], uint64(len(text)))
	_, _ = h.Write(word[:])
	_, _ = h.WriteString(text)
}
