// Package wire names what a server of event streams and its clients in Go must
// write alike: control frames, headers, parameters and the data of frames.
package wire

import (
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// Names of the control frames. Nothing in a log can have one: types that begin
// with cdc. are refused by every log.
const (
	Hello      = cdc.ReservedTypePrefix + "hello"
	Live       = cdc.ReservedTypePrefix + "live"
	Checkpoint = cdc.ReservedTypePrefix + "checkpoint"
	Reset      = cdc.ReservedTypePrefix + "reset"
	Reconnect  = cdc.ReservedTypePrefix + "reconnect"
)

const (
	// LastEventID is the request header with the cursor to resume from.
	LastEventID = "Last-Event-ID"

	// LastEventIDParam is the query parameter that stands in for the header:
	// some clients cannot send one, and polyfills send this instead.
	LastEventIDParam = "lastEventId"

	// LimitParam is the query parameter after how many events, at most, a
	// stream ends; it also ends when it is live, or after [cdc.PageBytes].
	LimitParam = "limit"

	// BoundsParam is the query parameter of a GET request that is answered with
	// [BoundsData] and no stream.
	BoundsParam = "bounds"

	// BoundsOnly is the value of [BoundsParam].
	BoundsOnly = "only"

	// BoundsHeader is the header of the answer to a HEAD request: the bounds of
	// the log, written by [FormatBounds].
	BoundsHeader = "Gapless-Bounds"

	// AfterParam is the query parameter that says where a stream starts.
	AfterParam = "after"

	// DataParam is the query parameter that selects the form of events.
	DataParam = "data"

	// DataExact is the value of DataParam with which every byte of an event
	// arrives: its data in base64, and its meta.
	DataExact = "exact"

	// PagesParam is the query parameter with which a client says that it takes
	// pages: its stream ends with [ReconnectData] as soon as at least so many
	// whole ones lie before it.
	PagesParam = "logpages"

	// PageParam is the query parameter that asks for one [Page].
	PageParam = "logpage"
)

// Params are the names of all parameters that a request can have.
func Params() []string {
	return []string{
		AfterParam, LastEventIDParam, LastEventID, "topic", "type", "key",
		"heartbeat", DataParam, LimitParam, BoundsParam, PageParam, PagesParam,
	}
}

// HelloData is the data of the frame [Hello].
type HelloData struct {
	Log  string     `json:"log"` // epoch
	From cdc.Cursor `json:"from"`
}

// ResetData is the data of the frame [Reset].
type ResetData struct {
	Reason    cdc.Reason `json:"reason"`
	Requested string     `json:"requested"`
	Floor     uint64     `json:"floor"`
	Head      uint64     `json:"head"`
}

// ReconnectData is the data of the frame [Reconnect].
type ReconnectData struct {
	// Pages are those that lie before a client that takes them.
	Pages *PagesData `json:"pages,omitempty"`

	// Events is how many events a page has; nil at the end of a stream.
	Events *int `json:"events,omitempty"`
}

// PagesData says which pages there are.
type PagesData struct {
	Size uint64 `json:"size"` // seqs of one
	To   uint64 `json:"to"`   // end of the last one
}

// BoundsData is the body of the answer to a request with [BoundsParam].
type BoundsData struct {
	Log   string `json:"log"` // epoch
	Floor uint64 `json:"floor"`
	Head  uint64 `json:"head"`
	Last  uint64 `json:"last"`
}

// FormatBounds returns the value of [BoundsHeader].
func FormatBounds(b cdc.Bounds) string {
	return fmt.Sprintf("%s %d %d %d", b.Epoch, b.Floor, b.Head, b.Last)
}

// Quote quotes at most 200 bytes of a text from outside, for an error.
func Quote(s string) string {
	return fmt.Sprintf("%.200q", s)
}
