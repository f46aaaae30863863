// Command sizes prints a table of the repository's packages as they were in a
// commit and as they are in the work tree: lines, files, functions, exported
// names and dependencies of what is no test.
//
//	go run ./internal/rules/sizes 3cf6843
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: sizes COMMIT, in the root of the repository")
	}
	if err := compare(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func compare(commit string) error {
	dir, err := os.MkdirTemp("", "gapless-sizes")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := extract(context.Background(), commit, dir); err != nil {
		return err
	}
	before, err := measureTree(dir)
	if err != nil {
		return err
	}
	after, err := measureTree(".")
	if err != nil {
		return err
	}
	fmt.Printf(head, commit)
	packages := slices.Collect(maps.Keys(before))
	packages = slices.AppendSeq(packages, maps.Keys(after))
	slices.Sort(packages)
	for _, p := range slices.Compact(packages) {
		fmt.Println(row(p, before[p], after[p]))
	}
	return nil
}

const head = `# The house: sizes before and after

Made by ` + "`make sizes`" + ` from commit %s and the work tree: what is no test, without examples, the test modules and rules.
Where both differ, before → after; – is no such package. A function's length goes from its func keyword to its closing brace.
Exported names are declarations, methods and fields. Dependencies are modules of others that the package imports itself.

| Package | Lines | Files | Longest file | Function: median | longest | Exported names | Dependencies |
|---|---|---|---|---|---|---|---|
`

func row(name string, before, after *sizes) string {
	cells := []string{"`" + name + "`"}
	for _, column := range []func(*sizes) int{
		func(s *sizes) int { return s.lines },
		func(s *sizes) int { return s.files },
		func(s *sizes) int { return s.longestFile },
		(*sizes).medianFunction,
		(*sizes).longestFunction,
		func(s *sizes) int { return s.exported },
		func(s *sizes) int { return len(s.dependencies) },
	} {
		a, b := cell(before, column), cell(after, column)
		if a != b {
			a += " → " + b
		}
		cells = append(cells, a)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

func cell(s *sizes, column func(*sizes) int) string {
	if s == nil {
		return "–"
	}
	return fmt.Sprint(column(s))
}

// extract writes the files of a commit below dir.
func extract(ctx context.Context, commit, dir string) error {
	var stderr bytes.Buffer
	archive := exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "archive", commit)
	archive.Stderr = &stderr
	files, err := archive.Output()
	if err != nil {
		return fmt.Errorf("git archive %s: %w: %s", commit, err, stderr.Bytes())
	}
	tar := exec.CommandContext(ctx, "tar", "-x", "-C", dir)
	tar.Stdin = bytes.NewReader(files)
	if out, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	return nil
}

// skipped are folders that hold tests, examples or what is not committed.
func skipped(folder, name string) bool {
	switch folder {
	case "bin", "benchmarks", "e2e", "examples", "internal/rules", "internal/soak", "test", "tools", "conformance/model", "source/sql/drivers":
		return true
	}
	return name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") && name != "."
}

func measureTree(root string) (map[string]*sizes, error) {
	packages := map[string]*sizes{}
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		switch name := filepath.ToSlash(relative); {
		case d.IsDir() && skipped(name, d.Name()):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			folder := filepath.ToSlash(filepath.Dir(relative))
			if packages[folder] == nil {
				packages[folder] = &sizes{dependencies: map[string]bool{}}
			}
			return packages[folder].add(p)
		}
		return nil
	})
	return packages, err
}
