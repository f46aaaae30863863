package pebblesource

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gapless-go/gapless/cdc"
)

var boundsKey = []byte("b")

// eventKey sorts as the seq does.
func eventKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte("e"), seq) }

func idKey(id string) []byte { return []byte("i" + id) }

func boundsIn(r pebble.Reader) (cdc.Bounds, error) {
	var b cdc.Bounds
	err := get(r, boundsKey, func(text []byte) error { return json.Unmarshal(text, &b) })
	return b, err
}

// eventIn returns the event with the seq, nil if there is none.
func eventIn(r pebble.Reader, seq uint64) (*cdc.Event, error) {
	var e cdc.Event
	err := get(r, eventKey(seq), func(text []byte) error { return decode(text, &e) })
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	return &e, err
}

// seqIn returns the seq of the event with the ID, 0 if there is none.
func seqIn(r pebble.Reader, id string) (seq uint64, err error) {
	if id == "" {
		return 0, nil
	}
	err = get(r, idKey(id), func(text []byte) error { return json.Unmarshal(text, &seq) })
	if errors.Is(err, pebble.ErrNotFound) {
		err = nil
	}
	return seq, err
}

// get calls f with the value of the key, which f must not keep.
func get(r pebble.Reader, key []byte, f func(value []byte) error) error {
	value, closer, err := r.Get(key)
	if err != nil {
		return err
	}
	return errors.Join(f(value), closer.Close())
}

// decode reads an event, and keeps nothing of the text.
func decode(text []byte, e *cdc.Event) error {
	if err := json.Unmarshal(text, e); err != nil {
		return fmt.Errorf("an event cannot be decoded: %w", err)
	}
	return nil
}
