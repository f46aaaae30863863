package release_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// program uses a module of each kind.
const program = `package main

import (
	"context"
	"log"
	"net/http"

	gaplesspgx "github.com/gapless-go/gapless/integrations/pgx"
	gaplesswatermill "github.com/gapless-go/gapless/integrations/watermill"
	gaplessprom "github.com/gapless-go/gapless/metrics/prometheus"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

func main() {
	events, err := boltlog.OpenFile(context.Background(), "app.db", "events", nil)
	if err != nil {
		log.Fatal(err)
	}
	handler, err := sse.NewHandler(events, nil)
	if err != nil {
		log.Fatal(err)
	}
	_, _, _, _ = gaplessprom.New, remote.Open, gaplesspgx.NewPlace, gaplesswatermill.NewPublisher
	log.Fatal(http.ListenAndServe("127.0.0.1:0", handler))
}
`

// TestModulesCanBeFetched takes every published module into a new module that
// knows nothing of this repository, and builds all that it can import.
func TestModulesCanBeFetched(t *testing.T) {
	modules := publishedModules(t)
	version := versionOfThisRun(t, modules)
	app := t.TempDir()
	env := consumerEnv(t, writeProxy(t, modules, version))
	write(t, filepath.Join(app, "go.mod"), "module example.com/app\n\ngo 1.26.0\n")
	write(t, filepath.Join(app, "main.go"), program)
	for _, m := range modules {
		run(t, app, env, "go", "get", m+"@"+version)
	}
	run(t, app, env, "go", append([]string{"build", "."}, packagesOf(t, modules)...)...)
	for _, m := range modules {
		if got := strings.TrimSpace(run(t, app, env, "go", "list", "-m", m)); got != m+" "+version {
			t.Errorf("the application has %s, want %s", got, version)
		}
	}
}

// consumerEnv fetches our modules from proxy and all others as this module
// does, the downloaded ones first.
func consumerEnv(t *testing.T, proxy string) []string {
	t.Helper()
	return []string{
		"GOWORK=off",
		"GOFLAGS=-mod=mod -modcacherw",
		"GOPROXY=file://" + proxy + ",file://" + moduleCache(t) + "/cache/download," + strings.TrimSpace(run(t, ".", nil, "go", "env", "GOPROXY")),
		"GONOSUMDB=" + rootModule + "," + os.Getenv("GONOSUMDB"),
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
