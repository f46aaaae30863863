//go:build race

package pebblesource

func init() { buildFlags = append(buildFlags, "-race") }
