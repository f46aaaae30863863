package gz

import (
	"net/http"
	"strconv"
	"strings"
)

// Accepted reports whether the request asks for gzip, and does not rather have
// the body as it is.
func Accepted(header http.Header) bool {
	gzip, identity, others := -1.0, -1.0, -1.0
	for _, line := range header.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(coding, ";")
			switch q := quality(params); strings.ToLower(strings.TrimSpace(name)) {
			case "gzip", "x-gzip":
				gzip = max(gzip, q)
			case "identity":
				identity = max(identity, q)
			case "*":
				others = max(others, q)
			}
		}
	}
	if gzip < 0 {
		gzip = others
	}
	return gzip > 0 && gzip >= identity
}

// quality reads ";q=0.5". What cannot be read is a refusal.
func quality(params string) float64 {
	name, value, given := strings.Cut(strings.TrimSpace(params), "=")
	if name == "" {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if !given || err != nil || !strings.EqualFold(strings.TrimSpace(name), "q") || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}
