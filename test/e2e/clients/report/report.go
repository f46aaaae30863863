// Package report prints what a client program receives, one line of JSON each:
//
//	{"n":0,"event":"cdc.live","id":"…","data":"{}"}   a message of the n-th URL
//	{"n":0,"event":"#closed"}     the client gave up and will not reconnect
//	{"n":0,"event":"#silent"}     nothing came for too long: the program ended it
//	{"n":0,"event":"#position"}   the stream began elsewhere: the program ended it
//	{"n":0,"event":"#recreate"}   the program made a new one, which resumes
//	{"n":0,"event":"#error","data":"…"}   the client says what failed, and goes on
package report

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// Plain programs show what the client does by itself: nothing is made anew.
func Plain() bool { return os.Getenv("E2E_PLAIN") == "1" }

// ReadTimeout is the time after which a client that can is to take a stream for
// dead, 0 for never.
func ReadTimeout() time.Duration { return milliseconds("E2E_READ_TIMEOUT") }

// silence is the time after which Run takes a stream without messages for dead,
// 0 for never.
func silence() time.Duration { return milliseconds("E2E_SILENCE") }

func milliseconds(variable string) time.Duration {
	n, _ := strconv.Atoi(os.Getenv(variable)) // 0 if there is none
	return time.Duration(n) * time.Millisecond
}

// Line is one line of output.
type Line struct {
	N     int    `json:"n"` // of the URL
	Event string `json:"event"`
	ID    string `json:"id"`
	Data  string `json:"data"`
}

// Client follows a URL from the last id, which may be empty, and returns when
// it has given up or ctx has ended.
type Client func(ctx context.Context, url, last string, message func(event, id, data string))

// Run follows the URLs in the arguments until standard input ends.
func Run(follow Client) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // its end ends the program
		cancel()
	}()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	report := func(l Line) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(l) // the test sees that lines are missing
	}
	var group sync.WaitGroup
	for n, address := range os.Args[1:] {
		group.Go(func() {
			last := ""
			for ctx.Err() == nil {
				c := &connection{url: address, last: last, report: func(event, id, data string) { report(Line{n, event, id, data}) }}
				why := c.follow(ctx, follow)
				last = c.last
				report(Line{N: n, Event: why})
				if Plain() {
					return
				}
				time.Sleep(200*time.Millisecond + rand.N(300*time.Millisecond))
				report(Line{N: n, Event: "#recreate"})
			}
		})
	}
	if Plain() {
		<-ctx.Done()
		return
	}
	group.Wait()
}

// connection is one client, until it gives up or is ended.
type connection struct {
	url, last string
	report    func(event, id, data string)

	mu     sync.Mutex
	ended  string // why, if it was ended
	cancel context.CancelFunc
}

// follow returns why the client has ended.
func (c *connection) follow(ctx context.Context, client Client) string {
	ctx, c.cancel = context.WithCancel(ctx)
	defer c.cancel()
	alive := func() {}
	if d := silence(); d > 0 {
		timer := time.AfterFunc(d, func() { c.end("#silent") })
		defer timer.Stop()
		alive = func() { timer.Reset(d) }
	}
	client(ctx, resuming(c.url, c.last), c.last, func(event, id, data string) {
		alive()
		c.message(event, id, data)
	})
	c.end("#closed")
	return c.ended
}

func (c *connection) message(event, id, data string) {
	if event == "cdc.hello" && !Plain() && !c.beginsAfter(data) {
		c.end("#position")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != "" {
		return
	}
	if id != "" {
		c.last = id
	}
	c.report(event, id, data)
}

// beginsAfter reports whether a stream with this hello begins after the last
// message: a hop may have dropped the position.
func (c *connection) beginsAfter(hello string) bool {
	var body struct{ From string }
	err := json.Unmarshal([]byte(hello), &body)
	return err == nil && (c.last == "" || body.From == c.last)
}

func (c *connection) end(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == "" {
		c.ended = why
		c.cancel()
	}
}

// resuming is the URL that goes on after the id, for a hop that drops
// Last-Event-ID.
func resuming(address, last string) string {
	u, err := url.Parse(address)
	if err != nil || last == "" {
		return address
	}
	query := u.Query()
	query.Set("after", last)
	u.RawQuery = query.Encode()
	return u.String()
}
