package gz_test

import (
	"net/http"
	"testing"

	"github.com/gapless-go/gapless/transport/sse/internal/gz"
)

func TestAccepted(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"gzip"}, true},
		{[]string{"GZip"}, true},
		{[]string{"x-gzip"}, true},
		{[]string{"gzip, deflate, br, zstd"}, true},
		{[]string{"br;q=1.0, gzip;q=0.8, *;q=0.1"}, true},
		{[]string{"br", "gzip ; q = 0.5"}, true},
		{[]string{"gzip;q=0"}, false},
		{[]string{"gzip;q=0.000, *"}, false},
		{[]string{"*"}, true},
		{[]string{"*;q=0"}, false},
		{[]string{"identity"}, false},
		{[]string{"identity;q=1, gzip;q=0.5"}, false},
		{[]string{"identity;q=0.5, gzip"}, true},
		{[]string{"identity, gzip"}, true},
		{[]string{"br, deflate"}, false},
		{[]string{"gzipped"}, false},
		{[]string{"gzip;q=x"}, false},
		{[]string{"gzip;q=2"}, false},
		{[]string{"gzip;q=-1"}, false},
		{[]string{"gzip;q=NaN"}, false},
		{[]string{"gzip;level=1"}, false},
	} {
		if got := gz.Accepted(http.Header{"Accept-Encoding": test.lines}); got != test.want {
			t.Errorf("%q: got %t, want %t", test.lines, got, test.want)
		}
	}
}
