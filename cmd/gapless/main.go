// Command gapless follows, serves and looks after logs in stores that exist.
// docs/program.md is its manual; gapless help lists the commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gapless-go/gapless/cmd/gapless/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := command.Run(ctx, os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
