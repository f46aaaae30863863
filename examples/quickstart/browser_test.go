package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
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
	out := &safeBuffer{}
	driver.Stdout = out
	if err := driver.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-driver.Process.Pid, syscall.SIGKILL)
		_ = driver.Wait() // it was killed
	})
	port := regexp.MustCompile(`successfully on port (\d+)`)
	await(t, "chromedriver", func() bool { return port.MatchString(out.String()) })
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

// is reports whether the JavaScript expression is true in the page.
func (b *browser) is(expression string) (value bool) {
	b.t.Helper()
	b.run("return Boolean("+expression+")", &value)
	return value
}

func (b *browser) run(script string, value any) {
	b.t.Helper()
	body, err := json.Marshal(map[string]any{"script": script, "args": []any{}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.call("POST", "/execute/sync", string(body), value)
}

func (b *browser) await(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !b.is(expression); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			var seen string
			b.run("return document.body.dataset.state + '\\n' + document.body.innerText", &seen)
			b.t.Fatalf("waited %v in the page for %s; it shows\n%.2000s", patience, expression, seen)
		}
	}
}

// rows counts what a selector finds among the events.
func rows(selector string, n int) string {
	return fmt.Sprintf("document.querySelectorAll('#events > %s').length === %d", selector, n)
}

func TestThePageInABrowser(t *testing.T) {
	b := startBrowser(t)
	db := filepath.Join(t.TempDir(), "log.db")
	s := start(t, db)
	hostile := `<img src=x onerror=window.forged=1><script>window.forged=1</script>`
	event, err := json.Marshal(map[string]any{"topic": hostile, "type": hostile, "key": hostile, "data": map[string]string{hostile: hostile}})
	if err != nil {
		t.Fatal(err)
	}
	s.append(t, string(event))
	s.append(t, `{"topic":"orders","type":"order.paid","key":"o-2","data":{"total":7}}`)

	b.call("POST", "/url", fmt.Sprintf(`{"url":"%s/"}`, s.url), nil)
	b.await("document.body.dataset.state === 'live'")
	b.await(rows(".event.replay", 2))

	last := s.append(t, `{"topic":"orders","type":"order.created","key":"o-3"}`)
	b.await(rows(".event.live", 1))
	b.await(fmt.Sprintf("document.getElementById('cursor').textContent.startsWith('%s')", last))

	b.run("document.querySelectorAll('#events .event summary').forEach((s) => s.click())", nil)
	b.await("document.querySelectorAll('#events .more').length === 3")
	if b.is("window.forged || document.querySelector('#events img, #events script')") {
		t.Error("the text of an event became part of the page")
	}

	b.run("document.querySelector('#append .primary').click()", nil)
	b.await(rows(".event.live", 2))
	b.await("document.getElementById('appended').textContent.startsWith('Appended as ')")

	t.Log("paused: the stream is closed, and resumes from the cursor")
	b.run("document.getElementById('pause').click()", nil)
	b.await("document.body.dataset.state === 'paused'")
	s.append(t, `{"type":"while.paused"}`)
	b.await("document.getElementById('state').textContent.includes('1 behind')")
	b.run("document.getElementById('pause').click()", nil)
	b.await(rows(".event", 5))

	t.Log("killed: the browser reconnects and resumes")
	s.kill()
	b.await("document.body.dataset.state !== 'live'")
	s = s.restart(t, db)
	s.append(t, `{"type":"after.restart"}`)
	b.await(rows(".event", 6))
	b.await("document.body.dataset.state === 'live' && counts.gaps === 0")

	t.Log("filtered")
	b.run("const f = document.getElementById('filter').elements; f.topic.value = 'ord*'; f.start.value = 'beginning'; document.querySelector('#filter .primary').click()", nil)
	b.await("document.body.dataset.state === 'live' && " + rows(".event", 3))

	t.Log("a cursor of another log")
	b.run("const f = document.getElementById('filter').elements; f.topic.value = ''; f.start.value = 'cursor'; f.after.value = 'another.5'; document.querySelector('#filter .primary').click()", nil)
	b.await("document.body.dataset.state === 'live' && " + rows(".mark.reset", 1))

	t.Log("many: only the newest stay")
	s.do(t, "POST", "/events", ndjsonType, strings.Repeat("{\"type\":\"many\"}\n", 3000))
	b.await("counts.live === 3000 && document.querySelectorAll('#events > li').length === 500")

	t.Log("narrow")
	b.call("POST", "/window/rect", `{"width":390,"height":844}`, nil)
	b.await("innerWidth <= 520 && document.documentElement.scrollWidth <= innerWidth")
	var png string
	b.call("GET", "/screenshot", "", &png)
	if !bytes.HasPrefix([]byte(png), []byte("iVBOR")) {
		t.Error("no screenshot was made")
	}
}
