package cdc_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/gapless-go/gapless/cdc"
)

func TestCapabilitiesAreFoundBehindWrappers(t *testing.T) {
	log := newMem(t)
	wrapped := &hooks{Log: &hooks{Log: log}}
	if r := add(t, wrapped, 3); !reflect.DeepEqual(r.Seqs, from(1, 3)) {
		t.Errorf("Append: %+v", r)
	}
	if n, err := cdc.Trim(t.Context(), wrapped, 2); n != 2 || err != nil {
		t.Errorf("Trim = %d, %v", n, err)
	}
	if e, err := cdc.Renew(t.Context(), wrapped); err != nil || e != epochOf(t, log) {
		t.Errorf("Renew = %q, %v", e, err)
	}
	type readOnly struct{ cdc.Log }
	bare := readOnly{log}
	_, err1 := cdc.Append(t.Context(), bare)
	_, err2 := cdc.Trim(t.Context(), bare, 1)
	_, err3 := cdc.Renew(t.Context(), bare)
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v, want ErrUnsupported", err)
		}
	}
}
