package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

const ours = "github.com/gapless-go/gapless"

// sizes of one package.
type sizes struct {
	lines, files, longestFile int
	functions                 []int // lines of each
	exported                  int
	dependencies              map[string]bool
}

func (s *sizes) medianFunction() int {
	if len(s.functions) == 0 {
		return 0
	}
	slices.Sort(s.functions)
	return s.functions[len(s.functions)/2]
}

func (s *sizes) longestFunction() int { return slices.Max(append([]int{0}, s.functions...)) }

func (s *sizes) add(file string) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	n := fset.File(f.FileStart).LineCount()
	s.files++
	s.lines += n
	s.longestFile = max(s.longestFile, n)
	for _, spec := range f.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") && p != ours && !strings.HasPrefix(p, ours+"/") {
			s.dependencies[moduleOf(p)] = true
		}
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			s.functions = append(s.functions, fset.Position(d.End()).Line-fset.Position(d.Pos()).Line+1)
			if d.Name.IsExported() && (d.Recv == nil || receiverIsExported(d.Recv)) {
				s.exported++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				s.exported += exportedNames(spec)
			}
		}
	}
	return nil
}

// moduleOf takes host, owner and name of an import path for its module.
func moduleOf(p string) string {
	elements := strings.Split(p, "/")
	return strings.Join(elements[:min(3, len(elements))], "/")
}

func exportedNames(spec ast.Spec) int {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		return countExported(s.Names)
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return 0
		}
		return 1 + exportedMembers(s.Type)
	}
	return 0
}

// exportedMembers counts the fields of a struct and the methods of an interface.
func exportedMembers(typ ast.Expr) int {
	var list []*ast.Field
	switch x := typ.(type) {
	case *ast.StructType:
		list = x.Fields.List
	case *ast.InterfaceType:
		list = x.Methods.List
	}
	n := 0
	for _, field := range list {
		n += countExported(field.Names)
	}
	return n
}

func countExported(names []*ast.Ident) int {
	n := 0
	for _, name := range names {
		if name.IsExported() {
			n++
		}
	}
	return n
}

func receiverIsExported(recv *ast.FieldList) bool {
	exported := false
	ast.Inspect(recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !exported {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}
