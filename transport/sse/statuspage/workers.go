package statuspage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// workers is the section of the workers in the answer, null without any.
type workers struct {
	List  []workerLine `json:"list"`
	Error string       `json:"error,omitempty"` // why some are not listed
}

// workerLine is one worker.
type workerLine struct {
	Name     string `json:"name"`
	State    string `json:"state"`           // working, paused, waiting (nobody has the lease), new (never begun), or reset (it cannot go on from where it stands)
	Position uint64 `json:"position,string"` // seq up to which everything took effect or is parked
	Head     uint64 `json:"head,string"`     // of the log
	Lag      *waits `json:"lag"`             // null if it is not known
	Holder   string `json:"holder,omitempty"`
	Parked   int    `json:"parked"` // events
	Paused   bool   `json:"paused"`
	Error    string `json:"error,omitempty"` // why the lag is not known
}

// lookAtWorkers asks the places, which hold up nobody longer than askTimeout.
func (w *watch) lookAtWorkers(ctx context.Context, of []cdc.WorkersOf) {
	if len(of) == 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), askTimeout, fmt.Errorf("no answer within %v", askTimeout))
	defer cancel()
	list, err := cdc.ListWorkers(ctx, w.hub, of...)
	s := &workers{List: []workerLine{}}
	for _, one := range list {
		s.List = append(s.List, line(one))
	}
	if err != nil {
		s.Error = shortened(fmt.Sprint(err))
	}
	w.workers = s
}

func line(w cdc.WorkerStatus) workerLine {
	l := workerLine{
		Name: shortened(w.Name), State: "waiting", Position: w.Cursor.Seq, Head: w.Head,
		Parked: w.Parked, Paused: w.Paused,
	}
	if w.Lease.Remaining > 0 {
		l.State, l.Holder = "working", shortened(w.Lease.Holder)
	}
	reset, isReset := errors.AsType[*cdc.ResetError](w.Err)
	switch {
	case isReset:
		l.State, l.Error = "reset", "reset: "+string(reset.Reason)
	case w.Paused:
		l.State = "paused"
	case w.Cursor == cdc.Cursor{}:
		l.State = "new"
	}
	switch {
	case w.Err == nil && w.Cursor != cdc.Cursor{}:
		l.Lag = &waits{Events: w.Behind, Seconds: float64(w.Age) / float64(time.Second)}
	case w.Err != nil && !isReset:
		l.Error = shortened(fmt.Sprint(w.Err))
	}
	return l
}
