package e2e_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const typescriptFolder = "../../clients/typescript"

// The TypeScript client keeps its promises in Chromium.
func TestTheTypeScriptClientInChromium(t *testing.T) { drivePages(t, "page") }

// It keeps them when tabs hang and crash, storage is full or refused, and
// handlers throw.
func TestTabsInTroubleInChromium(t *testing.T) { drivePages(t, "tabs") }

// What the server refuses, what the browser had stored, and a position that is
// dropped on the way reach the application; tries become rarer.
func TestRefusalsReachThePageInChromium(t *testing.T) { drivePages(t, "refusals") }

// Events wait for a load of the state, and those that it holds are left out.
func TestEventsWaitForALoadInChromium(t *testing.T) { drivePages(t, "loads") }

// No tab shows the events of another user.
func TestUsersOfOneBrowserInChromium(t *testing.T) { drivePages(t, "users") }

// drivePages runs a program that drives pages of a server, and says ok. The
// pages are built by Vite with the packed client.
func drivePages(t *testing.T, program string) {
	t.Helper()
	needChromium(t)
	site := filepath.Join(viteProject(t), "dist")
	t.Parallel()
	server := serve(t, newPageServer(t, site), false, nil)
	if got := node(t, []string{"E2E_TMP=" + t.TempDir()}, "node/"+program+".js", server.URL); strings.TrimSpace(got) != "ok" {
		t.Errorf("got %s", got)
	}
}

// A program for Node.js follows through the package.
func TestTheTypeScriptClientInNode(t *testing.T) {
	project := viteProject(t)
	server := serve(t, newPageServer(t, ""), false, nil)
	program, err := os.ReadFile("node/package.js")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(project, "program.js") // it finds the package from here
	if err := os.WriteFile(file, program, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := node(t, nil, file, server.URL); strings.TrimSpace(got) != "ok" {
		t.Errorf("got %s", got)
	}
}

// vite is the project that installed the package and was built.
var vite struct {
	once sync.Once
	dir  string
	out  []byte
	err  error
}

// viteProject packs the client once, installs it into a Vite project, checks the
// types of that, builds it, and returns its folder.
func viteProject(t *testing.T) string {
	t.Helper()
	needNode(t)
	vite.once.Do(func() {
		vite.dir = filepath.Join(binaries, "vite")
		vite.out, vite.err = buildViteProject(vite.dir)
	})
	if vite.err != nil {
		t.Fatalf("%v\n%s", vite.err, vite.out)
	}
	return vite.dir
}

func buildViteProject(dir string) ([]byte, error) {
	if err := os.CopyFS(dir, os.DirFS("vite")); err != nil {
		return nil, err
	}
	modules, err := filepath.Abs("node_modules")
	if err != nil {
		return nil, err
	}
	steps := []struct {
		in   string
		args []string
	}{
		{typescriptFolder, []string{"npm", "pack", "--pack-destination", dir}},
		{dir, []string{"mv", "gapless-go-client-0.1.0.tgz", "client.tgz"}},
		{dir, []string{"npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"}},
		{dir, []string{"node", filepath.Join(modules, "typescript/bin/tsc"), "--project", "."}},
		{dir, []string{"node", filepath.Join(modules, "vite/bin/vite.js"), "build", "--logLevel=warn"}},
	}
	for _, step := range steps {
		cmd := exec.Command(step.args[0], step.args[1:]...)
		cmd.Dir = step.in
		if out, err := cmd.CombinedOutput(); err != nil {
			return out, err
		}
	}
	return nil, nil
}

// The package has what the README says and nothing else, and is small.
func TestThePackageOfTheTypeScriptClient(t *testing.T) {
	installed := filepath.Join(viteProject(t), "node_modules/@gapless-go/client")
	var got []string
	entries, err := os.ReadDir(installed)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := []string{"LICENSE", "README.md", "dist", "package.json"}; !slices.Equal(got, want) {
		t.Errorf("the package has %q, want %q", got, want)
	}

	const limit = 4 << 10
	minified := node(t, nil, "node_modules/esbuild/bin/esbuild", filepath.Join(installed, "dist/index.js"), "--bundle", "--minify", "--format=esm", "--log-level=error")
	if n := gzipped(t, minified); n >= limit {
		t.Errorf("the client has %d bytes, minified and compressed, the limit is %d", n, limit)
	} else {
		t.Logf("%d bytes, minified and compressed", n)
	}
}

func gzipped(t *testing.T, text string) int {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}

// The sources hold under every strict flag, and the types narrow as
// types.test.ts says.
func TestTheTypesOfTheTypeScriptClient(t *testing.T) {
	needNode(t)
	node(t, nil, "node_modules/typescript/bin/tsc", "--noEmit", "--project", typescriptFolder)
}

// The examples in the client's README compile with the package, as a strict
// project sees it and as Node.js does.
func TestTheExamplesOfTheTypeScriptClient(t *testing.T) {
	project := viteProject(t)
	page, err := os.ReadFile(filepath.Join(typescriptFolder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```ts\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("the README has no example")
	}
	var example strings.Builder
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		example.WriteString(code)
	}
	example.WriteString(exampleNames)
	file := filepath.Join(project, "example.ts")
	if err := os.WriteFile(file, []byte(example.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, module := range [][]string{{"--module", "ESNext", "--moduleResolution", "bundler"}, {"--module", "NodeNext"}} {
		node(t, nil, append([]string{
			"node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess",
			"--noPropertyAccessFromIndexSignature", "--verbatimModuleSyntax", "--target", "ES2022", "--lib", "ES2022,DOM", file,
		}, module...)...)
	}
}

// exampleNames declares what the examples take from their application.
const exampleNames = `
interface Order { id: string; total: number }
declare const me: { id: string }
declare function show(orders: Order[]): void
declare function showOffline(message: string): void
declare function token(): Promise<string>
`
