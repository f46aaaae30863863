package release_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/gapless-go/gapless/internal/testserver"
)

const (
	root       = "../.."
	rootModule = "github.com/gapless-go/gapless"
)

// versionOfThisRun is a version that no other run has, because what is fetched
// stays in the module cache, and is taken from there when the test has ended.
func versionOfThisRun(t *testing.T, modules []string) string {
	t.Helper()
	version := "v0.0.0-test." + strings.ToLower(rand.Text())
	cache := moduleCache(t)
	t.Cleanup(func() {
		for _, m := range modules {
			downloads, err := filepath.Glob(filepath.Join(cache, "cache", "download", m, "@v", version+".*"))
			if err != nil {
				t.Error(err)
			}
			for _, p := range append(downloads, filepath.Join(cache, m+"@"+version)) {
				if err := os.RemoveAll(p); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return version
}

func moduleCache(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(run(t, ".", nil, "go", "env", "GOMODCACHE"))
}

// publishedModules are the modules of the workspace that others may require.
func publishedModules(t *testing.T) []string {
	t.Helper()
	var modules []string
	for m := range strings.FieldsSeq(run(t, root, nil, "go", "list", "-m")) {
		if m != rootModule+"/test" && !strings.HasPrefix(m, rootModule+"/benchmarks") && !strings.HasPrefix(m, rootModule+"/examples/") {
			modules = append(modules, m)
		}
	}
	return modules
}

// packagesOf are the packages of the modules but examples, which have more
// dependencies, and what only this repository may import.
func packagesOf(t *testing.T, modules []string) []string {
	t.Helper()
	var packages []string
	for line := range strings.Lines(run(t, root, nil, "go", "list", "-f", "{{.Module.Path}} {{.ImportPath}}", rootModule+"/...")) {
		m, p, _ := strings.Cut(strings.TrimSpace(line), " ")
		if slices.Contains(modules, m) && !strings.Contains(p+"/", "/internal/") && !strings.HasPrefix(p, rootModule+"/examples/") {
			packages = append(packages, p)
		}
	}
	return packages
}

// writeProxy makes a folder that is a module proxy for the modules as they are
// in the work tree, and returns it.
func writeProxy(t *testing.T, modules []string, version string) string {
	t.Helper()
	clone, proxy := copyOfTheRepository(t), t.TempDir()
	for _, m := range modules {
		from := filepath.Join(clone, strings.TrimPrefix(m, rootModule))
		to := filepath.Join(proxy, m, "@v")
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		gomod := setVersion(t, filepath.Join(from, "go.mod"), version)
		var archive bytes.Buffer
		if err := zip.CreateFromDir(&archive, module.Version{Path: m, Version: version}, from); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{
			"list":            []byte(version + "\n"),
			version + ".info": fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version),
			version + ".mod":  gomod,
			version + ".zip":  archive.Bytes(),
		} {
			if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return proxy
}

// setVersion makes a go.mod file require the other modules in that version, and
// returns its text.
func setVersion(t *testing.T, gomod, version string) []byte {
	t.Helper()
	text, err := os.ReadFile(gomod)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(\s`+rootModule+`(?:/\S+)?) v\S+`).ReplaceAll(text, []byte("$1 "+version))
	write(t, gomod, string(text))
	return text
}

// copyOfTheRepository has the files that are or may be committed, and no others.
func copyOfTheRepository(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		testserver.Missing(t, "git", err.Error())
	}
	env := []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}
	dir := t.TempDir()
	for name := range strings.SplitSeq(run(t, root, env, "git", "ls-files", "-z", "-co", "--exclude-standard"), "\x00") {
		data, err := os.ReadFile(path.Join(root, name))
		if name == "" || err != nil { // removed, not yet committed
			continue
		}
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func run(t *testing.T, dir string, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}
