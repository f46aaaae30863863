package rules_test

import (
	"go/ast"
	"strings"
	"testing"
)

// TestOptionsComeLastAndAreCalledOpts holds every exported function to one way
// of taking options: a pointer, nil for the defaults, as the last argument.
func TestOptionsComeLastAndAreCalledOpts(t *testing.T) {
	checked := 0
	for _, f := range parseAll(t) {
		if f.isTest() || withinAny(f.dir(), testModules) {
			continue
		}
		for _, fn := range f.functions() {
			if !fn.Name.IsExported() {
				continue
			}
			params := fn.Type.Params.List
			for i, p := range params {
				if !isOptions(p.Type) {
					continue
				}
				checked++
				if i != len(params)-1 || len(p.Names) != 1 || p.Names[0].Name != "opts" {
					t.Errorf("%s: %s takes its options otherwise than as a last argument named opts", f.path, fn.Name.Name)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no function with options was checked")
	}
}

// isOptions reports whether the type is a pointer to a struct of options.
func isOptions(typ ast.Expr) bool {
	star, ok := typ.(*ast.StarExpr)
	if !ok {
		return false
	}
	switch x := star.X.(type) {
	case *ast.Ident:
		return strings.HasSuffix(x.Name, "Options")
	case *ast.SelectorExpr:
		return strings.HasSuffix(x.Sel.Name, "Options")
	}
	return false
}
