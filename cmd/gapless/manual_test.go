package main_test

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

// step is a block of commands of a page, and the output that it shows.
type step struct {
	commands string
	output   string
	at, end  int // of the output in the page; 0: it shows none
}

// steps finds the blocks that this test is named for.
func steps(page, marker string) []step {
	blocks := regexp.MustCompile("(?s)<!-- tested by " + marker + " -->\n```sh\n(.*?)```\n(?:```text\n(.*?)```\n)?")
	var all []step
	for _, m := range blocks.FindAllStringSubmatchIndex(page, -1) {
		s := step{commands: page[m[2]:m[3]]}
		if m[4] >= 0 {
			s.output, s.at, s.end = page[m[4]:m[5]], m[4], m[5]
		}
		all = append(all, s)
	}
	return all
}

// TestTheManual runs the commands of docs/program.md.
func TestTheManual(t *testing.T) {
	there := strings.NewReplacer("postgres://localhost/shop", freshPostgres(t), "127.0.0.1:8080", testserver.FreeAddr(t), "127.0.0.1:9090", testserver.FreeAddr(t))
	testPage(t, "program.md", t.TempDir(), there, "curl", "openssl", "psql", "sqlite3")
}

// TestMigrating runs the commands of docs/migrating.md on the tables of
// examples/sqlite.
func TestMigrating(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "sessions.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	schema, err := os.ReadFile("../../examples/sqlite/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(schema)); err != nil {
		t.Fatal(err)
	}
	testPage(t, "migrating.md", dir, strings.NewReplacer("127.0.0.1:8080", testserver.FreeAddr(t)), "curl", "sqlite3")
}

// testPage runs the commands of a page of docs that are marked with the test's
// name in one shell, in dir, and compares what they print. GAPLESS_REWRITE=1
// writes that into the page.
func testPage(t *testing.T, name, dir string, there *strings.Replacer, programs ...string) {
	t.Helper()
	for _, program := range append(programs, "bash") {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, program, err.Error())
		}
	}
	file := filepath.Join("../../docs", name)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	all := steps(page, t.Name())
	if len(all) == 0 {
		t.Fatalf("%s has no block for this test", name)
	}
	printed := runSteps(t, all, dir, there)
	rewritten := page
	for i := len(all) - 1; i >= 0; i-- {
		got := undo(printed[i], there, page)
		if all[i].at == 0 && got == "" || all[i].at > 0 && plain(got) == plain(all[i].output) {
			continue
		}
		if os.Getenv("GAPLESS_REWRITE") == "" || all[i].at == 0 {
			t.Errorf("%s\nprinted\n%s\n%s has\n%s", all[i].commands, got, name, all[i].output)
			continue
		}
		rewritten = rewritten[:all[i].at] + got + rewritten[all[i].end:]
	}
	if rewritten != page {
		if err := os.WriteFile(file, []byte(rewritten), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runSteps returns what each of them prints.
func runSteps(t *testing.T, all []step, dir string, there *strings.Replacer) []string {
	t.Helper()
	const mark = "--- next ---\n"
	var script strings.Builder
	script.WriteString("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n")
	for _, s := range all {
		script.WriteString(there.Replace(s.commands) + "echo '" + strings.TrimSpace(mark) + "'\n")
	}
	cmd := exec.Command("bash", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = append(environment(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "GAPLESS_LISTEN="+there.Replace("127.0.0.1:8080"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out testserver.Output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(2*patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	watchdog.Stop()
	printed := strings.Split(out.String(), mark)
	if err != nil || len(printed) != len(all)+1 {
		t.Fatalf("step %d: %v\n%s", len(printed), err, out.String())
	}
	return printed
}

// undo puts the addresses of the manual back.
func undo(text string, there *strings.Replacer, page string) string {
	for _, address := range []string{"postgres://localhost/shop", "127.0.0.1:8080", "127.0.0.1:9090"} {
		if strings.Contains(page, address) {
			text = strings.ReplaceAll(text, there.Replace(address), address)
		}
	}
	return text
}

// plain is a text without what differs from run to run.
func plain(text string) string {
	for pattern, with := range map[string]string{
		`[0-9a-z]{13,20}\.(\d+)(\.[\w~-]+)?`:   "cursor.$1",
		`("log":"|epoch +)[0-9a-z]+`:           "${1}epoch",
		`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*`: "time",
		`retry: \d+`:                           "retry",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, with)
	}
	return text
}
