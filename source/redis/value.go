package redislog

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// The value of an entry is what an event has besides seq and time: ID, topic,
// type, key, how many names the metadata have (nothing for none), names and
// values, each with a NUL behind it, then the data. No text has a NUL in it:
// that is what [cdc.CheckAppend] refuses. One field and not one for each text,
// since each costs the server and us more than everything else about an event.

// What append.lua puts into one entry at most: it is given these numbers. The
// bytes let two entries share a node of the stream, 4096 bytes by default. An
// event that is larger has an entry for itself.
const (
	maxEventsPerEntry = 8
	maxEntryBytes     = 1900
)

// textsPerValue come before the metadata.
const textsPerValue = 5

// valueOverhead is at least what writeValue adds to the event's size.
func valueOverhead(e *cdc.Event) int {
	const digits = 20
	return textsPerValue + digits + 2*len(e.Meta)
}

func writeValue(b *strings.Builder, e *cdc.Event) {
	write := func(text string) {
		b.WriteString(text)
		b.WriteByte(0)
	}
	write(e.ID)
	write(e.Topic)
	write(e.Type)
	write(e.Key)
	if len(e.Meta) == 0 {
		write("")
	} else {
		write(strconv.Itoa(len(e.Meta)))
		for _, k := range slices.Sorted(maps.Keys(e.Meta)) {
			write(k)
			write(e.Meta[k])
		}
	}
	b.Write(e.Data)
}

// splitValue returns where the data begin and how many pairs the metadata have.
// It is false for a value that writeValue did not write.
func splitValue(value []byte) (end, pairs int, ok bool) {
	last := 0
	for range textsPerValue {
		last = end
		if end = nextText(value, end); end < 0 {
			return 0, 0, false
		}
	}
	if count := value[last : end-1]; len(count) > 0 {
		n, err := strconv.Atoi(string(count))
		if err != nil || n <= 0 {
			return 0, 0, false
		}
		pairs = n
	}
	for range pairs {
		end = nextText(value, end)
		if end = nextText(value, end); end < 0 {
			return 0, 0, false
		}
	}
	return end, pairs, true
}

// nextText returns where the text after the one at that place begins, -1 if
// there is none or at is -1.
func nextText(value []byte, at int) int {
	if at < 0 {
		return -1
	}
	n := bytes.IndexByte(value[at:], 0)
	if n < 0 {
		return -1
	}
	return at + n + 1
}

// setTexts sets all texts of an event, which share the memory of those before
// the data.
func setTexts(e *cdc.Event, texts string, pairs int) {
	next := func() (text string) {
		text, texts, _ = strings.Cut(texts, "\x00")
		return text
	}
	e.ID, e.Topic, e.Type, e.Key = next(), next(), next(), next()
	if pairs == 0 {
		return
	}
	next() // how many
	e.Meta = make(map[string]string, pairs)
	for range pairs {
		k := next()
		e.Meta[k] = next()
	}
}
