package rules_test

import (
	"strings"
	"testing"
)

// layer says what the production code below a folder may import besides the
// standard library and its own subfolders.
type layer struct {
	folder  string
	ours    []string // folders of this module
	clients []string // prefixes of other modules' packages
}

// layers, the most specific first. What is in none of them has no rule.
var layers = []layer{
	{folder: "cdc", ours: []string{"internal/backoff"}},
	{folder: "source/mem", ours: []string{"cdc"}},
	{folder: "source/bolt", ours: []string{"cdc"}, clients: []string{"go.etcd.io/bbolt"}},
	{folder: "source/redis", ours: []string{"cdc", "internal/backoff"}, clients: []string{"github.com/redis/go-redis/v9"}},
	{folder: "source/jetstream", ours: []string{"cdc", "internal/backoff"}, clients: []string{"github.com/nats-io/nats.go"}},
	{folder: "source/sql/internal/engine", ours: []string{"cdc", "internal/backoff"}},
	{folder: "source/sql/internal/postgres", ours: []string{"cdc", "internal/backoff", "source/sql/internal/engine"}, clients: []string{"github.com/lib/pq"}},
	{folder: "source/sql/internal/sqlite", ours: []string{"cdc", "internal/backoff", "source/sql/internal/engine"}},
	{folder: "source/sql/internal/mysql", ours: []string{"cdc", "internal/backoff", "source/sql/internal/engine"}},
	{folder: "source/sql", ours: []string{"cdc", "internal/backoff"}},
	{folder: "transport/sse/remote", ours: []string{"cdc", "internal/backoff", "transport/sse/internal/wire"}, clients: []string{"github.com/launchdarkly/eventsource"}},
	{folder: "transport/sse", ours: []string{"cdc"}},
	{folder: "integrations/pgx", ours: []string{"cdc", "source/sql"}, clients: []string{"github.com/jackc/pgx/v5"}},
	{folder: "integrations/watermill", ours: []string{"cdc"}, clients: []string{"github.com/ThreeDotsLabs/watermill"}},
	{
		folder: "cmd/gapless/internal/source", ours: []string{"cdc", "source", "transport/sse/remote"},
		clients: []string{"go.etcd.io/bbolt", "github.com/redis/go-redis/v9", "github.com/nats-io/nats.go", "github.com/go-sql-driver/mysql", "github.com/lib/pq", "modernc.org/sqlite"},
	},
	{folder: "conformance", ours: []string{"cdc", "cdc/verify"}},
	{folder: "internal/broken", ours: []string{"cdc"}}, // the reference that the suite breaks on purpose
	{folder: "internal"},
}

// mayTest lists the folders whose production code may import testing: they
// are imported by tests only.
var mayTest = []string{"conformance", "internal/testserver", "internal/leaktest", "internal/overlay", "internal/webdriver"}

func TestImportsPointOneWay(t *testing.T) {
	checked := 0
	for _, f := range parseAll(t) {
		l, ok := layerOf(f.dir())
		if f.isTest() || !ok {
			continue
		}
		checked++
		for _, imported := range f.importPaths() {
			if !l.allows(imported) {
				t.Errorf("%s imports %s, which %s may not: imports point one way, examples → transport → cdc ← source", f.path, imported, l.folder)
			}
		}
	}
	if checked == 0 {
		t.Error("no file was checked")
	}
}

func TestProductionCodeNeverImportsTesting(t *testing.T) {
	for _, f := range parseAll(t) {
		if f.isTest() || withinAny(f.dir(), mayTest) {
			continue
		}
		for _, imported := range f.importPaths() {
			if imported == "testing" || strings.HasPrefix(imported, "testing/") || withinAny(strings.TrimPrefix(imported, module+"/"), mayTest[1:]) {
				t.Errorf("%s imports %s: only tests and the suite may", f.path, imported)
			}
		}
	}
}

func layerOf(dir string) (layer, bool) {
	for _, l := range layers {
		if within(dir, l.folder) {
			return l, true
		}
	}
	return layer{}, false
}

func (l layer) allows(imported string) bool {
	if folder, ok := strings.CutPrefix(imported, module+"/"); ok {
		return within(folder, l.folder) || withinAny(folder, l.ours)
	}
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") || withinAny(imported, l.clients)
}

// within reports whether the slash-separated dir is folder or below it.
func within(dir, folder string) bool {
	return dir == folder || strings.HasPrefix(dir, folder+"/")
}

func withinAny(dir string, folders []string) bool {
	for _, folder := range folders {
		if within(dir, folder) {
			return true
		}
	}
	return false
}

func TestLayersRefuseWhatTheyShould(t *testing.T) {
	for _, c := range []struct {
		dir, imported string
		want          bool
	}{
		{"cdc", "context", true},
		{"cdc", module + "/internal/backoff", true},
		{"cdc", module + "/internal/leaktest", false},
		{"cdc", "go.etcd.io/bbolt", false},
		{"cdc", module + "/source/mem", false},
		{"source/bolt", module + "/cdc", true},
		{"source/bolt", "go.etcd.io/bbolt", true},
		{"source/bolt", "github.com/redis/go-redis/v9", false},
		{"source/bolt", module + "/source/mem", false},
		{"source/boltish", "go.etcd.io/bbolt", true}, // in no layer
		{"source/redis/internal/script", module + "/source/redis/internal/wire", true},
		{"source/sql/internal/mysql", module + "/source/sql/internal/postgres", false},
		{"transport/sse", module + "/source/bolt", false},
		{"transport/sse", "github.com/launchdarkly/eventsource", false},
		{"transport/sse/remote", "github.com/launchdarkly/eventsource", true},
		{"transport/sse/remote", module + "/transport/sse", false},
		{"integrations/pgx", module + "/source/redis", false},
		{"integrations/watermill", module + "/source/sql", false},
		{"cmd/gapless/internal/source", module + "/source/redis", true},
		{"cmd/gapless/internal/source", module + "/cmd/gapless/internal/command", false},
		{"cmd/gapless/internal/source", "github.com/spf13/cobra", false},
		{"internal/broken", module + "/cdc", true},
		{"internal/testserver", module + "/cdc", false},
	} {
		l, ok := layerOf(c.dir)
		if got := !ok || l.allows(c.imported); got != c.want {
			t.Errorf("%s importing %s: allowed is %v, want %v", c.dir, c.imported, got, c.want)
		}
	}
}
