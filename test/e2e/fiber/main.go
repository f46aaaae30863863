// Command fiber serves a stream behind fiber's adaptor: a process of its own,
// because fasthttp has goroutines that nobody can end.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "`host:port` to listen on")
	flag.Parse()
	if err := run(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "fiber:", err)
		os.Exit(1)
	}
}

func run(addr string) error {
	stream, err := sse.NewHandler(memlog.New(nil), nil)
	if err != nil {
		return err
	}
	app := fiber.New()
	app.Get("/healthz", func(c fiber.Ctx) error { return c.SendString("ok") })
	app.All("/events", adaptor.HTTPHandler(stream))
	return app.Listen(addr, fiber.ListenConfig{DisableStartupMessage: true})
}
