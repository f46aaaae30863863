// Package gapless_test holds the repository to its own rules: import
// directions, package docs, dependencies, and the commands and code in the
// docs. The rules are in CONTRIBUTING.md.
package gapless_test

import (
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

func TestMain(m *testing.M) { leaktest.Main(m) }

// goFile is a parsed Go file of the repository, whichever module it is in.
type goFile struct {
	path string // slash-separated, relative to the root
	ast  *ast.File
}

func (f goFile) dir() string    { return path.Dir(f.path) }
func (f goFile) isTest() bool   { return strings.HasSuffix(f.path, "_test.go") }
func (f goFile) isPublic() bool { return f.ast.Name.Name != "main" && !hasElement(f.path, "internal") }

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
		parsed = append(parsed, goFile{path: p, ast: f})
	}
	return parsed
}
