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
// GAPLESS_SCREENSHOTS names: as a new user finds the page, and under load,
// with a server that was stopped and started again.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("GAPLESS_SCREENSHOTS")
	if dir == "" {
		t.Skip("GAPLESS_SCREENSHOTS names no folder")
	}
	db := filepath.Join(t.TempDir(), "gapless.db")
	s := start(t, db)
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
	produceFor(t, s, 25*time.Second)
	s.kill()
	b.Await("document.body.dataset.state !== 'live'")
	s = s.restart(t, db)
	s.append(t, `{"topic":"orders","type":"order.paid","key":"o-7","data":{"total":12.5,"currency":"EUR"}}`)
	b.Await("document.body.dataset.state === 'live'")
	produceFor(t, s, 3*time.Second)
	take("quickstart.png", "light", 1280, 800)
	take("quickstart-dark.png", "dark", 1280, 800)
	produceFor(t, s, time.Second)
	b.Resize(390, 844, true)
	b.Open(s.url)
	b.Await("document.body.dataset.state === 'live'")
	produceFor(t, s, 4*time.Second)
	take("quickstart-phone.png", "light", 390, 844)
	take("quickstart-phone-dark.png", "dark", 390, 844)
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
