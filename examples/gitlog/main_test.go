package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gapless-go/gapless/internal/testserver"
)

type event struct {
	ID, Topic, Type, Key string
	Data                 struct {
		Hash, Author, Subject, Body string
		Parents                     []string
	}
}

func TestHistoryIsPrintedOldestFirstWhateverItsTextsHold(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		testserver.Missing(t, "git", err.Error())
	}
	binary := filepath.Join(t.TempDir(), "gitlog")
	command(t, ".", "go", "build", "-o", binary, ".")
	repository := filepath.Join(t.TempDir(), "shop")
	command(t, ".", "git", "init", "-q", repository)
	messages := []struct{ subject, body string }{
		{`quotes " and \ and 'single'`, "a body\n\nwith two paragraphs and a tab\there"},
		{"<script>alert(1)</script> & ünïcödé ☃", ""},
		{"line separators \u2028 and control \x01 characters", "{\"json\": true}\n"},
	}
	for _, m := range messages {
		command(t, repository, "git", "commit", "-q", "--allow-empty", "--cleanup=verbatim", "-m", m.subject, "-m", m.body)
	}

	lines := bytes.Split(bytes.TrimSpace(command(t, repository, binary)), []byte("\n"))
	if len(lines) != len(messages) {
		t.Fatalf("got %d lines for %d commits:\n%s", len(lines), len(messages), bytes.Join(lines, []byte("\n")))
	}
	parent := ""
	for i, line := range lines {
		var got event
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("line %d is no JSON: %v\n%s", i+1, err, line)
		}
		if got.Data.Subject != messages[i].subject {
			t.Errorf("line %d: got subject %q, want %q", i+1, got.Data.Subject, messages[i].subject)
		}
		if got.Data.Author != `Ada "L" Love` || got.Topic != "shop" || got.Type != "commit" || got.ID != got.Data.Hash || got.Key != got.ID || len(got.ID) < 40 {
			t.Errorf("line %d: got %+v", i+1, got)
		}
		if i > 0 && (len(got.Data.Parents) != 1 || got.Data.Parents[0] != parent) {
			t.Errorf("line %d: got parents %q, want %q", i+1, got.Data.Parents, parent)
		}
		parent = got.Data.Hash
	}
}

func TestOutsideARepositoryTheErrorIsGits(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		testserver.Missing(t, "git", err.Error())
	}
	binary := filepath.Join(t.TempDir(), "gitlog")
	command(t, ".", "go", "build", "-o", binary, ".")
	out, err := exec.CommandContext(t.Context(), binary, "-C", t.TempDir()).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("not a git repository")) {
		t.Errorf("got %v and %q, want a failure that says it is not a git repository", err, out)
	}
}

// command runs a program with an identity of its own and returns its output.
func command(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull,
		`GIT_AUTHOR_NAME=Ada "L" Love`, "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return out
}
