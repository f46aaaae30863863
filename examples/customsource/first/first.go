// Package first is the first version of the tutorial's log, as one would write
// it in ten minutes. It looks right and works in a demonstration. It is kept
// because a test shows what the conformance suite says about it.
package first

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Source keeps a log in one file, one JSON object a line.
type Source struct {
	name string

	mu    sync.Mutex
	epoch string
	last  uint64
}

// Open opens the log in the folder.
func Open(dir string) (*Source, error) {
	return &Source{name: filepath.Join(dir, "events"), epoch: cdc.NewEpoch()}, nil
}

func (s *Source) all() (events []cdc.Event, err error) {
	file, err := os.Open(s.name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var e cdc.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// Bounds implements [cdc.Source].
func (s *Source) Bounds(context.Context) (cdc.Bounds, error) {
	events, err := s.all()
	if err != nil || len(events) == 0 {
		return cdc.Bounds{Epoch: s.epoch}, err
	}
	head := events[len(events)-1].Seq
	return cdc.Bounds{Epoch: s.epoch, Head: head, Last: head}, nil
}

// Read implements [cdc.Source].
func (s *Source) Read(_ context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	events, err := s.all()
	page := cdc.Page{Next: after.Seq}
	for _, e := range events {
		if e.Seq > after.Seq && len(page.Events) < limit {
			page.Events = append(page.Events, e)
			page.Next = e.Seq
		}
	}
	return page, err
}

// Append implements [cdc.Appender].
func (s *Source) Append(_ context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file, err := os.OpenFile(s.name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return cdc.Receipt{}, err
	}
	defer func() { _ = file.Close() }()
	r := cdc.Receipt{Epoch: s.epoch}
	for _, e := range events {
		s.last++
		e.Seq, e.Time = s.last, time.Now()
		line, err := json.Marshal(e)
		if err != nil {
			return cdc.Receipt{}, err
		}
		if _, err := file.Write(append(line, '\n')); err != nil {
			return cdc.Receipt{}, err
		}
		r.Seqs = append(r.Seqs, e.Seq)
	}
	return r, nil
}
