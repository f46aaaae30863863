package boltlog

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// A record is an event without its seq, which is the key:
//
//	version   1 byte: 1
//	time      8 bytes big-endian: microseconds since 1970
//	lengths   uvarint each: ID, Topic, Type, Key; then Data+1, Meta entries+1
//	          (0 is nil), then key and value of each entry, in order of keys
//	texts     ID, Topic, Type, Key, then key and value of each entry
//	data      the rest
//
// All texts lie together so that reading an event costs two allocations.
const (
	recordVersion = 1
	timeOffset    = 1
	timeEnd       = timeOffset + 8
)

// appendRecord appends the record of e to b; the time is set by stamp.
func appendRecord(b []byte, e cdc.Event) []byte {
	b = append(b, recordVersion)
	b = append(b, make([]byte, timeEnd-timeOffset)...)
	for _, s := range [...]string{e.ID, e.Topic, e.Type, e.Key} {
		b = binary.AppendUvarint(b, uint64(len(s)))
	}
	b = appendLength(b, len(e.Data), e.Data == nil)
	b = appendLength(b, len(e.Meta), e.Meta == nil)
	keys := slices.Sorted(maps.Keys(e.Meta))
	for _, k := range keys {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = binary.AppendUvarint(b, uint64(len(e.Meta[k])))
	}
	for _, s := range [...]string{e.ID, e.Topic, e.Type, e.Key} {
		b = append(b, s...)
	}
	for _, k := range keys {
		b = append(b, k...)
		b = append(b, e.Meta[k]...)
	}
	return append(b, e.Data...)
}

func appendLength(b []byte, n int, isNil bool) []byte {
	if isNil {
		return binary.AppendUvarint(b, 0)
	}
	return binary.AppendUvarint(b, uint64(n)+1)
}

// stamp sets the time of a record.
func stamp(record []byte, t time.Time) {
	binary.BigEndian.PutUint64(record[timeOffset:timeEnd], uint64(t.UnixMicro()))
}

// recordSize is an upper limit for the record of e.
func recordSize(e cdc.Event) int {
	return timeEnd + (6+2*len(e.Meta))*binary.MaxVarintLen32 + e.Size()
}

// reader takes lengths off a record, none longer than what is left.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) length() int {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)) {
		r.bad = true
		return 0
	}
	r.rest = r.rest[size:]
	return int(n)
}

// decode returns the event with copies of all bytes of the record.
func decode(seq uint64, record []byte) (cdc.Event, error) {
	if len(record) < timeEnd || record[0] != recordVersion {
		return cdc.Event{}, errRecord
	}
	micros := int64(binary.BigEndian.Uint64(record[timeOffset:timeEnd]))
	r := reader{rest: record[timeEnd:]}
	var lengths [4]int
	total := 0
	for i := range lengths {
		lengths[i] = r.length()
		total += lengths[i]
	}
	data, entries := r.length(), r.length()
	var pairs []int
	for range 2 * max(entries-1, 0) {
		if r.bad {
			break
		}
		n := r.length()
		pairs = append(pairs, n)
		total += n
	}
	if r.bad || total+max(data-1, 0) != len(r.rest) {
		return cdc.Event{}, errRecord
	}
	texts := string(r.rest[:total])
	next := func(n int) (s string) {
		s, texts = texts[:n], texts[n:]
		return s
	}
	e := cdc.Event{
		Seq: seq, Time: time.UnixMicro(micros).UTC(),
		ID: next(lengths[0]), Topic: next(lengths[1]), Type: next(lengths[2]), Key: next(lengths[3]),
	}
	if entries > 0 {
		e.Meta = make(map[string]string, entries-1)
		for i := 0; i < len(pairs); i += 2 {
			k := next(pairs[i])
			e.Meta[k] = next(pairs[i+1])
		}
	}
	if data > 0 {
		e.Data = append(make([]byte, 0, data-1), r.rest[total:]...)
	}
	return e, nil
}

// recordID returns the ID in a record.
func recordID(record []byte) (string, error) {
	if len(record) < timeEnd || record[0] != recordVersion {
		return "", errRecord
	}
	r := reader{rest: record[timeEnd:]}
	id := r.length()
	if id == 0 && !r.bad {
		return "", nil
	}
	e, err := decode(0, record)
	return e.ID, err
}
