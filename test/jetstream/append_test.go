package jetstream_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// TestBatchLimits appends more at once than the limits: it is refused, and the
// limit is stored.
func TestBatchLimits(t *testing.T) {
	log := openLog(t, startNode(t), "limits")
	half := cdc.Event{Data: make([]byte, 1<<19)}
	for _, test := range []struct {
		events []cdc.Event
		want   string
	}{
		{make([]cdc.Event, jetstreamlog.MaxBatchEvents+1), "1001 events"},
		{slices.Repeat([]cdc.Event{half}, jetstreamlog.MaxBatchBytes/len(half.Data)+1), "bytes together"},
	} {
		_, err := log.Append(t.Context(), test.events...)
		large, ok := errors.AsType[*cdc.BatchTooLargeError](err)
		if !ok || large.Events != len(test.events) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "several calls") {
			t.Errorf("got %v, want a BatchTooLargeError with %q", err, test.want)
		}
	}
	r, err := log.Append(t.Context(), make([]cdc.Event, jetstreamlog.MaxBatchEvents)...)
	if err != nil || r.Seqs[0] != 1 || bounds(t, log).Head != jetstreamlog.MaxBatchEvents {
		t.Errorf("an append at the limit: got %d seqs, %v; want seqs 1 to %d", len(r.Seqs), err, jetstreamlog.MaxBatchEvents)
	}
}
