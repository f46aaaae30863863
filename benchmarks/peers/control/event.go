package control

import (
	"fmt"
	"strings"
	"time"
)

// EventBytes is the size of the data of every event.
const EventBytes = 200

// What the data of an event begins with.
const (
	Marker  = `{"seq":"` // one that is counted
	Opening = `{"not":"` // one that only shows that a client gets events
)

var padding = strings.Repeat("x", EventBytes)

// Data is JSON, because centrifuge requires it: a number and the time when the
// event should have been published.
func Data(start string, n int, at time.Time) []byte {
	text := fmt.Appendf(nil, `%s%08d","at":"%019d","pad":"`, start, n, at.UnixNano())
	return append(append(text, padding[:EventBytes-len(text)-2]...), `"}`...)
}

// HeadBytes is how much of the data has its number and time.
const HeadBytes = len(Marker) + len(`00000000","at":"0000000000000000000`)

// Head reads what Data was given from the first HeadBytes of the data.
func Head(data []byte) (n int, at time.Time) {
	return int(number(data[len(Marker):][:8])), time.Unix(0, number(data[HeadBytes-19:HeadBytes]))
}

// number is strconv.ParseInt without its allocation.
func number(digits []byte) (n int64) {
	for _, d := range digits {
		n = 10*n + int64(d-'0')
	}
	return n
}
