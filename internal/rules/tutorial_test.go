package rules_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gapless-go/gapless/internal/testserver"
)

const tutorial = "docs/tutorial.md"

// TestTheWalkthrough pastes the blocks of the tutorial into shells, in a copy
// of the repository with its history: twice into one bash, and into a zsh.
func TestTheWalkthrough(t *testing.T) {
	need(t, "git", "curl", "bash", "zsh", "awk")
	steps := blocksFor(t, tutorial, t.Name())
	all := strings.Join(steps, "")
	dir := copyWithHistory(t)
	for shell, script := range map[string]string{"bash": all + all, "zsh": all} {
		temp := t.TempDir()
		out := runShell(t, dir, temp, shell, script)
		times := strings.Count(script, steps[0])
		if got := strings.Count(out, "none missed, none twice\n"); got != times || strings.Contains(out, "FAILED") {
			t.Errorf("%s: %d of %d runs say that none was missed:\n%s", shell, got, times, out)
		}
		if rest, err := os.ReadDir(temp); err != nil || len(rest) > 0 {
			t.Errorf("%s: the walk-through leaves %v behind (%v)", shell, rest, err)
		}
	}
	theComparisonFails(t, dir, steps[:len(steps)-2], steps[len(steps)-2])
}

// theComparisonFails spoils what arrived in a run that passed, and expects the
// step that compares to say so.
func theComparisonFails(t *testing.T, dir string, run []string, compare string) {
	t.Helper()
	temp := t.TempDir()
	runShell(t, dir, temp, "bash", strings.Join(run, "")+"kill $server; wait $server\ncp -r \"$dir\" \"$TMPDIR/run\"\n")
	for name, c := range map[string]struct {
		spoil string
		want  bool
	}{
		"nothing spoilt":             {"", true},
		"a block cut at the break":   {`printf 'data: {"data":{"hash":"00' >> "$dir/before.sse"`, true},
		"nothing before the break":   {`: > "$dir/before.sse"`, false},
		"nothing after the break":    {`: > "$dir/after.sse"`, false},
		"nothing at all":             {`: > "$dir/before.sse"; : > "$dir/after.sse"`, false},
		"one commit is missing":      {`awk '/^data:.*"type":"commit"/ && !n++ { next } { print }' "$dir/after.sse" > "$dir/x"; mv "$dir/x" "$dir/after.sse"`, false},
		"one commit came twice":      {`awk '{ print } /^data:.*"type":"commit"/ && !n++ { print ""; print }' "$dir/after.sse" > "$dir/x"; mv "$dir/x" "$dir/after.sse"`, false},
		"everything came once again": {`cat "$dir/after.sse" "$dir/before.sse" > "$dir/x"; mv "$dir/x" "$dir/after.sse"`, false},
	} {
		out := runShell(t, dir, temp, "bash", "rm -rf \"$TMPDIR/case\"; cp -r \"$TMPDIR/run\" \"$TMPDIR/case\"; dir=\"$TMPDIR/case\"\n"+c.spoil+"\n"+compare)
		if none, failed := strings.Contains(out, "none missed"), strings.Contains(out, "FAILED"); none != c.want || failed == c.want {
			t.Errorf("%s: the walk-through says\n%s", name, out)
		}
	}
}

// runShell returns what the script prints. It is a failure if the script, or
// what it started, does not end.
func runShell(t *testing.T, dir, temp, shell, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, shell, "-c", script)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), gitEnv()...), "TMPDIR="+temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput() // until all that the script started has ended
	if err != nil {
		t.Fatalf("%s: %v, %v\n%s", shell, err, ctx.Err(), out)
	}
	return string(out)
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, program, err.Error())
		}
	}
}

// blocksFor are the texts of the blocks of a page that name the test.
func blocksFor(t *testing.T, page, test string) []string {
	t.Helper()
	var texts []string
	for _, b := range blocksOf(page, read(t, page)) {
		if b.marker == "tested by "+test {
			texts = append(texts, b.text)
		}
	}
	if len(texts) == 0 {
		t.Fatalf("%s has no block for %s", page, test)
	}
	return texts
}

// copyWithHistory clones the repository and puts the files as they are now on
// top, so that the test is about these.
func copyWithHistory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "gapless")
	cmd := exec.CommandContext(t.Context(), "git", "rev-parse", "--git-dir")
	cmd.Env = append(os.Environ(), gitEnv()...)
	if err := cmd.Run(); err != nil {
		testserver.Missing(t, "git", "this copy of the code has no history")
	}
	git(t, ".", "clone", "-q", "--no-hardlinks", ".", dir)
	for name := range strings.SplitSeq(string(git(t, ".", "ls-files", "-z", "-co", "--exclude-standard")), "\x00") {
		info, err := os.Stat(name)
		if name == "" || err != nil { // removed, not yet committed
			continue
		}
		data := read(t, name)
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, []byte(data), info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func git(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), gitEnv()...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %q: %v", args, err)
	}
	return out
}

// gitEnv lets git read a repository of whatever owner, and no other setting.
func gitEnv() []string {
	return []string{
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}
}
