// Package overlay builds a package with one line of it wrong, for tests that
// want to see a fault found.
package overlay

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// File returns the path of a file for the flag -overlay of the go command that
// puts wrong in the place of right, which the Go file must have once.
func File(tb testing.TB, file, right, wrong string) string {
	tb.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if n := strings.Count(string(text), right); n != 1 {
		tb.Fatalf("%s has %q %d times, want once", file, right, n)
	}
	dir := tb.TempDir()
	broken, list := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		tb.Fatal(err)
	}
	for name, data := range map[string][]byte{broken: []byte(strings.Replace(string(text), right, wrong, 1)), list: replace} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return list
}
