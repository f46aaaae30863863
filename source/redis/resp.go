package redislog

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

var errReply = errors.New("the server's reply is not what XRANGE returns")

// parseEntries makes events of a raw reply to XRANGE, and returns how many
// entries they are. It is several times as fast as the client's maps. An entry of
// another program, with other fields, is returned as one event with its seq
// alone, and no time.
func parseEntries(raw []byte, room int) (events []cdc.Event, entries int, err error) {
	p := parser{rest: raw}
	entries = p.array()
	events = make([]cdc.Event, 0, min(room, maxEventsPerEntry*entries))
	for range entries {
		if events = p.entry(events); p.err != nil {
			return nil, 0, p.err
		}
	}
	return events, entries, p.err
}

// parser reads RESP from the front of rest. After an error everything is empty.
type parser struct {
	rest  []byte
	slab  []byte          // filled with the data of small events
	texts strings.Builder // filled with the texts of small events
	name  []byte          // of the last field, and the time that it is
	time  time.Time
	err   error
}

// entry adds the events of an entry.
func (p *parser) entry(events []cdc.Event) []cdc.Event {
	if p.array() != 2 {
		p.fail(errReply)
	}
	s, k, _ := bytes.Cut(p.bulk(), []byte("-"))
	last, err1 := strconv.ParseUint(string(s), 10, 64)
	before, err2 := strconv.ParseUint(string(k), 10, 64)
	var parts [2 + maxEventsPerEntry][]byte
	n := p.array()
	for i := range n {
		if part := p.bulk(); i < len(parts) {
			parts[i] = part
		}
	}
	if err := errors.Join(err1, err2); err != nil {
		p.fail(err)
	}
	if p.err != nil {
		return events
	}
	if n <= len(parts) && before < maxEventsPerEntry && last > before {
		if ours, ok := p.events(events, last-before, parts[:n]); ok && len(ours)-len(events) == int(before)+1 {
			return ours
		}
	}
	return append(events, cdc.Event{Seq: last})
}

// events adds those from first on. It is false for parts that append.lua did not
// write.
func (p *parser) events(events []cdc.Event, first uint64, parts [][]byte) ([]cdc.Event, bool) {
	if len(parts) < 2 || !p.at(parts[0]) {
		return nil, false
	}
	values := parts[1:]
	if len(values[0]) == 0 { // makes the number of parts even
		values = values[1:]
	}
	for i, value := range values {
		end, pairs, ok := splitValue(value)
		if !ok {
			return nil, false
		}
		e := cdc.Event{Seq: first + uint64(i), Time: p.time}
		setTexts(&e, p.keepText(value[:end]), pairs)
		e.Data = p.keep(value[end:])
		events = append(events, e)
	}
	return events, true
}

// at sets time. Events that were appended together have the same one.
func (p *parser) at(name []byte) bool {
	if !bytes.Equal(p.name, name) {
		micros, err := strconv.ParseInt(string(name), 10, 64)
		if err != nil {
			return false
		}
		p.name, p.time = name, time.UnixMicro(micros).UTC()
	}
	return true
}

// slabBytes is how much of its page an event's texts may keep in memory at most,
// beyond their own bytes, and its data as well.
const slabBytes = 16 << 10

// keep copies the data out of the reply: into memory that events share, since
// an allocation for each costs more than the copy.
func (p *parser) keep(data []byte) []byte {
	if len(data) > slabBytes/4 {
		return append([]byte(nil), data...)
	}
	if len(data) > cap(p.slab)-len(p.slab) {
		p.slab = make([]byte, 0, min(slabBytes, max(len(p.rest), len(data))))
	}
	at := len(p.slab)
	p.slab = append(p.slab, data...)
	return p.slab[at:len(p.slab):len(p.slab)]
}

// keepText does the same for texts.
func (p *parser) keepText(text []byte) string {
	if len(text) > slabBytes/4 {
		return string(text)
	}
	if len(text) > p.texts.Cap()-p.texts.Len() {
		p.texts.Reset() // what it had stays where it is
		p.texts.Grow(min(slabBytes, max(len(p.rest), len(text))))
	}
	at := p.texts.Len()
	p.texts.Write(text)
	return p.texts.String()[at:]
}

func (p *parser) array() int { return p.length('*') }

func (p *parser) bulk() []byte {
	n := p.length('$')
	if n < 0 || len(p.rest) < n+2 {
		p.fail(errReply)
		return nil
	}
	text := p.rest[:n]
	p.rest = p.rest[n+2:]
	return text
}

// length reads a line of the kind.
func (p *parser) length(kind byte) int {
	end := bytes.IndexByte(p.rest, '\n')
	if p.err != nil || end < 2 || p.rest[0] != kind {
		p.fail(errReply)
		return 0
	}
	n := 0
	for _, c := range p.rest[1 : end-1] {
		if c < '0' || c > '9' || n > 1<<40 {
			p.fail(errReply)
			return 0
		}
		n = n*10 + int(c-'0')
	}
	p.rest = p.rest[end+1:]
	return n
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.rest = nil
}
