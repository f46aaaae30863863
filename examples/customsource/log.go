// Package customsource is the example of docs/custom-source.md: a log over
// plain append-only files, written from nothing, and certified by the
// conformance suite in one line. It is made to be read; for real use take
// source/bolt.
package customsource

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Source keeps a log in two files of a folder: events, one JSON object a line,
// and bounds, which is replaced as a whole. It is a [cdc.Source]; [cdc.Poll]
// makes a Log of it.
type Source struct {
	dir    string
	events *os.File

	mu     sync.Mutex // one writer; readers take it for one view
	bounds cdc.Bounds
	ids    map[string]uint64
	closed bool
}

// Open opens the log in the folder, and makes it if it is empty.
func Open(dir string) (*Source, error) {
	s := &Source{dir: dir, ids: map[string]uint64{}}
	file, err := os.OpenFile(filepath.Join(dir, "events"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("customsource: open: %w", err)
	}
	s.events = file
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("customsource: open %s: %w", dir, err), file.Close())
	}
	return s, nil
}

// load reads the bounds, and the events that were written after them. A
// line that a crash cut in half was never acknowledged: it goes.
func (s *Source) load() error {
	text, err := os.ReadFile(filepath.Join(s.dir, "bounds"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.bounds.Epoch = cdc.NewEpoch()
		if err := s.saveBounds(); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(text, &s.bounds); err != nil {
			return fmt.Errorf("bounds cannot be read, restore them from a backup: %w", err)
		}
	}
	good, err := s.scan(func(batch []cdc.Event) bool {
		for _, e := range batch {
			if e.Seq > s.bounds.Floor {
				s.ids[e.ID] = e.Seq
			}
			s.bounds.Head, s.bounds.Last = max(s.bounds.Head, e.Seq), max(s.bounds.Last, e.Seq)
		}
		return true
	})
	if err != nil {
		return err
	}
	return s.events.Truncate(good)
}

// scan calls f for every append, until it returns false, and returns how many
// bytes of the file hold whole appends.
func (s *Source) scan(f func([]cdc.Event) bool) (good int64, err error) {
	r := bufio.NewReader(io.NewSectionReader(s.events, 0, 1<<62))
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return good, nil // what is left of a line is half of an append
		}
		if err != nil {
			return good, err
		}
		var batch []cdc.Event
		if err := json.Unmarshal(line, &batch); err != nil {
			return good, fmt.Errorf("the file is damaged at byte %d: %w", good, err)
		}
		good += int64(len(line))
		if !f(batch) {
			return good, nil
		}
	}
}

// saveBounds replaces the file of the bounds as a whole.
func (s *Source) saveBounds() error {
	text, err := json.Marshal(s.bounds)
	if err != nil {
		return err
	}
	return replace(filepath.Join(s.dir, "bounds"), text)
}

func replace(name string, text []byte) error {
	file, err := replaced(name, text)
	if err != nil {
		return err
	}
	return file.Close()
}

// replaced is replace, and returns the new file open.
func replaced(name string, text []byte) (*os.File, error) {
	file, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync()); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// enter locks the source for one call; the caller unlocks it if the error is
// nil.
func (s *Source) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return cdc.ErrClosed
	}
	return nil
}

// Bounds implements [cdc.Source].
func (s *Source) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if err := s.enter(ctx); err != nil {
		return cdc.Bounds{}, err
	}
	defer s.mu.Unlock()
	return s.bounds, nil
}

// Read implements [cdc.Source]. It reads the file from its beginning, which a
// real store has an index for.
func (s *Source) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if err := s.enter(ctx); err != nil {
		return cdc.Page{}, err
	}
	defer s.mu.Unlock()
	if err := s.bounds.Check(after); err != nil {
		return cdc.Page{}, err
	}
	page := cdc.Page{Next: max(after.Seq, s.bounds.Head)}
	var at *cdc.Event // the one that the cursor names
	size := 0
	_, err := s.scan(func(batch []cdc.Event) bool {
		for _, e := range batch {
			switch {
			case e.Seq == after.Seq:
				at = &e
			case e.Seq <= after.Seq:
			case len(page.Events) == max(limit, 1) || size >= cdc.PageBytes:
				page.Next = page.Events[len(page.Events)-1].Seq
				return false
			default:
				page.Events = append(page.Events, e)
				size += e.Size()
			}
		}
		return true
	})
	if err != nil {
		return cdc.Page{}, fmt.Errorf("customsource: read: %w", err)
	}
	if err := s.bounds.CheckTag(after, at); err != nil {
		return cdc.Page{}, err
	}
	return page, nil
}

// Append implements [cdc.Appender]: one line for one append, so that it is
// whole or not there.
func (s *Source) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	if err := cdc.CheckAppend(events, 0); err != nil {
		return cdc.Receipt{}, fmt.Errorf("customsource: append: %w", err)
	}
	if err := s.enter(ctx); err != nil {
		return cdc.Receipt{}, err
	}
	defer s.mu.Unlock()
	batch, receipt := s.number(events)
	if len(batch) == 0 {
		return receipt, nil
	}
	line, err := json.Marshal(batch)
	if err != nil {
		return cdc.Receipt{}, fmt.Errorf("customsource: append: %w", err)
	}
	if err := s.write(append(line, '\n')); err != nil {
		return cdc.Receipt{}, fmt.Errorf("customsource: append: %w", err)
	}
	for _, e := range batch {
		s.ids[e.ID] = e.Seq
	}
	s.bounds.Last = batch[len(batch)-1].Seq
	s.bounds.Head = s.bounds.Last
	return receipt, nil
}

// number gives seqs and times to the events whose ID is new.
func (s *Source) number(events []cdc.Event) ([]cdc.Event, cdc.Receipt) {
	receipt := cdc.Receipt{Epoch: s.bounds.Epoch, Seqs: make([]uint64, len(events)), Duplicate: len(events) > 0}
	now := time.Now().UTC().Truncate(time.Microsecond)
	var batch []cdc.Event
	mine := map[string]uint64{}
	for i, e := range events {
		known := s.ids[e.ID]
		if known == 0 {
			known = mine[e.ID]
		}
		if e.ID != "" && known != 0 {
			receipt.Seqs[i] = known
			continue
		}
		receipt.Duplicate = false
		e.Seq, e.Time = s.bounds.Last+uint64(len(batch))+1, now
		receipt.Seqs[i], mine[e.ID] = e.Seq, e.Seq
		batch = append(batch, e)
	}
	return batch, receipt
}

// write adds the line and syncs it. What fails is taken back, because its seqs
// will be used again; if that fails as well nothing is written any more, and
// whoever opens the log again sees what is there.
func (s *Source) write(line []byte) error {
	before, err := s.events.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	_, err = s.events.Write(line)
	if err == nil {
		if err = s.events.Sync(); err == nil {
			return nil
		}
		err = fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
	}
	if back := s.events.Truncate(before); back != nil {
		err = fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, errors.Join(err, back, s.events.Close()))
	}
	return err
}

// Trim implements [cdc.Trimmer]: the floor first, then a smaller file. A crash
// between the two leaves events below the floor, which nobody can read.
func (s *Source) Trim(ctx context.Context, seq uint64) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	seq = min(seq, s.bounds.Head)
	if seq <= s.bounds.Floor {
		return 0, nil
	}
	before := s.bounds.Floor
	s.bounds.Floor = seq
	if err := s.saveBounds(); err != nil {
		s.bounds.Floor = before
		return 0, fmt.Errorf("customsource: trim: %w", err)
	}
	removed := 0
	var rest bytes.Buffer
	_, err := s.scan(func(batch []cdc.Event) bool {
		var keep []cdc.Event
		for _, e := range batch {
			if e.Seq > seq {
				keep = append(keep, e)
				continue
			}
			delete(s.ids, e.ID)
			removed++
		}
		if len(keep) > 0 {
			line, _ := json.Marshal(keep) // it was read from JSON
			rest.Write(append(line, '\n'))
		}
		return true
	})
	if err == nil {
		err = s.rewrite(rest.Bytes())
	}
	if err != nil {
		return 0, fmt.Errorf("customsource: trim: %w", err)
	}
	return removed, nil
}

func (s *Source) rewrite(text []byte) error {
	file, err := replaced(filepath.Join(s.dir, "events"), text)
	if err != nil {
		return err
	}
	old := s.events
	s.events = file
	return old.Close()
}

// Renew implements [cdc.Renewer].
func (s *Source) Renew(ctx context.Context) (string, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer s.mu.Unlock()
	before := s.bounds.Epoch
	s.bounds.Epoch = cdc.NewEpoch()
	if err := s.saveBounds(); err != nil {
		s.bounds.Epoch = before
		return "", fmt.Errorf("customsource: renew: %w", err)
	}
	return s.bounds.Epoch, nil
}

// Close closes the file. It is idempotent.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if err := s.events.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("customsource: close: %w", err)
	}
	return nil
}
