// Package rules holds the repository to its own rules by tests: which package
// may import which, how long files and functions may be, what the docs promise,
// the recorded public surface, and modules that can be fetched. The rules are
// in CONTRIBUTING.md.
package rules
