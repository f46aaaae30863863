package redislog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// partsPerEntry are the names and values of an entry: e, the texts, d, the data.
const partsPerEntry = 4

// joinTexts returns the texts of an entry after time and ID. None has a NUL in
// it: that is what [cdc.CheckAppend] refuses.
func joinTexts(e cdc.Event) string {
	n := len(e.Topic) + len(e.Type) + len(e.Key) + 2
	for k, v := range e.Meta {
		n += len(k) + len(v) + 2
	}
	text := make([]byte, 0, n)
	text = append(append(text, e.Topic...), 0)
	text = append(append(text, e.Type...), 0)
	text = append(text, e.Key...)
	for _, k := range slices.Sorted(maps.Keys(e.Meta)) {
		text = append(append(text, 0), k...)
		text = append(append(text, 0), e.Meta[k]...)
	}
	return string(text)
}

var errReply = errors.New("the server's reply is not what XRANGE returns")

// parseEntries makes events of a raw reply to XRANGE. It is several times as
// fast as the client's maps. An entry of another program, with other fields, is
// returned with its seq alone.
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
	rest []byte
	slab []byte // filled with the data of small events
	err  error
}

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
	e := cdc.Event{Seq: seq}
	n := p.array()
	if n != partsPerEntry {
		for range n {
			p.bulk()
		}
		return e
	}
	texts := texts{rest: string(p.value()), more: true}
	micros, err := strconv.ParseInt(texts.next(), 10, 64)
	if err != nil {
		p.fail(fmt.Errorf("entry %d has no time: %w", seq, err))
	}
	e.Time = time.UnixMicro(micros).UTC()
	e.ID = texts.next()
	e.Topic = texts.next()
	e.Type = texts.next()
	e.Key = texts.next()
	for texts.more {
		if e.Meta == nil {
			e.Meta = map[string]string{}
		}
		k := texts.next()
		e.Meta[k] = texts.next()
	}
	e.Data = p.keep(p.value())
	return e
}

// slabBytes is how much of its page an event may keep in memory at most, beyond
// its own bytes.
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

// texts are time, ID and what joinTexts made.
type texts struct {
	rest string
	more bool
}

func (t *texts) next() (text string) {
	text, t.rest, t.more = strings.Cut(t.rest, "\x00")
	return text
}

// value skips a name.
func (p *parser) value() []byte {
	p.bulk()
	return p.bulk()
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
