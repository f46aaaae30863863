package rules_test

import (
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const maxDocColumns = 160

// Tables, images and blocks of code have lines of their own length.
func TestLinesOfTheDocsAreShort(t *testing.T) {
	for _, p := range files(t, ".md") {
		inside := false
		number := 0
		for line := range strings.Lines(read(t, p)) {
			number++
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				inside = !inside
			}
			if n := utf8.RuneCountInString(line); n > maxDocColumns && !inside && !strings.HasPrefix(strings.TrimSpace(line), "|") {
				t.Errorf("%s:%d has %d characters, the limit is %d", p, number, n, maxDocColumns)
			}
		}
	}
}

// The index of the docs links every page, decision and result, the README every
// page.
func TestTheIndexLinksEverything(t *testing.T) {
	const index = "docs/README.md"
	indexed, inReadme := linksOf(t, index), linksOf(t, "README.md")
	for _, p := range files(t, ".md") {
		if !within(p, "docs") || p == index {
			continue
		}
		if !indexed[p] {
			t.Errorf("%s does not link %s", index, p)
		}
		if path.Dir(p) == "docs" && !inReadme[p] {
			t.Errorf("README.md does not link %s", p)
		}
	}
	if !inReadme[index] {
		t.Errorf("README.md does not link %s", index)
	}
}

// linksOf are the files that a page links, relative to the root.
func linksOf(t *testing.T, page string) map[string]bool {
	t.Helper()
	links := map[string]bool{}
	for _, m := range regexp.MustCompile(`\]\(([^)\s#]+)`).FindAllStringSubmatch(read(t, page), -1) {
		links[path.Join(path.Dir(page), m[1])] = true
	}
	return links
}
