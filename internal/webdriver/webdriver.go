// Package webdriver drives a headless Chromium in tests, by the WebDriver
// protocol of chromedriver.
package webdriver

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

// patience is how long anything may take before a test gives up on it.
const patience = 60 * time.Second

// Browser is a Chromium with a profile of its own and one page. It belongs to
// one test and its goroutine, and ends with it. A method that fails ends the
// test.
type Browser struct {
	t       *testing.T
	session string // URL
}

// Start starts a browser. Without Chromium and chromedriver the test is
// skipped, or fails if they are required.
func Start(t *testing.T) *Browser {
	t.Helper()
	for _, program := range []string{"chromium", "chromedriver"} {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, "chromium", err.Error())
		}
	}
	deadline := time.Now().Add(patience)
	port := ""
	for port == "" { // it takes a port of IPv6 that may be taken on IPv4, and ends
		port = startDriver(t, deadline)
	}
	b := &Browser{t: t, session: "http://127.0.0.1:" + port + "/session"}
	var session struct{ SessionID string }
	b.call("POST", "", fmt.Sprintf(`{"capabilities":{"alwaysMatch":{"goog:chromeOptions":{"args":["--headless","--no-sandbox",
		"--disable-gpu","--disable-quic","--no-first-run","--disable-background-networking","--disable-component-update","--disable-sync",
		"--window-size=1280,900","--user-data-dir=%s"]}}}}`, t.TempDir()), &session)
	b.session += "/" + session.SessionID
	t.Cleanup(func() { b.call("DELETE", "", "", nil) })
	return b
}

// startDriver starts chromedriver and returns its port; it is empty if chromedriver
// found none.
func startDriver(t *testing.T, deadline time.Time) string {
	t.Helper()
	driver := exec.Command("chromedriver", "--port=0")
	driver.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its browser ends with it
	driver.WaitDelay = time.Second
	out := &testserver.Output{}
	driver.Stdout = out
	if err := driver.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-driver.Process.Pid, syscall.SIGKILL)
		_ = driver.Wait() // it was killed
	})
	for ; ; time.Sleep(5 * time.Millisecond) {
		text := out.String()
		if match := driverPort.FindStringSubmatch(text); match != nil {
			return match[1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for chromedriver: %s", patience, text)
		}
		if strings.Contains(text, "port not available") {
			return ""
		}
	}
}

var driverPort = regexp.MustCompile(`successfully on port (\d+)`)

func (b *Browser) call(method, path, body string, value any) {
	b.t.Helper()
	req, err := http.NewRequest(method, b.session+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Close = true
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("WebDriver %s %s: %d %s %v", method, path, resp.StatusCode, text, err)
	}
	if value == nil {
		return
	}
	answer := struct{ Value any }{Value: value}
	if err := json.Unmarshal(text, &answer); err != nil {
		b.t.Fatalf("WebDriver answered %s: %v", text, err)
	}
}

// post sends a command with its parameters.
func (b *Browser) post(path string, params map[string]any, value any) {
	b.t.Helper()
	body, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	b.call("POST", path, string(body), value)
}

// Open shows the URL and returns when it has loaded.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.post("/url", map[string]any{"url": url}, nil)
}

// Run runs JavaScript in the page, the body of a function. What it returns is
// decoded into value, which may be nil.
func (b *Browser) Run(script string, value any) {
	b.t.Helper()
	b.post("/execute/sync", map[string]any{"script": script, "args": []any{}}, value)
}

// Is reports whether the JavaScript expression is true in the page.
func (b *Browser) Is(expression string) (value bool) {
	b.t.Helper()
	b.Run("return Boolean("+expression+")", &value)
	return value
}

// Await waits until the JavaScript expression is true in the page.
func (b *Browser) Await(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !b.Is(expression); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			var seen string
			b.Run("return document.body.dataset.state + '\\n' + document.body.innerText", &seen)
			b.t.Fatalf("waited %v in the page for %s; it shows\n%.2000s", patience, expression, seen)
		}
	}
}

// Press presses and releases a key in whatever has the focus: one character, or
// one of the code points by which WebDriver names the others.
func (b *Browser) Press(key rune) {
	b.t.Helper()
	action := func(kind string) map[string]any { return map[string]any{"type": kind, "value": string(key)} }
	b.post("/actions", map[string]any{"actions": []any{map[string]any{
		"type": "key", "id": "keyboard", "actions": []any{action("keyDown"), action("keyUp")},
	}}}, nil)
}

// Keys for Press.
const (
	Tab   = '\uE004'
	Enter = '\uE007'
	Left  = '\uE012'
	Right = '\uE014'
)

// devtools sends a command of the Chrome DevTools protocol.
func (b *Browser) devtools(command string, params map[string]any) {
	b.t.Helper()
	b.post("/goog/cdp/execute", map[string]any{"cmd": command, "params": params}, nil)
}

// Resize gives the page that size in pixels, as a phone or not.
func (b *Browser) Resize(width, height int, phone bool) {
	b.t.Helper()
	b.devtools("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone})
	b.devtools("Emulation.setScrollbarsHidden", map[string]any{"hidden": true})
	b.Await(fmt.Sprintf("innerWidth === %d", width))
}

// Prefer makes the media feature have the value: prefers-color-scheme, dark.
func (b *Browser) Prefer(feature, value string) {
	b.t.Helper()
	b.devtools("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": feature, "value": value}}})
	b.Await(fmt.Sprintf("matchMedia('(%s: %s)').matches", feature, value))
}

// Screenshot is the visible part of the page as a PNG.
func (b *Browser) Screenshot() []byte {
	b.t.Helper()
	var text string
	b.call("GET", "/screenshot", "", &text)
	png, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
		b.t.Fatalf("no screenshot was made: %v", err)
	}
	return png
}
