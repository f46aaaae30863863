package statuspage_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// browser is a headless Chromium, driven by WebDriver.
type browser struct {
	t       *testing.T
	session string // URL
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	for _, program := range []string{"chromium", "chromedriver"} {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, "chromium", err.Error())
		}
	}
	driver := exec.Command("chromedriver", "--port=0")
	driver.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its browser ends with it
	driver.WaitDelay = time.Second
	out := &output{}
	driver.Stdout = out
	if err := driver.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-driver.Process.Pid, syscall.SIGKILL)
		_ = driver.Wait() // it was killed
	})
	port := regexp.MustCompile(`successfully on port (\d+)`)
	for deadline := time.Now().Add(patience); !port.MatchString(out.String()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for chromedriver: %s", patience, out.String())
		}
	}
	b := &browser{t: t, session: "http://127.0.0.1:" + port.FindStringSubmatch(out.String())[1] + "/session"}
	var session struct{ SessionID string }
	b.call("POST", "", fmt.Sprintf(`{"capabilities":{"alwaysMatch":{"goog:chromeOptions":{"args":["--headless","--no-sandbox",
		"--disable-gpu","--disable-quic","--no-first-run","--disable-background-networking","--disable-component-update","--disable-sync",
		"--window-size=1280,900","--user-data-dir=%s"]}}}}`, t.TempDir()), &session)
	b.session += "/" + session.SessionID
	t.Cleanup(func() { b.call("DELETE", "", "", nil) })
	return b
}

func (b *browser) call(method, path, body string, value any) {
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

func (b *browser) run(script string, value any) {
	b.t.Helper()
	body, err := json.Marshal(map[string]any{"script": script, "args": []any{}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.call("POST", "/execute/sync", string(body), value)
}

// await waits until the JavaScript expression is true in the page.
func (b *browser) await(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var value bool
		if b.run("return Boolean("+expression+")", &value); value {
			return
		}
		if time.Now().After(deadline) {
			var seen string
			b.run("return document.body.dataset.state + '\\n' + document.body.innerText", &seen)
			b.t.Fatalf("waited %v in the page for %s; it shows\n%.2000s", patience, expression, seen)
		}
	}
}

func (b *browser) cdp(command string, params map[string]any, value any) {
	b.t.Helper()
	body, err := json.Marshal(map[string]any{"cmd": command, "params": params})
	if err != nil {
		b.t.Fatal(err)
	}
	b.call("POST", "/goog/cdp/execute", string(body), value)
}

// resize makes the page that wide.
func (b *browser) resize(width, height int, phone bool) {
	b.t.Helper()
	b.cdp("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
	b.await(fmt.Sprintf("innerWidth === %d", width))
}

func (b *browser) screenshot() []byte {
	b.t.Helper()
	var text string
	b.call("GET", "/screenshot", "", &text)
	png, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
		b.t.Fatalf("no screenshot was made: %v", err)
	}
	return png
}

// output is what a process prints.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write takes what is printed.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func TestThePageInABrowser(t *testing.T) {
	const hostile = `"><img src=x onerror=window.forged=1><script>window.forged=1</script>` + "\u202e\x00'`${window.forged=1}"
	s := serve(t, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.URL.Query().Has("broken") {
			return sse.Grant{}, fmt.Errorf("users: %s", hostile)
		}
		return sse.Grant{}, nil
	}}, &statuspage.Options{Title: hostile, Remote: true})
	s.append(3)
	s.follow(url.Values{"topic": {hostile}, "type": {hostile}, "key": {hostile}}, "cdc.live")
	end := s.follow(url.Values{"after": {"beginning"}}, "cdc.live")
	s.follow(url.Values{"after": {"other.1"}}, "cdc.live")
	s.follow(url.Values{"broken": {"1"}}, "none")

	b := startBrowser(t)
	b.call("POST", "/url", fmt.Sprintf(`{"url":"%s/some/where"}`, s.URL), nil)
	b.await("document.body.dataset.state === 'live' && document.querySelectorAll('#list tr').length === 3")
	b.await("document.querySelectorAll('#list .chip').length === 3 && document.querySelectorAll('#list .remote').length === 3")
	b.await("document.getElementById('resets').textContent === '1' && document.querySelectorAll('#errors time').length === 1")
	b.await("document.querySelectorAll('figure path').length >= 6")
	var shown []string
	b.run("return [document.querySelector('#list .chip').title, document.querySelector('#errors li p:last-child').textContent, document.title]", &shown)
	for _, text := range shown {
		if !strings.Contains(text, "<img src=x onerror=window.forged=1><script>") {
			t.Errorf("a hostile text is shown as %q, want it as it is", text)
		}
	}

	t.Log("it goes on: events, and the end of a stream")
	s.append(50)
	b.await("points.some((p) => p.live > 0) && document.querySelector('.bars.live').getAttribute('d') !== ''")
	end()
	b.await("document.querySelectorAll('#list tr').length === 2 && document.getElementById('reasons').innerText.includes('client')")

	t.Log("paused, nothing is asked")
	b.run("document.getElementById('pause').click()", nil)
	b.await("document.body.dataset.state === 'paused'")
	b.run("document.getElementById('pause').click()", nil)
	b.await("document.body.dataset.state === 'live'")

	t.Log("narrow and wide, nothing is wider than the window")
	for _, width := range []int{320, 390, 768, 1024, 1280, 1920} {
		b.resize(width, 844, width < 500)
		b.await("document.documentElement.scrollWidth <= innerWidth")
	}
	b.await("!window.forged && !document.querySelector('main img, main script, header script')")

	t.Log("everything came from the one path")
	var loaded []string
	b.run("return performance.getEntriesByType('resource').map((e) => e.name)", &loaded)
	for _, name := range loaded {
		if !strings.HasPrefix(name, s.URL+"/some/where?") {
			t.Errorf("the page loaded %s", name)
		}
	}
	_ = b.screenshot()

	t.Log("the server ends")
	s.Config.SetKeepAlivesEnabled(false)
	_ = s.handler.Close()
	s.CloseClientConnections()
	_ = s.Listener.Close()
	b.await("document.body.dataset.state === 'closed'")
}
