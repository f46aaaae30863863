package jetstreamlog

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/gapless-go/gapless/cdc"
)

// The payload of a message is what an event has besides seq and time: the length
// of a JSON object as an unsigned varint, the object (texts), then the data.
// Headers would be readable by more programs, but the server takes no more than
// 64 KiB of them.
type texts struct {
	ID    string            `json:"id,omitempty"`
	Topic string            `json:"topic,omitempty"`
	Type  string            `json:"type,omitempty"`
	Key   string            `json:"key,omitempty"`
	Meta  map[string]string `json:"meta,omitempty"`
}

func encode(e *cdc.Event) ([]byte, error) {
	head, err := json.Marshal(texts{e.ID, e.Topic, e.Type, e.Key, e.Meta})
	if err != nil {
		return nil, err
	}
	value := make([]byte, 0, binary.MaxVarintLen32+len(head)+len(e.Data))
	value = binary.AppendUvarint(value, uint64(len(head)))
	return append(append(value, head...), e.Data...), nil
}

var errNoEvent = errors.New("the message is none of this log's: another program published it")

// decode returns the event without seq and time. Its data are part of value.
func decode(value []byte) (cdc.Event, error) {
	size, n := binary.Uvarint(value)
	if n <= 0 || size > uint64(len(value)-n) {
		return cdc.Event{}, errNoEvent
	}
	end := n + int(size) //nolint:gosec // it is at most the length of value
	var t texts
	if err := json.Unmarshal(value[n:end], &t); err != nil {
		return cdc.Event{}, errNoEvent
	}
	return cdc.Event{ID: t.ID, Topic: t.Topic, Type: t.Type, Key: t.Key, Meta: t.Meta, Data: value[end:len(value):len(value)]}, nil
}

var tokens = base32.StdEncoding.WithPadding(base32.NoPadding)

// token is the last token of the subject of an event: a hash of its ID. Without
// one it is random, so that a message whose acknowledgement was lost can be sent
// again.
func token(id string) string {
	if id == "" {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte(id))
	return tokens.EncodeToString(sum[:20])
}
