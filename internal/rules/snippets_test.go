package rules_test

import (
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A fenced block of a document is a promise, so each one is checked:
//
//   - ```go is type-checked: as a file if it starts with "package", else as the
//     body of a function, after any import declarations; one that has none gets
//     those of the usual packages. `<!-- go: db *sql.DB -->` on the line before
//     gives that function parameters.
//   - ```sh holds only commands that a test runs: make and its targets, or
//     whatever `<!-- tested by TestName -->` on the line before names.
//
// Other blocks (text, json, sql …) are illustrations.
type block struct {
	file   string
	line   int
	lang   string // the first word after the fence
	marker string // an HTML comment on the line before, without its brackets
	text   string
}

func blocks(t *testing.T, lang string) []block {
	t.Helper()
	var found []block
	for _, p := range files(t, ".md") {
		for _, b := range blocksOf(p, read(t, p)) {
			if b.lang == lang {
				found = append(found, b)
			}
		}
	}
	return found
}

func blocksOf(file, text string) []block {
	var found []block
	var open *block
	before := ""
	number := 0
	for line := range strings.Lines(text) {
		number++
		trimmed := strings.TrimSpace(line)
		info, fence := strings.CutPrefix(trimmed, "```")
		switch {
		case fence && open == nil:
			lang, _, _ := strings.Cut(info, " ")
			open = &block{file: file, line: number, lang: lang, marker: comment(before)}
		case fence:
			found = append(found, *open)
			open = nil
		case open != nil:
			open.text += line
		}
		before = trimmed
	}
	return found
}

func comment(line string) string {
	text, ok := strings.CutPrefix(line, "<!--")
	if !ok {
		return ""
	}
	return strings.TrimSpace(strings.TrimSuffix(text, "-->"))
}

func withoutFences(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
		} else if !inside {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestShellBlocksAreRunByATest(t *testing.T) {
	makefile := read(t, "Makefile")
	tests := map[string]bool{}
	for _, f := range parseAll(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.isTest() && strings.HasPrefix(fn.Name.Name, "Test") {
				tests[fn.Name.Name] = true
			}
		}
	}
	for _, b := range blocks(t, "sh") {
		if name, ok := strings.CutPrefix(b.marker, "tested by "); ok {
			if !tests[name] {
				t.Errorf("%s:%d: no test is named %s", b.file, b.line, name)
			}
			continue
		}
		for line := range strings.Lines(b.text) {
			command, _, _ := strings.Cut(line, "#")
			if command = strings.TrimSpace(command); command == "" {
				continue
			}
			target, ok := strings.CutPrefix(command, "make ")
			target, _, _ = strings.Cut(target, " ")
			if !ok || !strings.Contains(makefile, "\n"+target+":") {
				t.Errorf("%s:%d: %q is no make target, and no test is named on the line before the block as <!-- tested by TestName -->", b.file, b.line, command)
			}
		}
	}
}

func TestGoBlocksCompile(t *testing.T) {
	snippets := blocks(t, "go")
	if len(snippets) == 0 {
		t.Skip("the docs have no Go code yet")
	}
	fset := token.NewFileSet()
	parsed := make([]*ast.File, len(snippets))
	var imported []string
	for i, b := range snippets {
		f, err := parser.ParseFile(fset, b.file, asFile(b), parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s:%d: %v", b.file, b.line, err)
			continue
		}
		parsed[i] = f
		imported = append(imported, goFile{ast: f}.importPaths()...)
	}
	imp := importer.ForCompiler(fset, "gc", exports(t, imported))
	for i, f := range parsed {
		if f == nil {
			continue
		}
		b := snippets[i]
		config := types.Config{Importer: imp, Error: func(err error) {
			// Soft errors are unused variables: fine in a fragment.
			if e, ok := errors.AsType[types.Error](err); !ok || !e.Soft {
				t.Errorf("%s:%d: the code in this block does not compile: %v", b.file, b.line, err)
			}
		}}
		_, _ = config.Check("snippet", fset, []*ast.File{f}, nil) // every error went to config.Error
	}
}

var importDecl = regexp.MustCompile(`(?s)^\s*import\s*(\(.*?\)|"[^"]*"|\w+ "[^"]*")[ \t]*\n`)

// asFile makes a file of a fragment, on one line with its own lines.
func asFile(b block) string {
	if strings.HasPrefix(strings.TrimSpace(b.text), "package ") {
		return b.text
	}
	imports := ""
	rest := b.text
	for m := importDecl.FindString(rest); m != ""; m = importDecl.FindString(rest) {
		imports, rest = imports+m, rest[len(m):]
	}
	params, _ := strings.CutPrefix(b.marker, "go:")
	if imports == "" {
		imports = usual(params + rest)
	}
	if declares.MatchString(rest) {
		return "package snippet\n" + imports + rest
	}
	return "package snippet\n" + imports + "func _(" + params + ") {\n" + rest + "\n}\n"
}

// usual imports what a fragment without imports of its own plainly means.
func usual(code string) string {
	var imports strings.Builder
	for _, p := range []string{
		"context", "database/sql", "errors", "fmt", "log", "log/slog", "net/http", "os", "testing", "time",
		"go.etcd.io/bbolt", "github.com/jmoiron/sqlx", "github.com/jackc/pgx/v5:pgx", "github.com/jackc/pgx/v5/pgxpool",
		"github.com/gapless-go/gapless/integrations/pgx:gaplesspgx", "github.com/gapless-go/gapless/integrations/watermill:gaplesswatermill",
		"github.com/ThreeDotsLabs/watermill/message",
		"github.com/gapless-go/gapless/cdc", "github.com/gapless-go/gapless/conformance", "github.com/gapless-go/gapless/conformance/ssetest", "github.com/gapless-go/gapless/transport/sse", "github.com/gapless-go/gapless/transport/sse/remote", "github.com/gapless-go/gapless/transport/sse/statuspage", "github.com/gapless-go/gapless/transport/sse/openapi",
		"github.com/gapless-go/gapless/source/mem:memlog", "github.com/gapless-go/gapless/source/bolt:boltlog",
		"github.com/gapless-go/gapless/source/redis:redislog", "github.com/gapless-go/gapless/source/sql:sqllog",
	} {
		p, name, named := strings.Cut(p, ":")
		if !named {
			name = path.Base(p)
		}
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(code) {
			imports.WriteString("import " + name + " \"" + p + "\"\n")
		}
	}
	return imports.String()
}

// declares matches a fragment of declarations, which cannot be in a function.
var declares = regexp.MustCompile(`(?m)^func (\([^)]*\) )?\w+`)

// exports finds the compiled form of packages for the type checker.
func exports(t *testing.T, packages []string) func(string) (io.ReadCloser, error) {
	t.Helper()
	slices.Sort(packages)
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", "--"}, slices.Compact(packages)...)
	out, err := goCommand(t, args...).Output()
	if err != nil {
		t.Fatalf("packages that the docs import: %v", err)
	}
	file := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if p, export, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			file[p] = export
		}
	}
	return func(p string) (io.ReadCloser, error) { return os.Open(file[p]) }
}

// TestTheModuleOfTheTutorial runs the commands of docs/custom-source.md in a
// new module with the files of the example, and of the suite one guarantee.
func TestTheModuleOfTheTutorial(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"log.go", "log_test.go"} {
		text := strings.ReplaceAll(read(t, path.Join("examples/customsource", name)), "github.com/gapless-go/gapless/examples/customsource", "example.com/mylog")
		if err := os.WriteFile(path.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	for _, b := range blocksOf("docs/custom-source.md", read(t, "docs/custom-source.md")) {
		if b.marker == "tested by "+t.Name() {
			script += b.text
		}
	}
	for written, run := range map[string]string{"../gapless": here, " -failfast": " -failfast -run /Atomic"} {
		if !strings.Contains(script, written) {
			t.Fatalf("docs/custom-source.md has no %q in\n%s", written, script)
		}
		script = strings.ReplaceAll(script, written, run)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestConformance/Atomic/OneView") {
		t.Errorf("%v\n%s", err, out)
	}
}
