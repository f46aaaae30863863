package statuspage_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/webdriver"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

func TestThePageInABrowser(t *testing.T) {
	const hostile = `"><img src=x onerror=window.forged=1><script>window.forged=1</script>` + "\u202e\x00'`${window.forged=1}"
	s := serve(t, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.URL.Query().Has("broken") {
			return sse.Grant{}, fmt.Errorf("users: %s", hostile)
		}
		return sse.Grant{Scope: sse.Everything()}, nil
	}}, &statuspage.Options{Title: hostile, Remote: true})
	s.append(3)
	s.follow(url.Values{"topic": {hostile}, "type": {hostile}, "key": {hostile}}, "cdc.live")
	end := s.follow(url.Values{"after": {"beginning"}}, "cdc.live")
	s.follow(url.Values{"after": {"other.1"}}, "cdc.live")
	s.follow(url.Values{"broken": {"1"}}, "none")

	b := webdriver.Start(t)
	b.Open(s.URL + "/some/where")
	b.Await("document.body.dataset.state === 'live' && document.querySelectorAll('#list tr').length === 3")
	b.Await("document.querySelectorAll('#list .chip').length === 3 && document.querySelectorAll('#list .remote').length === 3")
	b.Await("document.getElementById('resets').textContent === '1' && document.querySelectorAll('#errors time').length === 1")
	b.Await("document.querySelectorAll('figure path').length >= 6")
	checkTexts(t, b)

	t.Log("it goes on: events, and the end of a stream")
	s.append(50)
	b.Await("points.some((p) => p.live > 0) && document.querySelector('.bars.live').getAttribute('d') !== ''")
	end()
	b.Await("document.querySelectorAll('#list tr').length === 2 && document.getElementById('reasons').innerText.includes('client')")

	t.Log("paused, nothing is asked")
	b.Run("document.getElementById('pause').click()", nil)
	b.Await("document.body.dataset.state === 'paused'")
	b.Run("document.getElementById('pause').click()", nil)
	b.Await("document.body.dataset.state === 'live'")

	checkWidths(t, b)
	b.Await("!window.forged && !document.querySelector('main img, main script, header script')")

	checkReadable(t, b)
	checkOrigin(t, b, s.URL+"/some/where?")
	_ = b.Screenshot()

	t.Log("the server ends")
	s.Config.SetKeepAlivesEnabled(false)
	_ = s.handler.Close()
	s.CloseClientConnections()
	_ = s.Listener.Close()
	b.Await("document.body.dataset.state === 'closed'")
	shows(b, "One thing needs you", "The server gives this page no answer", "See that its process runs")
}

// checkTexts wants hostile texts to be shown as they are.
func checkTexts(t *testing.T, b *webdriver.Browser) {
	t.Helper()
	var shown []string
	b.Run("return [document.querySelector('#list .chip').title, document.querySelector('#errors li p:last-child').textContent, document.title]", &shown)
	for _, text := range shown {
		if !strings.Contains(text, "<img src=x onerror=window.forged=1><script>") {
			t.Errorf("a hostile text is shown as %q, want it as it is", text)
		}
	}
}

func checkWidths(t *testing.T, b *webdriver.Browser) {
	t.Helper()
	t.Log("narrow and wide, nothing is wider than the window")
	for _, width := range []int{320, 390, 768, 1024, 1280, 1920} {
		b.Resize(width, 844, width < 500)
		b.Await("document.documentElement.scrollWidth <= innerWidth")
	}
}

func checkReadable(t *testing.T, b *webdriver.Browser) {
	t.Helper()
	t.Log("readable in both schemes, and by keyboard")
	for _, scheme := range []string{"dark", "light"} {
		b.Prefer("prefers-color-scheme", scheme)
		if found := b.Audit(); len(found) > 0 {
			t.Errorf("%s: %s", scheme, strings.Join(found, "\n"))
		}
	}
	b.Run("document.activeElement.blur()", nil)
	b.Press(webdriver.Tab)
	b.Await("document.activeElement.className === 'skip'")
	b.Press(webdriver.Tab)
	b.Press(webdriver.Tab)
	b.Await("document.activeElement === document.querySelector('#ratechart svg')")
	b.Press(webdriver.Left)
	b.Await("document.querySelector('#ratechart .rule')")
}

// checkOrigin wants all that the page has loaded to begin with the prefix.
func checkOrigin(t *testing.T, b *webdriver.Browser, prefix string) {
	t.Helper()
	t.Log("everything came from the one path")
	var loaded []string
	b.Run("return performance.getEntriesByType('resource').map((e) => e.name)", &loaded)
	for _, name := range loaded {
		if !strings.HasPrefix(name, prefix) {
			t.Errorf("the page loaded %s", name)
		}
	}
}
