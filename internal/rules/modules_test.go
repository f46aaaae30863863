package rules_test

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// workspaceModules are the folders of the modules in go.work, "." for the root.
func workspaceModules(t *testing.T) []string {
	t.Helper()
	var modules []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\.\S*)$`).FindAllStringSubmatch(read(t, "go.work"), -1) {
		modules = append(modules, path.Clean(m[1]))
	}
	return modules
}

// publishedModules are those that others may require.
func publishedModules(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(workspaceModules(t), func(m string) bool { return slices.Contains(testModules, m) || within(m, "examples") })
}

func TestEveryModuleIsInTheWorkspace(t *testing.T) {
	modules := workspaceModules(t)
	for _, p := range files(t, "go.mod") {
		if dir := path.Dir(p); dir != "tools" && !slices.Contains(modules, dir) {
			t.Errorf("go.work does not use ./%s", dir)
		}
	}
}

// Whoever requires a module cannot use its replace directives, and needs
// versions of one release.
func TestModulesCanBeRequired(t *testing.T) {
	required := regexp.MustCompile(`(?m)^(?:require)?\s+` + module + `(/\S+)? (v\S+)`)
	replaced := regexp.MustCompile(`(?m)^(?:replace)?\s*` + module + `(/\S+)? (v\S+) => \.`)
	workspace := map[string]string{}
	for _, m := range replaced.FindAllStringSubmatch(read(t, "go.work"), -1) {
		workspace[m[1]] = m[2]
	}
	for _, folder := range workspaceModules(t) {
		name := path.Join(folder, "go.mod")
		text := read(t, name)
		if strings.Contains(text, "replace") {
			t.Errorf("%s has a replace directive: the workspace is for that", name)
		}
		for _, m := range required.FindAllStringSubmatch(text, -1) {
			if m[2] != workspace[""] {
				t.Errorf("%s requires %s%s %s, go.work has %s: they are released together", name, module, m[1], m[2], workspace[""])
			}
			if workspace[m[1]] != m[2] {
				t.Errorf("go.work needs: replace %s%s %s => .%s", module, m[1], m[2], m[1])
			}
		}
	}
}

// TestReleaseTagsEveryModule releases a copy of the repository.
func TestReleaseTagsEveryModule(t *testing.T) {
	const version = "v0.98.7"
	dir := copyWithHistory(t)
	commit := func() {
		git(t, dir, "add", "-A")
		git(t, dir, "-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "-q", "--allow-empty", "-m", "test: release")
	}
	release := func(says string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "scripts/release"), version)
		cmd.Env = append(cmd.Environ(), append(gitEnv(), "GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@example.com")...)
		out, err := cmd.CombinedOutput()
		if ok := says == version; ok != (err == nil) || !bytes.Contains(out, []byte(says)) {
			t.Fatalf("scripts/release: %v, want %q in\n%s", err, says, out)
		}
	}
	commit()
	release("these require " + version)
	release("commit what has changed")
	commit()
	release("CHANGELOG.md has no section")
	appendTo(t, filepath.Join(dir, "CHANGELOG.md"), "\n## 0.98.7\n")
	commit()
	release(version)
	var want []string
	for _, m := range publishedModules(t) {
		want = append(want, path.Join(m, version))
	}
	got := strings.Fields(string(git(t, dir, "tag", "--points-at", "HEAD")))
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("tags: got %q, want %q", got, want)
	}
}

// The Makefile keeps tests apart that measure time, and those with deadlines, by
// the names of packages.
func TestTimedPackagesExist(t *testing.T) {
	for _, name := range []string{"PAIRED", "TIMED"} {
		_, list, ok := strings.Cut(strings.ReplaceAll(read(t, "Makefile"), "\\\n", ""), "\n"+name+" := ")
		list, _, _ = strings.Cut(list, "\n")
		if !ok || list == "" {
			t.Fatalf("the Makefile has no %s", name)
		}
		for folder := range strings.FieldsSeq(list) {
			if _, err := os.Stat(strings.TrimSuffix(folder, "/...")); err != nil {
				t.Errorf("%s in the Makefile: %v", name, err)
			}
		}
	}
}
