package sse_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// parkAll makes every test of this package use Limits.Park.
const parkAll = "GAPLESS_SSE_PARK"

func parking() bool { return os.Getenv(parkAll) != "" }

// skipUnseen skips a test of a middleware that does not see a stream that is
// parked after its beginning, and has not set a deadline by its name.
func skipUnseen(t *testing.T, name string) {
	if parking() && !strings.HasPrefix(name, "context.WithTimeout") {
		t.Skip("such a middleware sees the request end when the stream begins")
	}
}

// compressAll makes every test of this package use Limits.Compress.
const compressAll = "GAPLESS_SSE_COMPRESS"

func compressing() bool { return os.Getenv(compressAll) != "" }

// TestSuiteWithParkedStreams runs what of this package's tests depends on how a
// stream is served, a second time; all of them with GAPLESS_SOAK=1.
func TestSuiteWithParkedStreams(t *testing.T) {
	suiteWith(t, parkAll, "Conformance|Drain|ShutdownDuring|Reset|EndStreams|Expires|MaxAge|HalfClosed|HalfOpen|Panics|Status|Deadline|BeatsAndAges|ReadTimeout|"+
		"StuckClientIsCut|Checkpoints|Outage|Heartbeats|Retention|CORS|Remote|Proxy|HTTP2")
}

// TestSuiteWithCompressedStreams is the same for what depends on how a stream is
// written.
func TestSuiteWithCompressedStreams(t *testing.T) {
	suiteWith(t, compressAll, "Conformance|Drain|ShutdownDuring|Reset|EndStreams|Expires|MaxAge|HalfClosed|Panics|Status|BeatsAndAges|"+
		"StuckClientIsCut|Checkpoints|Outage|Heartbeats|Retention|Remote|Proxy|HTTP2")
}

func suiteWith(t *testing.T, form, run string) {
	if parking() || compressing() {
		t.Skip("it is this one")
	}
	t.Parallel() // with the other form
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("GAPLESS_SOAK") != "" {
		run = "."
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", run, "-test.skip", "Parked|Compressed|Cost")
	cmd.Env = append(os.Environ(), form+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// newHandler is sse.NewHandler, with what the environment says.
func newHandler(l cdc.Log, opts *sse.Options) (*sse.Handler, error) {
	var o sse.Options
	if opts != nil {
		o = *opts
	}
	o.Limits.Park = o.Limits.Park || parking()
	o.Limits.Compress = o.Limits.Compress || compressing()
	return sse.NewHandler(l, &o)
}

// proxied is a handler whose streams are compressed, behind a proxy that undoes
// it for clients that take no gzip.
type proxied struct {
	*httputil.ReverseProxy
	handler   *sse.Handler
	server    *httptest.Server
	transport *http.Transport
}

func unzipped(h *sse.Handler) (*proxied, error) {
	p := &proxied{handler: h, server: httptest.NewServer(h), transport: &http.Transport{}}
	target, err := url.Parse(p.server.URL)
	if err != nil {
		return nil, err
	}
	p.ReverseProxy = httputil.NewSingleHostReverseProxy(target)
	p.Transport, p.FlushInterval, p.ErrorLog = p.transport, -1, log.New(io.Discard, "", 0)
	p.ModifyResponse = func(r *http.Response) error {
		if r.StatusCode == http.StatusOK && !r.Uncompressed {
			return errors.New("the stream is not compressed")
		}
		return nil
	}
	return p, nil
}

// Close ends all that serves.
func (p *proxied) Close() error {
	err := p.handler.Close()
	p.server.CloseClientConnections()
	p.server.Close()
	p.transport.CloseIdleConnections()
	return err
}
