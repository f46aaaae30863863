package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// observations are what the clients did, as the tables in docs/clients.md have
// it: for each client and row a text.
type observations struct {
	mu    sync.Mutex
	cells map[[2]string]string
}

func (o *observations) set(client, row, text string) { o.cells[[2]string{client, row}] = text }

var observed = observations{cells: map[[2]string]string{}}

// observe records what a test has seen, unless it failed.
func observe(t *testing.T, what string, record func(*observations)) {
	t.Helper()
	if t.Failed() {
		t.Logf("not recorded: %s", what)
		return
	}
	observed.mu.Lock()
	defer observed.mu.Unlock()
	record(&observed)
}

const clientsPage = "../../docs/clients.md"

// The tables of docs/clients.md are what this run has seen; with
// GAPLESS_REWRITE=1 they are written anew. It comes after the tests that
// observe, which are in files whose names come first.
func TestTheTablesOfTheClientsPage(t *testing.T) {
	page, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for name, rows := range map[string][]string{"exact": placeNames(), "behaviour": append(quirkNames(), overloadRow)} {
		table, complete := observed.table(rows)
		if !complete {
			t.Skip("the tables need a run of all tests in which every client was there")
		}
		want = between(t, want, name, table)
	}
	if want == string(page) {
		return
	}
	if os.Getenv("GAPLESS_REWRITE") == "" {
		t.Errorf("%s is out of step with what the clients did: run this package's tests with GAPLESS_REWRITE=1. It should be\n%s", clientsPage, want)
		return
	}
	if err := os.WriteFile(clientsPage, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// between replaces what stands between the markers of a table.
func between(t *testing.T, page, name, table string) string {
	t.Helper()
	begin, end := "<!-- table: "+name+" -->\n", "<!-- end: "+name+" -->"
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q with its end", clientsPage, begin)
	}
	return before + begin + table + end + after
}

// table has a row for each name and a column for each client.
func (o *observations) table(rows []string) (text string, complete bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	b.WriteString("|")
	for _, k := range kinds {
		b.WriteString(" | " + k.name)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---", len(kinds)) + "|\n")
	for _, row := range rows {
		b.WriteString("| " + row)
		for _, k := range kinds {
			cell, ok := o.cells[[2]string{k.name, row}]
			if !ok {
				return "", false
			}
			b.WriteString(" | " + cell)
		}
		b.WriteString(" |\n")
	}
	return b.String(), true
}

func placeNames() []string {
	var names []string
	for _, p := range places {
		names = append(names, p.name)
	}
	return names
}

func quirkNames() []string {
	var names []string
	for _, q := range quirks {
		names = append(names, q.name)
	}
	return names
}

// The names of the clients carry the versions that are installed.
func TestClientsAreNamedWithTheirVersions(t *testing.T) {
	var pinned struct{ DevDependencies map[string]string }
	text, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &pinned); err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range slices.Concat(kinds, others) {
		name, version, ok := strings.Cut(k.name, " ")
		switch {
		case k.name == chromium, k.installed, k.ours:
			continue // whatever the system has, or this repository
		case k.node:
			name, version = k.name[:strings.LastIndex(k.name, "@")], k.name[strings.LastIndex(k.name, "@")+1:]
			ok = pinned.DevDependencies[name] == version
		default:
			ok = ok && strings.Contains(string(module), fmt.Sprintf("github.com/%s %s\n", name, version)) ||
				strings.Contains(string(module), fmt.Sprintf("github.com/%s/v2 %s\n", name, version))
		}
		if !ok {
			t.Errorf("%s is not the version that is installed", k.name)
		}
	}
}

// The lock file names versions and sums but no host: packages come from the
// registry that npm is configured for.
func TestTheLockFileNamesNoRegistry(t *testing.T) {
	text, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"resolved"`) {
		t.Error("package-lock.json has resolved addresses: run npm in this folder, whose .npmrc leaves them out")
	}
}
