package redislog

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// partsPerEntry are the name and the value of an entry's one field: the time in
// microseconds, and the rest.
const partsPerEntry = 2

var errReply = errors.New("the server's reply is not what XRANGE returns")

// parseEntries makes events of a raw reply to XRANGE. It is several times as
// fast as the client's maps. An entry of another program, with other fields, is
// returned with its seq alone, and no time.
func parseEntries(raw []byte, room int) ([]cdc.Event, error) {
	p := parser{rest: raw}
	n := p.array()
	events := make([]cdc.Event, 0, min(n, room))
	for range n {
		e := p.entry()
		if p.err != nil {
			return nil, p.err
		}
		events = append(events, e)
	}
	return events, p.err
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

// entry returns an event without a time for an entry of another program.
func (p *parser) entry() cdc.Event {
	if p.array() != 2 {
		p.fail(errReply)
		return cdc.Event{}
	}
	id, _, _ := bytes.Cut(p.bulk(), []byte("-"))
	seq, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil {
		p.fail(err)
	}
	alien := cdc.Event{Seq: seq}
	if n := p.array(); n != partsPerEntry {
		for range n {
			p.bulk()
		}
		return alien
	}
	name, value := p.bulk(), p.bulk()
	if p.err != nil || !p.at(name) {
		return alien
	}
	end, pairs, ok := splitValue(value)
	if !ok {
		return alien
	}
	e := cdc.Event{Seq: seq, Time: p.time}
	setTexts(&e, p.keepText(value[:end]), pairs)
	e.Data = p.keep(value[end:])
	return e
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
