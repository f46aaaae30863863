package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

// server is a process that keeps its address and its log when it is started
// again: the quickstart, or the server over TLS.
type server struct {
	t      *testing.T
	args   []string
	scheme string
	addr   string
	http   *http.Client
	stderr testserver.Output
	cmd    *exec.Cmd
}

func newQuickstart(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, scheme: "http", addr: testserver.FreeAddr(t)}
	s.args = []string{binary("quickstart"), "-addr", s.addr, "-db", filepath.Join(t.TempDir(), "log.db")}
	return s.run(nil)
}

func newTLSServer(t *testing.T, cert certificate) *server {
	t.Helper()
	s := &server{t: t, scheme: "https", addr: testserver.FreeAddr(t)}
	s.args = []string{binary("server"), "-addr", s.addr, "-db", filepath.Join(t.TempDir(), "log.db"), "-cert", cert.certFile, "-key", cert.keyFile}
	return s.run(cert.pool)
}

// newCompressingServer has no TLS.
func newCompressingServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, scheme: "http", addr: testserver.FreeAddr(t)}
	s.args = []string{binary("server"), "-addr", s.addr, "-db", filepath.Join(t.TempDir(), "log.db"), "-compress"}
	return s.run(nil)
}

func (s *server) run(roots *x509.CertPool) *server {
	s.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	s.http = &http.Client{Transport: transport}
	s.t.Cleanup(func() {
		s.stop(syscall.SIGKILL)
		transport.CloseIdleConnections()
		if s.t.Failed() {
			s.t.Logf("stderr of the server:\n%.4000s", s.stderr.String())
		}
	})
	s.start()
	return s
}

func (s *server) url(path string) string { return s.scheme + "://" + s.addr + path }

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stderr = &s.stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, "the server to answer", func() bool {
		resp, err := s.http.Get(s.url("/healthz"))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// stop ends the process with the signal and waits for it.
func (s *server) stop(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(sig)
	kill := time.AfterFunc(patience, func() { s.cmd.Process.Kill() })
	err := s.cmd.Wait()
	kill.Stop()
	s.cmd = nil
	if err != nil && sig != syscall.SIGKILL {
		s.t.Errorf("after %v: %v", sig, err)
	}
}

// protocol is what the i-th client spoke, as far as the server told.
func (s *server) protocol(i int) string {
	for line := range strings.Lines(s.stderr.String()) {
		if client, protocol, ok := strings.Cut(strings.TrimSpace(line), " "); ok && client == fmt.Sprint(i) {
			return ", " + strings.ReplaceAll(protocol, " ", ", ")
		}
	}
	return ""
}

// post appends events as NDJSON until the server has acknowledged them: they
// have IDs, so trying again is safe.
func (s *server) post(ctx context.Context, lines []string) error {
	for {
		err := testserver.AppendLines(ctx, s.http, s.url("/events"), lines)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond) // the server may be down
	}
}

// startNginx starts a private nginx with the settings of its Debian package in
// front of the address, and returns its own. The directives are for its site.
func startNginx(t *testing.T, upstream string, directives ...string) string {
	t.Helper()
	needNginx(t)
	packaged, err := os.ReadFile("/etc/nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir, addr := t.TempDir(), testserver.FreeAddr(t)
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // its workers may be another user's
		t.Fatal(err)
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(nginxConfig(string(packaged), dir, addr, upstream, directives)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", config, "-g", "daemon off;")
	stderr := &testserver.Output{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // the fast shutdown; the workers end with it
		cmd.Wait()
	})
	await(t, "nginx to listen", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return addr
}

// nginxConfig is the packaged file with other paths, one site and a cache that it
// may use: nothing else that has to do with how requests are passed on is set.
func nginxConfig(packaged, dir, addr, upstream string, directives []string) string {
	var b strings.Builder
	for line := range strings.Lines(packaged) {
		switch field, _, _ := strings.Cut(strings.TrimSpace(line), " "); {
		case field == "pid", field == "access_log", field == "error_log", field == "user":
		case field == "include" && !strings.Contains(line, "mime.types"):
		case field == "http":
			fmt.Fprintf(&b, "pid %s/nginx.pid;\n%s", dir, line)
			for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				fmt.Fprintf(&b, "\t%s_temp_path %s/%s;\n", kind, dir, kind)
			}
			fmt.Fprintf(&b, "\taccess_log off;\n\tproxy_cache_path %s/cache keys_zone=cache:1m;\n", dir)
			fmt.Fprintf(&b, "\tserver {\n\t\tlisten %s;\n%s\n\t\tlocation / {\n\t\t\tproxy_pass http://%s;\n\t\t}\n\t}\n", addr, strings.Join(directives, "\n"), upstream)
		default:
			b.WriteString(line)
		}
	}
	return strings.ReplaceAll(b.String(), "include mime.types", "include /etc/nginx/mime.types")
}
