package rules_test

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
	"testing"
)

// dialectsFile is the only place that knows all dialects.
const dialectsFile = "source/sql/dialects.go"

// What differs between databases is a func or a value of the dialect's own
// folder: a switch elsewhere would make a new dialect a change of many files.
func TestDialectsAreChosenInOnePlace(t *testing.T) {
	found := false
	for _, f := range parseAll(t) {
		if f.isTest() || !within(f.dir(), "source/sql") {
			continue
		}
		if f.path == dialectsFile {
			found = true
			continue
		}
		for _, name := range dialectsIn(f) {
			t.Errorf("%s names the dialect %s: let %s choose, and the dialect's folder say what is special", f.path, name, dialectsFile)
		}
	}
	if !found {
		t.Errorf("%s does not exist", dialectsFile)
	}
}

// dialectsIn are the dialects that the code of a file names: by a constant, a
// string or an import of another dialect's folder.
func dialectsIn(f goFile) []string {
	own := path.Base(f.dir())
	var names []string
	for _, imported := range f.importPaths() {
		if name, ok := strings.CutPrefix(imported, module+"/source/sql/internal/"); ok && isDialect(name) {
			names = append(names, name)
		}
	}
	for _, decl := range f.ast.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.IMPORT {
			continue
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			name := ""
			switch x := n.(type) {
			case *ast.Ident:
				name = x.Name
			case *ast.BasicLit:
				name = strings.Trim(x.Value, "`\"")
			}
			if isDialect(name) && !strings.EqualFold(name, own) {
				names = append(names, name)
			}
			return true
		})
	}
	return names
}

func isDialect(name string) bool {
	switch strings.ToLower(name) {
	case "postgres", "postgresql", "sqlite", "sqlite3", "mysql", "mariadb":
		return true
	}
	return false
}
