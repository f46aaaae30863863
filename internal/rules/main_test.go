package rules_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/leaktest"
)

const module = "github.com/gapless-go/gapless"

// testModules hold tests and benchmarks only; nobody requires them.
var testModules = []string{"test", "benchmarks", "benchmarks/mercure"}

// The rules are about the whole repository: names are relative to its root.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	leaktest.Main(m)
}

// goFile is a parsed Go file of the repository, whichever module it is in.
type goFile struct {
	path string // slash-separated, relative to the root
	fset *token.FileSet
	ast  *ast.File
}

func (f goFile) dir() string    { return path.Dir(f.path) }
func (f goFile) isTest() bool   { return strings.HasSuffix(f.path, "_test.go") }
func (f goFile) isPublic() bool { return f.ast.Name.Name != "main" && !hasElement(f.path, "internal") }

// lines is the number of the file's lines.
func (f goFile) lines() int { return f.fset.File(f.ast.FileStart).LineCount() - 1 }

// span is the number of lines from the func keyword to the closing brace.
func (f goFile) span(fn *ast.FuncDecl) int {
	return f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
}

func (f goFile) functions() []*ast.FuncDecl {
	var fns []*ast.FuncDecl
	for _, decl := range f.ast.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok {
			fns = append(fns, fn)
		}
	}
	return fns
}

func (f goFile) importPaths() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, "`\""))
	}
	return paths
}

// hasElement reports whether one of the folders in p has that name.
func hasElement(p, name string) bool {
	return slices.Contains(strings.Split(path.Dir(p), "/"), name)
}

// files returns the paths of all files that the suffix selects, in order,
// without what is not part of the repository.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" || p == "bin") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && strings.HasSuffix(name, suffix) {
			paths = append(paths, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no file ends in %q: this test looks in the wrong folder", suffix)
	}
	return paths
}

func parseAll(t *testing.T) []goFile {
	t.Helper()
	fset := token.NewFileSet()
	var parsed []goFile
	for _, p := range files(t, ".go") {
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, goFile{path: p, fset: fset, ast: f})
	}
	return parsed
}

func appendTo(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(read(t, name)+text), 0o644); err != nil {
		t.Fatal(err)
	}
}
