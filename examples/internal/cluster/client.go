package cluster

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

type clientResult struct {
	events int
	hops   int // connections after the first
	err    error
}

// follower is one client: what it has seen.
type follower struct {
	url    string
	want   int
	id     string // of the last event
	seq    uint64
	events int
}

// follow reads until it has want events. After every break it comes back with
// Last-Event-ID, as a browser does, and meets another server.
func follow(ctx context.Context, url string, want int) clientResult {
	f := follower{url: url, want: want}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for hops := 0; ; hops++ {
		err := f.connect(ctx, client)
		if err != nil || f.events == want || ctx.Err() != nil {
			return clientResult{events: f.events, hops: hops, err: err}
		}
		time.Sleep(10*time.Millisecond + rand.N(100*time.Millisecond))
	}
}

// connect reads one response. Its error says that an event is missing or came
// twice; a connection that breaks is none.
func (f *follower) connect(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"?after=beginning", http.NoBody)
	if err != nil {
		return err
	}
	if f.id != "" {
		request.Header.Set("Last-Event-ID", f.id)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil //nolint:nilerr // no server there: the next one is tried
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil
	}
	in := bufio.NewReaderSize(response.Body, 64<<10)
	var id, name string
	for f.events < f.want {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil //nolint:nilerr // the server was killed: what is cut does not count
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		field, value, _ := bytes.Cut(line, []byte(": "))
		switch string(field) {
		case "id":
			id = string(value)
		case "event":
			name = string(value)
		case "": // the frame is complete
			if err := f.take(name, id); err != nil {
				return err
			}
			name = ""
		}
	}
	return nil
}

// take checks one frame.
func (f *follower) take(name, id string) error {
	switch name {
	case "cdc.reset":
		return fmt.Errorf("reset after %s", f.id)
	case "":
	default:
		return nil // hello, live, checkpoint, reconnect
	}
	cursor, err := cdc.ParseCursor(id)
	if err != nil {
		return err
	}
	if cursor.Seq != f.seq+1 {
		return fmt.Errorf("event %d came after %d", cursor.Seq, f.seq)
	}
	f.seq, f.id = cursor.Seq, id
	f.events++
	return nil
}
