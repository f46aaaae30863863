// Package e2e_test follows a handler with the clients that people use.
package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

const events = 10_000

// follow runs a client until the event with the last seq has come and tells
// of each line: "event <seq>" or "<name> <id>".
type follow func(ctx context.Context, t *testing.T, url string, last uint64, line func(string)) error

var clients = []struct {
	name   string
	follow follow
	flaws  string // why it is not exact, if it is not
}{
	{"Chromium", inChromium, ""},
	{"eventsource@4.1.1 (Node)", inNode("eventsource"), ""},
	{"eventsource-client@1.2.0 (Node)", inNode("eventsource-client"), ""},
	{"@microsoft/fetch-event-source@2.0.1 (Node)", inNode("fetch-event-source"), "keeps the id of a frame that is cut before its blank line, and so skips the event"},
	{"launchdarkly/eventsource (Go)", withLaunchDarkly, ""},
	{"tmaxmax/go-sse v0.12.0 (Go)", withTmaxmax, ""},
	{"r3labs/sse v2.10.0 (Go)", withR3labs, "takes the part of a frame before a cut for a whole one"},
}

// TestClients has each client follow 10,000 events through a proxy that cuts at
// random bytes, across a drain and a killed server.
func TestClients(t *testing.T) {
	var table strings.Builder
	for _, c := range clients {
		ok := t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
			defer cancel()
			o := newOrigin(t)
			var seen []uint64
			names := map[string]int{}
			done, started := make(chan error, 1), make(chan struct{})
			var once sync.Once
			var mu sync.Mutex // some clients go on for a while
			go func() {
				done <- c.follow(ctx, t, o.url, events, func(line string) {
					once.Do(func() { close(started) })
					mu.Lock()
					defer mu.Unlock()
					name, value, _ := strings.Cut(line, " ")
					names[name]++
					if name == "event" {
						seq, _ := strconv.ParseUint(value, 10, 64)
						seen = append(seen, seq)
					}
				})
			}()
			o.feed(ctx, events, started)
			var err error
			select {
			case err = <-done:
			case <-ctx.Done():
				err = ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			result := "exact"
			if problem := judge(seen, err); problem != "" {
				result = "**not exact**: " + problem
				if c.flaws == "" {
					t.Error(problem)
				} else {
					result += " — it " + c.flaws
				}
			}
			t.Logf("%d connections, frames %v, %s", o.proxy.cuts, names, result)
			fmt.Fprintf(&table, "| %s | %s | %d |\n", c.name, result, o.proxy.cuts)
		})
		if !ok {
			fmt.Fprintf(&table, "| %s | failed or not run here | |\n", c.name)
		}
	}
	if file := os.Getenv("GAPLESS_E2E_TABLE"); file != "" {
		if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// judge says how what arrived differs from 1 to events.
func judge(seen []uint64, err error) string {
	for i, seq := range seen {
		if seq != uint64(i+1) {
			return fmt.Sprintf("event %d in place of %d", seq, i+1)
		}
	}
	if len(seen) != events {
		return fmt.Sprintf("%d events of %d: %v", len(seen), events, err)
	}
	return ""
}

func inNode(kind string) follow {
	return func(ctx context.Context, t *testing.T, url string, last uint64, line func(string)) error {
		return runNode(ctx, t, line, "client.mjs", kind, url, strconv.FormatUint(last, 10))
	}
}

func inChromium(ctx context.Context, t *testing.T, url string, last uint64, line func(string)) error {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	return runNode(ctx, t, line, "chromium.mjs", path, page(t), url, strconv.FormatUint(last, 10))
}

func runNode(ctx context.Context, t *testing.T, line func(string), args ...string) error {
	if _, err := os.Stat("node/node_modules"); err != nil {
		t.Skip("run npm ci in e2e/node first, as make e2e does")
	}
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = "node"
	cmd.WaitDelay = 5 * time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		text := stderr.String()
		return fmt.Errorf("%w: %s", err, text[max(0, len(text)-500):])
	}
	return nil
}

// lineOf is the line for a frame.
func lineOf(name, id string) (line string, seq uint64) {
	if name == "" || name == "message" {
		c, err := cdc.ParseCursor(id)
		if err != nil {
			return "event ?" + id, 0
		}
		return fmt.Sprint("event ", c.Seq), c.Seq
	}
	return name + " " + id, 0
}

func withLaunchDarkly(ctx context.Context, _ *testing.T, url string, last uint64, line func(string)) error {
	stream, err := eventsource.SubscribeWithURL(url,
		eventsource.StreamOptionCanRetryFirstConnection(-1),
		eventsource.StreamOptionInitialRetry(20*time.Millisecond),
		eventsource.StreamOptionErrorHandler(func(error) eventsource.StreamErrorHandlerResult {
			return eventsource.StreamErrorHandlerResult{}
		}))
	if err != nil {
		return err
	}
	defer func() {
		go func() {
			for range stream.Events { // Close waits for an event that nobody takes
			}
		}()
		stream.Close()
	}()
	for {
		select {
		case e := <-stream.Events:
			text, seq := lineOf(e.Event(), e.Id())
			line(text)
			if seq == last {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func withTmaxmax(ctx context.Context, _ *testing.T, url string, last uint64, line func(string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := tmaxmax.Client{Backoff: tmaxmax.Backoff{InitialInterval: 20 * time.Millisecond}}
	connection := client.NewConnection(request)
	connection.SubscribeToAll(func(e tmaxmax.Event) {
		text, seq := lineOf(e.Type, e.LastEventID)
		line(text)
		if seq == last {
			cancel()
		}
	})
	return connection.Connect()
}

func withR3labs(ctx context.Context, _ *testing.T, url string, last uint64, line func(string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := r3labs.NewClient(url)
	for ctx.Err() == nil { // it takes a clean end for the end
		err := client.SubscribeRawWithContext(ctx, func(e *r3labs.Event) {
			text, seq := lineOf(string(e.Event), string(e.ID))
			line(text)
			if seq == last {
				cancel()
			}
		})
		if err != nil && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
	return ctx.Err()
}
