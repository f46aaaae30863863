package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gapless-go/gapless/internal/testserver"
)

// TestTailOutlivesItsServer: PostgreSQL is killed under it, and comes back.
func TestTailOutlivesItsServer(t *testing.T) {
	t.Parallel()
	server := testserver.StartPostgres(t)
	address := fmt.Sprintf("postgres://gapless@127.0.0.1:%d/postgres?sslmode=disable", server.Port)
	ok(t, numbered(1, 3), "append", "-s", address)
	p := start(t, "tail", "-s", address, "--from", "beginning")
	p.await(t, "three events", func() bool { return strings.Count(p.out.String(), "\n") == 3 })
	server.Kill()
	p.await(t, "word of it", func() bool { return p.err.String() != "" })
	server.Start(t)
	ok(t, numbered(4, 5), "append", "-s", address)
	p.await(t, "two more", func() bool { return strings.Count(p.out.String(), "\n") == 5 })
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("got exit %d: %s", code, p.err.String())
	}
}

// TestTailOfAnEndpointThatIsKilled comes back, with what was appended meanwhile.
func TestTailOfAnEndpointThatIsKilled(t *testing.T) {
	t.Parallel()
	address := "bolt:" + filepath.Join(t.TempDir(), "app.db")
	ok(t, numbered(1, 3), "append", "-s", address)
	s := serve(t, "-s", address)
	p := start(t, "tail", "-s", s.url+"/events", "--from", "beginning")
	p.await(t, "three events", func() bool { return strings.Count(p.out.String(), "\n") == 3 })
	s.stop(t, syscall.SIGKILL)
	ok(t, numbered(4, 5), "append", "-s", address)
	again := start(t, "serve", "-s", address, "--append", "--listen", strings.TrimPrefix(s.url, "http://"))
	p.await(t, "two more", func() bool { return strings.Count(p.out.String(), "\n") == 5 })
	if got, body := get(t, newRequest(t, http.MethodPost, s.url+"/append", `{"type":"last"}`, "Content-Type", "application/json")); got != 200 {
		t.Errorf("append: %d %s", got, body)
	}
	p.await(t, "the last", func() bool { return strings.Contains(p.out.String(), `"last"`) })
	all := events(t, p.out.String())
	if len(all) != 6 {
		t.Errorf("got %d events, want 6 once each", len(all))
	}
	if code := again.stop(t, syscall.SIGINT); code != 0 {
		t.Errorf("got exit %d: %s", code, again.err.String())
	}
}

// TestInterruptedAppend has appended what came, and does not say that all is done.
func TestInterruptedAppend(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary, "append", "-s", "bolt:"+filepath.Join(t.TempDir(), "app.db"), "--progress", "always")
	cmd.Env = environment()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, cmd)
	if _, err := io.WriteString(stdin, numbered(1, 3)); err != nil {
		t.Fatal(err)
	}
	p.await(t, "three events", func() bool { return strings.Contains(p.err.String(), "(3/") })
	if code := p.stop(t, syscall.SIGINT); code != 1 || !strings.HasPrefix(p.out.String(), "3 events appended") || !strings.Contains(p.err.String(), "interrupted") {
		t.Errorf("got exit %d: %s%s", code, p.out.String(), p.err.String())
	}
}
