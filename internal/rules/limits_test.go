package rules_test

import (
	"go/ast"
	"go/token"
	"testing"
)

const (
	maxFileLines     = 400
	maxFunctionLines = 50
)

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, f := range parseAll(t) {
		if n := f.lines(); n > maxFileLines {
			t.Errorf("%s has %d lines, the limit is %d: split it by what its parts do", f.path, n, maxFileLines)
		}
		for _, fn := range f.functions() {
			if n := f.span(fn); n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, the limit is %d: split it by its steps", f.path, fn.Name.Name, n, maxFunctionLines)
			}
		}
	}
}

func TestProductionCodeHasNoGlobalState(t *testing.T) {
	for _, f := range parseAll(t) {
		if f.isTest() || withinAny(f.dir(), testModules) {
			continue
		}
		for _, decl := range f.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s has an init function: let a constructor or main do its work", f.path)
				}
			case *ast.GenDecl:
				for _, name := range globalMaps(d) {
					t.Errorf("%s: the package-level variable %s is a map: what is shared needs an owner, and a fixed choice is a switch", f.path, name)
				}
			}
		}
	}
}

// globalMaps names the variables of a declaration that are maps by their type
// or by the value that they begin with.
func globalMaps(d *ast.GenDecl) []string {
	var names []string
	if d.Tok != token.VAR {
		return nil
	}
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		for i, name := range v.Names {
			if isMap(v.Type) || i < len(v.Values) && isMap(typeOfValue(v.Values[i])) {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

func isMap(typ ast.Expr) bool {
	switch x := typ.(type) {
	case *ast.MapType:
		return true
	case *ast.StarExpr:
		return isMap(x.X)
	case *ast.SelectorExpr:
		pkg, ok := x.X.(*ast.Ident)
		return ok && pkg.Name == "sync" && x.Sel.Name == "Map"
	}
	return false
}

// typeOfValue is the type that is written in a composite literal, its address
// or a call of make.
func typeOfValue(value ast.Expr) ast.Expr {
	switch x := value.(type) {
	case *ast.CompositeLit:
		return x.Type
	case *ast.UnaryExpr:
		return typeOfValue(x.X)
	case *ast.CallExpr:
		if fn, ok := x.Fun.(*ast.Ident); ok && fn.Name == "make" {
			return x.Args[0]
		}
	}
	return nil
}
