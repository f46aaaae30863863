package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/gapless-go/gapless/benchmarks/peers"
	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// serverCommand is the argument that makes this program a server, followed by
// the name of a library and how many events it keeps.
const serverCommand = "server"

// keep is more events than a turn publishes that says nothing else.
const keep = 50_000

// runServer serves the library until the standard input ends.
func runServer(name, keep string) error {
	n := slices.IndexFunc(libraries(), func(l peers.Library) bool { return l.Name == name })
	events, err := strconv.Atoi(keep)
	if n < 0 || err != nil {
		return fmt.Errorf("there is no library %q that keeps %q events", name, keep)
	}
	dir, err := os.MkdirTemp("", "beside")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := libraries()[n].Open(dir, events)
	if err != nil {
		return err
	}
	return control.Server{Streams: server, Path: server.Path, History: server.History, Publish: server.Publish}.Run()
}

// buildMercure returns mercure, whose server is the program of a module of its
// own, built in the folder.
func buildMercure(dir string) (peers.Library, error) {
	l := peers.Library{Name: "mercure", Program: filepath.Join(dir, "mercure"), Durable: true}
	build := exec.Command("go", "build", "-o", l.Program, "github.com/gapless-go/gapless/benchmarks/mercure")
	if out, err := build.CombinedOutput(); err != nil {
		return l, fmt.Errorf("build benchmarks/mercure: %w: %s", err, out)
	}
	return l, nil
}
