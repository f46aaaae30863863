package rules_test

import (
	"go/importer"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const errorsPage = "docs/errors.md"

// Every exported error has one row of the table of errors, and every row is an
// error that is exported.
func TestEveryErrorHasARow(t *testing.T) {
	packages := publicPackages(t)
	imp := importer.ForCompiler(token.NewFileSet(), "gc", exports(t, packages))
	var want []string
	for _, p := range packages {
		pkg, err := imp.Import(p)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, errorsOf(pkg)...)
	}
	row := regexp.MustCompile("^\\| `([^`]+)` \\|([^|]+)\\|([^|]+)\\|$")
	var got []string
	for line := range strings.Lines(read(t, errorsPage)) {
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || !strings.Contains(m[1], ".") {
			continue
		}
		if strings.TrimSpace(m[2]) == "" || strings.TrimSpace(m[3]) == "" {
			t.Errorf("%s: the row of %s says not when it comes and what to do", errorsPage, m[1])
		}
		got = append(got, m[1])
	}
	for _, name := range want {
		if n := len(slices.DeleteFunc(slices.Clone(got), func(g string) bool { return g != name })); n != 1 {
			t.Errorf("%s has %d rows for %s, want 1: say when it comes and what to do", errorsPage, n, name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s has a row for %s, which no public package exports as an error", errorsPage, name)
		}
	}
}

// errorsOf are the variables of a package that are errors, and its types that
// are, as code writes them: cdc.ErrClosed, *cdc.ResetError.
func errorsOf(pkg *types.Package) []string {
	is := types.Universe.Lookup("error").Type().Underlying().(*types.Interface)
	var names []string
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		qualified := pkg.Name() + "." + name
		switch o := obj.(type) {
		case *types.Var:
			if o.Exported() && types.Implements(o.Type(), is) {
				names = append(names, qualified)
			}
		case *types.TypeName:
			switch {
			case !o.Exported() || types.IsInterface(o.Type()):
			case types.Implements(o.Type(), is):
				names = append(names, qualified)
			case types.Implements(types.NewPointer(o.Type()), is):
				names = append(names, "*"+qualified)
			}
		}
	}
	return names
}
