package e2e_test

import (
	"os"
	"slices"
	"strings"
)

// remedies are what a program does so that its client stays exact, by the line
// in which it says so.
var remedies = []struct{ event, name string }{
	{"#closed", "closed"},
	{"#position", "elsewhere"},
	{"#silent", "silent"},
}

// cell is what the table says of a client behind a hop.
func (c *crossing) cell() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	words := []string{"exact"}
	for _, r := range remedies {
		if c.events[r.event] > 0 {
			words = append(words, r.name)
		}
	}
	return strings.Join(words, ", ")
}

// table holds docs/clients.md to what was seen: a program has done nothing that
// the table does not say. With GAPLESS_REWRITE=1 the table is written anew.
func (cs *crossings) table(clients []kind) {
	cs.t.Helper()
	page, err := os.ReadFile(clientsPage)
	if err != nil {
		cs.t.Fatal(err)
	}
	rows := make([][]string, 1+len(faults))
	rows[0] = []string{"The hop"}
	for i, f := range faults {
		rows[i+1] = []string{f.name}
	}
	for i, c := range cs.all { // by client, then by fault
		if i%len(faults) == 0 {
			rows[0] = append(rows[0], clients[i/len(faults)].name)
		}
		row := &rows[i%len(faults)+1]
		*row = append(*row, c.cell())
	}
	if os.Getenv("GAPLESS_REWRITE") != "" {
		text := between(cs.t, string(page), "faults", markdown(rows))
		if err := os.WriteFile(clientsPage, []byte(text), 0o600); err != nil {
			cs.t.Fatal(err)
		}
		return
	}
	cs.compare(rows, string(page))
}

func (cs *crossings) compare(rows [][]string, page string) {
	cs.t.Helper()
	_, rest, _ := strings.Cut(page, "<!-- table: faults -->\n")
	text, _, _ := strings.Cut(rest, "<!-- end: faults -->")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != len(rows)+1 || lines[0] != strings.Split(markdown(rows), "\n")[0] {
		cs.t.Fatalf("%s has another table of faults: run this test with GAPLESS_REWRITE=1. It should be\n%s", clientsPage, markdown(rows))
	}
	for i, row := range rows[1:] {
		documented := strings.Split(strings.Trim(lines[i+2], "| "), " | ")
		for j, cell := range row {
			allowed := strings.Split(documented[min(j, len(documented)-1)], ", ")
			for word := range strings.SplitSeq(cell, ", ") {
				if !slices.Contains(allowed, word) {
					cs.t.Errorf("%s through a hop that %s: %s, but %s says %s", rows[0][j], row[0], cell, clientsPage, strings.Join(allowed, ", "))
				}
			}
		}
	}
}

// markdown is a table with the first row as its head.
func markdown(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String()
}
