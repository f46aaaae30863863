package e2e_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
)

// kind is a client that people use.
type kind struct {
	name      string // as it is known, with its version
	command   []string
	browser   bool
	node      bool
	ours      bool
	installed bool // the program that runs it is the system's
	watches   bool // it notices a silent connection by itself
}

// The clients, with the versions of package.json and go.mod, which a test checks.
const (
	chromium    = "Chromium, native EventSource"
	polyfill    = "event-source-polyfill@1.0.31"
	reconnects  = "reconnecting-eventsource@1.6.5"
	typescript  = "clients/typescript"
	remoteLog   = "transport/sse/remote"
	python      = "Python, urllib"
	java        = "Java, HttpClient"
	eventsource = "eventsource@4.1.1"
	esClient    = "eventsource-client@1.2.0"
	fetchES     = "@microsoft/fetch-event-source@2.0.1"
	darkly      = "launchdarkly/eventsource v1.11.0"
	gosse       = "tmaxmax/go-sse v0.12.0"
	r3labs      = "r3labs/sse v2.10.0"
)

// kinds are the clients of the matrix, in its order.
var kinds = []kind{
	{name: chromium, command: []string{"node", "node/chromium.js", "native"}, browser: true, node: true},
	{name: eventsource, command: []string{"node", "node/eventsource.js"}, node: true},
	{name: esClient, command: []string{"node", "node/eventsource-client.js"}, node: true},
	{name: fetchES, command: []string{"node", "node/fetch-event-source.js"}, node: true},
	{name: darkly, command: []string{"launchdarkly"}, watches: true},
	{name: gosse, command: []string{"gosse"}},
	{name: r3labs, command: []string{"r3labs"}},
}

// others are the further clients of the matrix of faults.
var others = []kind{
	{name: polyfill, command: []string{"node", "node/chromium.js", "event-source-polyfill"}, browser: true, node: true, watches: true},
	{name: reconnects, command: []string{"node", "node/chromium.js", "reconnecting-eventsource"}, browser: true, node: true},
	{name: python, command: []string{"python3", "clients/python/follow.py"}, installed: true, watches: true},
	{name: java, command: []string{"java", "clients/java/Follow.java"}, installed: true, watches: true},
	{name: typescript, command: []string{"node", "node/chromium.js", "typescript"}, browser: true, node: true, ours: true, watches: true},
	{name: remoteLog, command: []string{"remote"}, ours: true, watches: true},
}

func (k kind) String() string { return k.name }

// need skips, or fails if it is required, without what the client runs on.
func (k kind) need(t *testing.T) {
	t.Helper()
	switch {
	case k.browser:
		needChromium(t)
	case k.node:
		needNode(t)
	case k.installed:
		if _, err := exec.LookPath(k.command[0]); err != nil {
			testserver.Missing(t, k.command[0], err.Error())
		}
	}
}

// start runs the client's program on the URLs. Each line of its output is
// handed over by one goroutine. stop ends the program, after which no line comes;
// the end of the test does so, too.
func (k kind) start(t *testing.T, env []string, line func(report.Line), urls ...string) (stop func()) {
	t.Helper()
	command := k.command
	if !k.node && !k.installed {
		command = []string{binary(command[0])}
	}
	cmd := exec.Command(command[0], slices.Concat(command[1:], urls)...)
	cmd.Env = append(append(os.Environ(), "E2E_TMP="+t.TempDir()), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr := &testserver.Output{}
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		readLines(t, k, out, line)
	}()
	stop = sync.OnceFunc(func() {
		in.Close()
		kill := time.AfterFunc(10*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		<-read
		cmd.Wait()
		kill.Stop()
		if t.Failed() && stderr.String() != "" {
			t.Logf("stderr of %s:\n%.4000s", k, stderr)
		}
	})
	t.Cleanup(stop)
	return stop
}

func readLines(t *testing.T, k kind, out io.Reader, line func(report.Line)) {
	lines := bufio.NewReaderSize(out, 64<<10)
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		var l report.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Errorf("%s printed %q: %v", k, strings.TrimSpace(text), err)
			return
		}
		line(l)
	}
}
