package redislog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
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
	var previous cdc.Event
	for range n {
		e := p.entry(previous)
		if p.err != nil {
			return nil, p.err
		}
		events = append(events, e)
		previous = e
	}
	return events, p.err
}

// parser reads RESP from the front of rest. After an error everything is empty.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) entry(previous cdc.Event) cdc.Event {
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
	texts := texts(p.value())
	micros, err := strconv.ParseInt(string(texts.next()), 10, 64)
	if err != nil {
		p.fail(fmt.Errorf("entry %d has no time: %w", seq, err))
	}
	e.Time = time.UnixMicro(micros).UTC()
	e.ID = string(texts.next())
	e.Topic = reuse(texts.next(), previous.Topic)
	e.Type = reuse(texts.next(), previous.Type)
	e.Key = string(texts.next())
	for texts != nil {
		if e.Meta == nil {
			e.Meta = map[string]string{}
		}
		k := string(texts.next())
		e.Meta[k] = string(texts.next())
	}
	e.Data = append([]byte{}, p.value()...) // a copy: the page may be large
	return e
}

// texts are what joinTexts made, after time and ID; nil is the end.
type texts []byte

func (t *texts) next() []byte {
	text, rest, found := bytes.Cut(*t, []byte{0})
	*t = rest
	if !found {
		*t = nil
	}
	return text
}

// reuse returns text as a string, the previous one if it is the same.
func reuse(text []byte, previous string) string {
	if string(text) == previous {
		return previous
	}
	return string(text)
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
