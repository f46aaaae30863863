package e2e_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse"
)

// Each client that takes gzip gets each event of a compressed stream when it
// happens: the next one is appended when it has come, and nothing else is sent
// that could push it. Those that take none get the stream as it is.
func TestEveryClientTakesGzip(t *testing.T) {
	cert := newCertificate(t)
	for _, k := range slices.Concat(kinds, others) {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			t.Parallel()
			takeGzip(t, k, nil)
		})
		if k.installed {
			continue // it does not trust the certificate
		}
		t.Run(k.name+" over TLS", func(t *testing.T) {
			k.need(t)
			t.Parallel()
			takeGzip(t, k, &cert)
		})
	}
}

func takeGzip(t *testing.T, k kind, cert *certificate) {
	url, log, handler, tape := serveCompressed(t, cert)
	var env []string
	if cert != nil {
		env = cert.trust()
	}
	lines := make(chan report.Line, 10)
	begun := k.ours // it shows no frames but events
	k.start(t, env, func(l report.Line) {
		if l.Event == "" || l.Event == "cdc.live" && !begun {
			begun = true
			lines <- l
		}
	}, url+"/events?after=beginning")
	next := func(what string) report.Line {
		t.Helper()
		select {
		case l := <-lines:
			return l
		case <-time.After(patience):
			t.Fatalf("%s was kept on the way", what)
			return report.Line{}
		}
	}
	if k.ours {
		appendPayloads(t, log, "t", `"first"`)
	}
	next("the beginning")
	for i, text := range compressible() {
		appendPayloads(t, log, "t", fmt.Sprintf("%q", text))
		var e struct{ Data string }
		l := next(fmt.Sprintf("event %d of %d bytes", i, len(text)))
		if err := json.Unmarshal([]byte(l.Data), &e); err != nil || e.Data != text {
			t.Errorf("event %d came as %.100q (%v), want %d bytes of data", i, l.Data, err, len(text))
		}
	}
	checkCompressed(t, k, handler, tape)
}

// checkCompressed is about the streams of one client.
func checkCompressed(t *testing.T, k kind, handler *sse.Handler, sent *tape) {
	t.Helper()
	st := handler.Status()
	for end := time.Now().Add(patience); st.Compressed != sent.len() && time.Now().Before(end); st = handler.Status() {
		time.Sleep(10 * time.Millisecond) // one is being opened
	}
	want := uint64(0)
	if k.name != python && k.name != java { // which ask for none
		want = st.Opened
	}
	if st.Compressed != want {
		t.Errorf("of %d streams %d were compressed, want %d", st.Opened, st.Compressed, want)
	}
	// Chromium gives up its connections over HTTP/2 when an address of the machine
	// changes (ERR_NETWORK_CHANGED), and comes back. Our clients ask for a cursor first.
	for reason, n := range st.Ended {
		if asked := reason == sse.EndClient && k.browser || reason == sse.EndLimit && k.ours; !asked {
			t.Errorf("%d streams ended: %v", n, reason)
		}
	}
	sent.check(t, st.Compressed)
}

// compressible are texts that become much smaller, and some that do not.
func compressible() []string {
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	return []string{"x", strings.Repeat("again ", 50), random(30), strings.Repeat("ä🚀", 1000), random(4000), "y", strings.Repeat("long ", 20_000), random(60_000), "z"}
}

// serveCompressed serves a log over streams that are compressed, and on which
// nothing is sent but events; over TLS and HTTP/2 with a certificate.
func serveCompressed(t *testing.T, cert *certificate) (url string, log *memlog.Log, handler *sse.Handler, _ *tape) {
	t.Helper()
	log = memlog.New(nil)
	t.Cleanup(func() { log.Close() })
	handler = newHandler(t, log, &sse.Options{Heartbeat: time.Hour, Limits: sse.Limits{Compress: true}})
	mux := http.NewServeMux()
	tape := &tape{}
	mux.Handle("/events", tape.record(handler))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := httptest.NewUnstartedServer(mux)
	if cert != nil {
		server.TLS, server.EnableHTTP2 = &tls.Config{Certificates: []tls.Certificate{cert.pair}}, true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL, log, handler, tape
}

// tape has the compressed bodies that were sent so far.
type tape struct {
	mu     sync.Mutex
	bodies []*bytes.Buffer
}

func (t *tape) record(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(taped{w, t, &bytes.Buffer{}}, r)
	})
}

// check fails the test if there are not so many bodies, or one cannot be decompressed
// as far as it goes.
func (t *tape) check(test *testing.T, n uint64) {
	test.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if uint64(len(t.bodies)) != n {
		test.Errorf("%d bodies are compressed, want %d", len(t.bodies), n)
	}
	for i, body := range t.bodies {
		r, err := gzip.NewReader(bytes.NewReader(body.Bytes()))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			test.Errorf("stream %d of %d has %d bytes that are no gzip: %v", i+1, len(t.bodies), body.Len(), err)
		}
	}
}

func (t *tape) len() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return uint64(len(t.bodies))
}

func (t *tape) add(body *bytes.Buffer, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if body.Len() == 0 {
		t.bodies = append(t.bodies, body)
	}
	body.Write(p)
}

type taped struct {
	http.ResponseWriter
	tape *tape
	body *bytes.Buffer
}

func (w taped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w taped) Write(p []byte) (int, error) {
	if w.Header().Get("Content-Encoding") == "gzip" {
		w.tape.add(w.body, p)
	}
	return w.ResponseWriter.Write(p)
}

// curl shows each event when it happens, and is content with the end.
func TestCurlTakesGzip(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	url, log, handler, tape := serveCompressed(t, nil)
	cmd := exec.CommandContext(t.Context(), "curl", "-sS", "-N", "--compressed", url+"/events?after=beginning")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	seen, buf := "", make([]byte, 4096)
	until := func(want string) {
		t.Helper()
		for !strings.Contains(seen, want) {
			n, err := out.Read(buf)
			if seen += string(buf[:n]); err != nil {
				t.Fatalf("%v before %q, after %q", err, want, seen)
			}
		}
	}
	until("cdc.live")
	for i := range 3 {
		appendPayloads(t, log, "t", fmt.Sprint(i))
		until(fmt.Sprintf(`"data":%d}`, i))
	}
	handler.Close()
	until("cdc.reconnect")
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("curl: %v: it takes the end for a cut", err)
	}
	if st := handler.Status(); st.Compressed != 1 {
		t.Errorf("%d streams were compressed, want 1", st.Compressed)
	}
	tape.check(t, 1)
}
