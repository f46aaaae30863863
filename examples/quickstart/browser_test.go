package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/webdriver"
)

// rows counts what a selector finds among the events.
func rows(selector string, n int) string {
	return fmt.Sprintf("document.querySelectorAll('#events > %s').length === %d", selector, n)
}

func TestThePageInABrowser(t *testing.T) {
	b := webdriver.Start(t)
	db := filepath.Join(t.TempDir(), "log.db")
	s := start(t, db)
	hostile := `<img src=x onerror=window.forged=1><script>window.forged=1</script>`
	event, err := json.Marshal(map[string]any{"topic": hostile, "type": hostile, "key": hostile, "data": map[string]string{hostile: hostile}})
	if err != nil {
		t.Fatal(err)
	}
	s.append(t, string(event))
	s.append(t, `{"topic":"orders","type":"order.paid","key":"o-2","data":{"total":7}}`)

	b.Open(s.url + "/")
	b.Await("document.body.dataset.state === 'live'")
	b.Await(rows(".event.replay", 2))

	last := s.append(t, `{"topic":"orders","type":"order.created","key":"o-3"}`)
	b.Await(rows(".event.live", 1))
	b.Await(fmt.Sprintf("document.getElementById('cursor').textContent.startsWith('%s')", last))

	b.Run("document.querySelectorAll('#events .event summary').forEach((s) => s.click())", nil)
	b.Await("document.querySelectorAll('#events .more').length === 3")
	if b.Is("window.forged || document.querySelector('#events img, #events script')") {
		t.Error("the text of an event became part of the page")
	}

	b.Run("document.querySelector('#append .primary').click()", nil)
	b.Await(rows(".event.live", 2))
	b.Await("document.getElementById('appended').textContent.startsWith('Appended as ')")

	s = checkPauseAndKill(t, b, s, db)

	t.Log("filtered")
	b.Run("const f = document.getElementById('filter').elements; f.topic.value = 'ord*'; f.start.value = 'beginning'; document.querySelector('#filter .primary').click()", nil)
	b.Await("document.body.dataset.state === 'live' && " + rows(".event", 3))

	t.Log("a cursor of another log")
	b.Run("const f = document.getElementById('filter').elements; f.topic.value = ''; f.start.value = 'cursor'; f.after.value = 'another.5'; document.querySelector('#filter .primary').click()", nil)
	b.Await("document.body.dataset.state === 'live' && " + rows(".mark.reset", 1))

	checkReadable(t, b)

	t.Log("many: only the newest stay")
	s.do(t, "POST", "/events", ndjsonType, strings.Repeat("{\"type\":\"many\"}\n", 3000))
	b.Await("counts.live === 3000 && document.querySelectorAll('#events > li').length === 500")

	checkWidths(t, b)
	_ = b.Screenshot()
}

func checkWidths(t *testing.T, b *webdriver.Browser) {
	t.Helper()
	t.Log("narrow and wide, nothing is wider than the window")
	for _, width := range []int{320, 390, 768, 1280} {
		b.Resize(width, 844, width < 500)
		b.Await("document.documentElement.scrollWidth <= innerWidth")
	}
}

// checkPauseAndKill goes on after a pause, and after the server was killed and
// started again, which it returns.
func checkPauseAndKill(t *testing.T, b *webdriver.Browser, s *server, db string) *server {
	t.Helper()
	t.Log("paused: the stream is closed, and resumes from the cursor")
	b.Run("document.getElementById('pause').click()", nil)
	b.Await("document.body.dataset.state === 'paused'")
	s.append(t, `{"type":"while.paused"}`)
	b.Await("document.getElementById('state').textContent.includes('1 behind')")
	b.Run("document.getElementById('pause').click()", nil)
	b.Await(rows(".event", 5))

	t.Log("killed: the browser reconnects and resumes")
	s.kill()
	b.Await("document.body.dataset.state !== 'live'")
	s = s.restart(t, db)
	s.append(t, `{"type":"after.restart"}`)
	b.Await(rows(".event", 6))
	b.Await("document.body.dataset.state === 'live' && counts.gaps === 0")
	return s
}

func checkReadable(t *testing.T, b *webdriver.Browser) {
	t.Helper()
	t.Log("readable in both schemes, and by keyboard")
	b.Run("document.querySelectorAll('details.card').forEach((d) => { d.open = true })", nil)
	for _, scheme := range []string{"dark", "light"} {
		b.Prefer("prefers-color-scheme", scheme)
		b.Await("!document.getAnimations().some((a) => a.effect.getTiming().iterations === 1)")
		if found := b.Audit(); len(found) > 0 {
			t.Errorf("%s: %s", scheme, strings.Join(found, "\n"))
		}
	}
	b.Run("document.activeElement.blur()", nil)
	b.Press(webdriver.Tab)
	b.Await("document.activeElement.className === 'skip'")
}
