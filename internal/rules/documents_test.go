package rules_test

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryPackageHasAComment(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range parseAll(t) {
		if !f.isTest() {
			documented[f.dir()] = documented[f.dir()] || f.ast.Doc.Text() != ""
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("the package in %s has no package comment", dir)
		}
	}
}

func TestEveryExportedIdentifierHasAComment(t *testing.T) {
	for _, f := range parseAll(t) {
		if f.isTest() || !f.isPublic() {
			continue
		}
		for _, name := range undocumented(f.ast) {
			t.Errorf("%s: %s is exported and has no doc comment", f.path, name)
		}
	}
}

// undocumented names the exported declarations of a file without a comment:
// functions, methods of exported types, types, their methods if they are
// interfaces, the fields of options, constants and variables.
func undocumented(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && receiverIsExported(d) && d.Doc.Text() == "" {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, undocumentedSpec(d, spec)...)
			}
		}
	}
	return names
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) []string {
	var names []string
	switch s := spec.(type) {
	case *ast.ValueSpec:
		// One comment speaks for a group of constants or variables.
		if d.Doc.Text() != "" || s.Doc.Text() != "" || s.Comment.Text() != "" {
			return nil
		}
		for _, n := range s.Names {
			if n.IsExported() {
				names = append(names, n.Name)
			}
		}
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return nil
		}
		if s.Doc.Text() == "" && (d.Lparen != token.NoPos || d.Doc.Text() == "") {
			names = append(names, s.Name.Name)
		}
		fields := members(s)
		for i, field := range fields {
			for _, n := range field.Names {
				if n.IsExported() && !hasComment(field) && !named(fields[:i], n.Name) {
					names = append(names, s.Name.Name+"."+n.Name)
				}
			}
		}
	}
	return names
}

// members are the methods of an interface and the fields of options.
func members(s *ast.TypeSpec) []*ast.Field {
	switch typ := s.Type.(type) {
	case *ast.InterfaceType:
		return typ.Methods.List
	case *ast.StructType:
		if strings.HasSuffix(s.Name.Name, "Options") {
			return typ.Fields.List
		}
	}
	return nil
}

func hasComment(field *ast.Field) bool { return field.Doc.Text()+field.Comment.Text() != "" }

// named reports whether the comment of an earlier field speaks for this one too.
func named(fields []*ast.Field, name string) bool {
	return slices.ContainsFunc(fields, func(field *ast.Field) bool {
		return slices.Contains(strings.Fields(field.Doc.Text()), name)
	})
}

func receiverIsExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func TestEveryDirectDependencyHasItsReasonInADecision(t *testing.T) {
	var decisions strings.Builder
	for _, p := range files(t, ".md") {
		if path.Dir(p) == "docs/adr" {
			decisions.WriteString(read(t, p))
		}
	}
	require := regexp.MustCompile(`(?m)^(?:require|tool)?\s+([a-z0-9.-]+\.[a-z]+/\S+) v\S+$`)
	tool := regexp.MustCompile(`(?m)^(?:tool)?\s+([a-z0-9.-]+\.[a-z]+/\S+)$`)
	for _, p := range files(t, "go.mod") {
		gomod := read(t, p)
		for _, m := range append(require.FindAllStringSubmatch(gomod, -1), tool.FindAllStringSubmatch(gomod, -1)...) {
			if !strings.HasPrefix(m[1], module) && !strings.Contains(decisions.String(), m[1]) {
				t.Errorf("%s requires %s, which no file in docs/adr names: record why", p, m[1])
			}
		}
	}
}

func TestDecisionsAreNumberedOnceAndComplete(t *testing.T) {
	numbers := map[string]string{}
	name := regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.md$`)
	for _, p := range files(t, ".md") {
		if path.Dir(p) != "docs/adr" {
			continue
		}
		m := name.FindStringSubmatch(path.Base(p))
		if m == nil {
			t.Errorf("%s: the name of a decision is NNNN-title.md", p)
			continue
		}
		if other := numbers[m[1]]; other != "" {
			t.Errorf("%s and %s have the same number", other, p)
		}
		numbers[m[1]] = p
		text := strings.ToLower(read(t, p))
		for _, part := range []string{"status:", "## context", "## decision", "## consequences", "## rejected"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %q", p, part)
			}
		}
	}
}

func TestLinksInTheDocsLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, p := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(withoutFences(read(t, p)), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := p
			if target != "" {
				file = path.Join(path.Dir(p), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: the link %s leads nowhere", p, m[1])
				continue
			}
			if anchor != "" && strings.HasSuffix(file, ".md") && !hasHeading(read(t, file), anchor) {
				t.Errorf("%s: %s has no heading for #%s", p, file, anchor)
			}
		}
	}
}

// hasHeading reports whether a heading of the text gets that anchor on GitHub.
func hasHeading(text, anchor string) bool {
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(withoutFences(text)) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			slug := drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			if strings.ReplaceAll(slug, " ", "-") == anchor {
				return true
			}
		}
	}
	return false
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Tests that a page of the docs names exist. Pages of results tell what was run,
// perhaps under another name.
func TestTestsThatTheDocsNameExist(t *testing.T) {
	tests := map[string]bool{}
	for _, f := range parseAll(t) {
		for _, fn := range f.functions() {
			if f.isTest() && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	name := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9_]*)`")
	for _, p := range files(t, ".md") {
		if within(p, "docs/results") {
			continue
		}
		for _, m := range name.FindAllStringSubmatch(read(t, p), -1) {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which is no test", p, m[1])
			}
		}
	}
}
