// Package report prints what a client program receives, one line of JSON each:
//
//	{"n":0,"event":"cdc.live","id":"…","data":"{}"}   a message of the n-th URL
//	{"n":0,"event":"#closed"}     the client gave up and will not reconnect
//	{"n":0,"event":"#recreate"}   the program made a new one, which resumes
package report

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// Plain programs show what the client does by itself: nothing is made anew.
func Plain() bool { return os.Getenv("E2E_PLAIN") == "1" }

// Line is one line of output.
type Line struct {
	N     int    `json:"n"` // of the URL
	Event string `json:"event"`
	ID    string `json:"id"`
	Data  string `json:"data"`
}

// Client follows a URL from the last id, which may be empty, and returns when
// it has given up.
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
	for n, url := range os.Args[1:] {
		group.Go(func() {
			last := ""
			for ctx.Err() == nil {
				follow(ctx, url, last, func(event, id, data string) {
					if id != "" {
						last = id
					}
					report(Line{n, event, id, data})
				})
				report(Line{N: n, Event: "#closed"})
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
