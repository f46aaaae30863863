package jetstream_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// rewind takes the stream back to what it held at seq, as a disk does that has
// lost what was not synced: the server is stopped and its block files are cut.
func (n *node) rewind(stream string, seq uint64) error {
	n.stop()
	defer n.start()
	dir := filepath.Join(n.opts.StoreDir, "jetstream", "$G", "streams", stream, "msgs")
	blocks, err := filepath.Glob(filepath.Join(dir, "*.blk"))
	if err != nil || len(blocks) == 0 {
		return fmt.Errorf("no block files in %s: %w", dir, err)
	}
	for _, block := range blocks {
		if err := cutBlock(block, seq); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Join(dir, "index.db")) // it is made from the blocks
}

// cutBlock removes the records above seq. One begins with its length, the seq
// and the time; the highest bits are flags.
func cutBlock(file string, seq uint64) error {
	const headers, deleted, tombstone = 1 << 31, 1 << 63, 1 << 62
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	kept := data[:0]
	for at := 0; at+12 <= len(data); {
		size := int(binary.LittleEndian.Uint32(data[at:]) &^ headers)
		s := binary.LittleEndian.Uint64(data[at+4:])
		if size < 22 || at+size > len(data) {
			return fmt.Errorf("%s: no record at %d", file, at)
		}
		if s&tombstone != 0 || s&^deleted <= seq {
			kept = append(kept, data[at:at+size]...)
		}
		at += size
	}
	return os.WriteFile(file, kept, 0o600)
}

func TestRewindCutsBlocks(t *testing.T) {
	n := startNode(t)
	log := openLog(t, n, "events")
	appendN(t, log, 10)
	if err := n.rewind("events", 4); err != nil {
		t.Fatal(err)
	}
	if b := bounds(t, openLog(t, n, "events")); b.Last != 4 {
		t.Errorf("the stream ends at %d, want 4", b.Last)
	}
}

// TestOneRewindIsOneEpoch lets many calls find out at once that the stream went
// back: a second epoch would reset the readers that were just told the first.
func TestOneRewindIsOneEpoch(t *testing.T) {
	n := startNode(t)
	log := openLog(t, n, "events")
	appendN(t, log, 10)
	if err := n.rewind("events", 4); err != nil {
		t.Fatal(err)
	}
	const calls = 32
	epochs := make(chan string, calls)
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			b, err := log.Bounds(t.Context())
			if err != nil {
				t.Error(err)
			}
			epochs <- b.Epoch
		})
	}
	all.Wait()
	now := bounds(t, log).Epoch
	for range calls {
		if e := <-epochs; e != now {
			t.Fatalf("Bounds gave epoch %q, and the log has %q", e, now)
		}
	}
}
