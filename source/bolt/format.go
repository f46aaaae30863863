package boltlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

// A log is one top-level bucket:
//
//	format   "gapless log 1"
//	epoch    the epoch's text
//	floor    seq, 8 bytes big-endian
//	head     seq, 8 bytes big-endian; there is one writer, so it is Last too
//	events/  seq, 8 bytes big-endian → event, see record
//	ids/     idKey → seq, 8 bytes big-endian; of retained events that have an ID
const (
	formatPrefix  = "gapless log "
	formatVersion = 1
)

var (
	keyFormat    = []byte("format")
	keyEpoch     = []byte("epoch")
	keyFloor     = []byte("floor")
	keyHead      = []byte("head")
	bucketEvents = []byte("events")
	bucketIDs    = []byte("ids")
)

// view is a log inside one transaction, and valid as long as that.
type view struct {
	root, events, ids *bbolt.Bucket
	epoch             string
	floor, head       uint64
	saved             [2]uint64 // floor and head as stored
	changed           bool      // something was written: a commit is needed
}

// create writes an empty log with a new epoch.
func create(tx *bbolt.Tx, name []byte) error {
	root, err := tx.CreateBucket(name)
	if err != nil {
		return err
	}
	for _, bucket := range [][]byte{bucketEvents, bucketIDs} {
		if _, err := root.CreateBucket(bucket); err != nil {
			return err
		}
	}
	return errors.Join(
		root.Put(keyFormat, []byte(formatPrefix+strconv.Itoa(formatVersion))),
		root.Put(keyEpoch, []byte(cdc.NewEpoch())),
		root.Put(keyFloor, seqKey(0)),
		root.Put(keyHead, seqKey(0)),
	)
}

// viewIn finds the log in a transaction.
func (l *Log) viewIn(tx *bbolt.Tx, mayCreate bool) (*view, error) {
	root, created := tx.Bucket(l.name), false
	if root == nil && mayCreate {
		if err := create(tx, l.name); err != nil {
			return nil, err
		}
		root, created = tx.Bucket(l.name), true
	}
	if root == nil {
		return nil, fmt.Errorf("bucket %q was deleted: %w", l.name, cdc.ErrDeleted)
	}
	if err := checkFormat(l.name, root); err != nil {
		return nil, err
	}
	v := &view{
		root: root, events: root.Bucket(bucketEvents), ids: root.Bucket(bucketIDs),
		epoch: string(root.Get(keyEpoch)), changed: created,
	}
	floor, head := root.Get(keyFloor), root.Get(keyHead)
	if v.events == nil || v.ids == nil || len(floor) != 8 || len(head) != 8 || !cdc.ValidEpoch(v.epoch) {
		return nil, fmt.Errorf("log %q is damaged, a part of it is missing: restore the file from a backup and call Renew", l.name)
	}
	v.floor, v.head = binary.BigEndian.Uint64(floor), binary.BigEndian.Uint64(head)
	v.saved = [2]uint64{v.floor, v.head}
	v.events.FillPercent = l.opts.FillPercent
	return v, nil
}

func checkFormat(name []byte, root *bbolt.Bucket) error {
	format := string(root.Get(keyFormat))
	text, ours := strings.CutPrefix(format, formatPrefix)
	if !ours {
		return fmt.Errorf("bucket %q holds something that is no Gapless log (format %.40q): give the log another name", name, format)
	}
	if text != strconv.Itoa(formatVersion) {
		return fmt.Errorf("log %q has format version %.40s, this program reads version %d: use the version of Gapless that wrote it",
			name, text, formatVersion)
	}
	return nil
}

func (v *view) bounds() cdc.Bounds {
	return cdc.Bounds{Epoch: v.epoch, Floor: v.floor, Head: v.head, Last: v.head}
}

// save stores the floor and the head if they changed.
func (v *view) save() error {
	if v.floor != v.saved[0] {
		if err := v.root.Put(keyFloor, seqKey(v.floor)); err != nil {
			return err
		}
	}
	if v.head != v.saved[1] {
		if err := v.root.Put(keyHead, seqKey(v.head)); err != nil {
			return err
		}
	}
	v.saved = [2]uint64{v.floor, v.head}
	return nil
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// idKey is 'i' and the ID, or 'h' and its SHA-256: a key of bbolt is limited,
// an ID only by the size of its event.
func idKey(id string) []byte {
	if len(id) > 256 {
		sum := sha256.Sum256([]byte(id))
		return append([]byte{'h'}, sum[:]...)
	}
	return append([]byte{'i'}, id...)
}
