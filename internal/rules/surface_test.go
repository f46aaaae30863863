package rules_test

import (
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const surfaceDir = "docs/api"

// TestPublicSurfaceIsRecorded compares every public package with its file in
// docs/api, so that a change of the surface is seen in review. GAPLESS_API=write
// writes the files.
func TestPublicSurfaceIsRecorded(t *testing.T) {
	packages := publicPackages(t)
	imp := importer.ForCompiler(token.NewFileSet(), "gc", exports(t, packages))
	want := map[string]string{}
	for _, p := range packages {
		pkg, err := imp.Import(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range internalAliases(pkg) {
			t.Errorf("%s exports %s, an alias of an internal type, whose docs nobody sees: give the package a type of its own", p, name)
		}
		folder := strings.TrimPrefix(p, module+"/")
		want[path.Join(surfaceDir, strings.ReplaceAll(folder, "/", "-")+".txt")] = surface(pkg)
	}
	if os.Getenv("GAPLESS_API") == "write" {
		writeSurface(t, want)
	}
	recorded := filesBelow(t, surfaceDir)
	for _, name := range recorded {
		if want[name] == "" {
			t.Errorf("%s is of no public package: run make api", name)
		}
	}
	for name, text := range want {
		if !slices.Contains(recorded, name) {
			t.Errorf("%s is missing: run make api", name)
		} else if diff := firstDifference(read(t, name), text); diff != "" {
			t.Errorf("%s is not what the package exports: run make api\n%s", name, diff)
		}
	}
}

// goCommand runs go in the workspace, also for tests that run without it.
func goCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "GOWORK="), os.Stderr
	return cmd
}

// publicPackages are the packages that an application can import, of every
// module that is published.
func publicPackages(t *testing.T) []string {
	t.Helper()
	args := []string{"list", "-f", "{{.ImportPath}} {{.Name}} {{len .GoFiles}}"}
	for _, m := range publishedModules(t) {
		args = append(args, "./"+path.Join(m, "..."))
	}
	out, err := goCommand(t, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		folder := strings.TrimPrefix(f[0], module+"/")
		if f[1] != "main" && f[2] != "0" && !hasElement(folder+"/x", "internal") && !within(folder, "examples") {
			packages = append(packages, f[0])
		}
	}
	return packages
}

func writeSurface(t *testing.T, want map[string]string) {
	t.Helper()
	if err := os.RemoveAll(surfaceDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(surfaceDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, path.Join(dir, e.Name()))
	}
	return names
}

func firstDifference(got, want string) string {
	have, need := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(have), len(need)) {
		a, b := "(end)", "(end)"
		if i < len(have) {
			a = have[i]
		}
		if i < len(need) {
			b = need[i]
		}
		if a != b {
			return fmt.Sprintf("line %d: the file has  %s\n        the package has %s", i+1, a, b)
		}
	}
	return ""
}

// surface is what a package exports as text: a line for each declaration, each
// field and each method, also those that come by embedding.
func surface(pkg *types.Package) string {
	w := surfaceWriter{pkg: pkg}
	w.line("package %s // import %q\n", pkg.Name(), pkg.Path())
	for _, kind := range []func(types.Object) bool{isA[*types.Const], isA[*types.Var], isA[*types.Func], isA[*types.TypeName]} {
		for _, name := range pkg.Scope().Names() {
			if obj := pkg.Scope().Lookup(name); obj.Exported() && kind(obj) {
				w.object(obj)
			}
		}
	}
	return w.text.String()
}

func internalAliases(pkg *types.Package) []string {
	var names []string
	for _, name := range pkg.Scope().Names() {
		o, ok := pkg.Scope().Lookup(name).(*types.TypeName)
		if !ok || !o.Exported() || !o.IsAlias() {
			continue
		}
		if n, ok := types.Unalias(o.Type()).(*types.Named); ok && n.Obj().Pkg() != nil && hasElement(n.Obj().Pkg().Path()+"/x", "internal") {
			names = append(names, name)
		}
	}
	return names
}

func isA[T types.Object](obj types.Object) bool { _, ok := obj.(T); return ok }

type surfaceWriter struct {
	pkg  *types.Package
	text strings.Builder
}

func (w *surfaceWriter) line(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

// qualify names a type of another package as code does, one of this without.
func (w *surfaceWriter) qualify(p *types.Package) string {
	if p == w.pkg {
		return ""
	}
	return p.Name()
}

func (w *surfaceWriter) typeString(t types.Type) string { return types.TypeString(t, w.qualify) }

func (w *surfaceWriter) object(obj types.Object) {
	switch o := obj.(type) {
	case *types.Const:
		w.line("const %s %s = %s", o.Name(), w.typeString(o.Type()), o.Val())
	case *types.TypeName:
		w.typeName(o)
	default:
		w.line("%s", types.ObjectString(o, w.qualify))
	}
}

func (w *surfaceWriter) typeName(o *types.TypeName) {
	w.line("")
	if o.IsAlias() {
		w.line("type %s = %s", o.Name(), w.typeString(types.Unalias(o.Type())))
	}
	switch under := o.Type().Underlying().(type) {
	case *types.Struct:
		w.line("type %s struct", w.typeString(o.Type()))
		w.fields(under)
	case *types.Interface:
		w.line("type %s interface", w.typeString(o.Type()))
		for m := range under.Methods() {
			w.line("\t%s%s", m.Name(), strings.TrimPrefix(w.typeString(m.Type()), "func"))
		}
		for e := range under.EmbeddedTypes() {
			if !types.IsInterface(e) {
				w.line("\t%s", w.typeString(e))
			}
		}
		return
	default:
		w.line("type %s %s", w.typeString(o.Type()), w.typeString(under))
	}
	w.methods(o)
}

func (w *surfaceWriter) fields(s *types.Struct) {
	hidden := false
	for f := range s.Fields() {
		switch {
		case !f.Exported():
			hidden = true
		case f.Embedded():
			w.line("\t%s", w.typeString(f.Type()))
		default:
			w.line("\t%s %s", f.Name(), w.typeString(f.Type()))
		}
	}
	if hidden {
		w.line("\t// and unexported fields")
	}
}

// methods are those of a pointer, which has all.
func (w *surfaceWriter) methods(o *types.TypeName) {
	value := types.NewMethodSet(o.Type())
	for m := range types.NewMethodSet(types.NewPointer(o.Type())).Methods() {
		if !m.Obj().Exported() {
			continue
		}
		star := "*"
		if value.Lookup(m.Obj().Pkg(), m.Obj().Name()) != nil {
			star = ""
		}
		w.line("func (%s%s) %s%s", star, o.Name(), m.Obj().Name(), strings.TrimPrefix(w.typeString(m.Type()), "func"))
	}
}
