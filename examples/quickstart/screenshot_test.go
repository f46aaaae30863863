package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/webdriver"
)

// TestScreenshots makes the pictures of the documentation in the folder that
// GAPLESS_SCREENSHOTS names: as a new user finds the page, and after its
// connections were cut and its server was killed.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("GAPLESS_SCREENSHOTS")
	if dir == "" {
		t.Skip("GAPLESS_SCREENSHOTS names no folder")
	}
	db := filepath.Join(t.TempDir(), "gapless.db")
	s := start(t, db, "-demo")
	b := webdriver.Start(t)
	take := func(name, scheme string, width, height int) {
		b.Resize(width, height, width < 500)
		b.Prefer("prefers-color-scheme", scheme)
		time.Sleep(1500 * time.Millisecond) // drawn anew
		if err := os.WriteFile(filepath.Join(dir, name), b.Screenshot(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.Resize(1280, 800, false)
	b.Open(s.url)
	b.Await("document.body.dataset.state === 'live'")
	take("quickstart-empty.png", "light", 1280, 800)
	produceFor(t, s, 5*time.Second)
	breakIt(b)
	take("quickstart.png", "light", 1280, 800)
	take("quickstart-dark.png", "dark", 1280, 800)
	take("quickstart-phone.png", "light", 390, 844)
	take("quickstart-phone-dark.png", "dark", 390, 844)
}

// breakIt presses the buttons as a visitor does.
func breakIt(b *webdriver.Browser) {
	said := func(text string) string {
		return fmt.Sprintf("document.getElementById('demonote').textContent.includes(%q)", text)
	}
	for _, one := range []struct{ button, says string }{{"generate", "Appending"}, {"cut", "are broken"}, {"kill", "serves the same file"}} {
		b.Run(fmt.Sprintf("document.getElementById('%s').click()", one.button), nil)
		b.Await(said(one.says))
		time.Sleep(3 * time.Second) // it goes on
	}
	b.Await(said("Done"))
}

// produceFor appends events as an application would.
func produceFor(t *testing.T, s *server, d time.Duration) {
	t.Helper()
	kinds := []string{"orders order.created o", "orders order.paid o", "orders order.shipped o", "customers customer.updated c", "stocks stock.reserved s", "invoices invoice.sent i"}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Duration(100+rand.N(300)) * time.Millisecond) {
		for range rand.N(4) {
			kind := strings.Fields(kinds[rand.N(len(kinds))])
			s.append(t, fmt.Sprintf(`{"topic":%q,"type":%q,"key":"%s-%d","data":{"total":%d.%02d,"currency":"EUR","items":%d}}`,
				kind[0], kind[1], kind[2], rand.N(900), rand.N(400), rand.N(100), 1+rand.N(9)))
		}
	}
}
