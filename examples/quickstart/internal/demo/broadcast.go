package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

// buffered is how many events wait for a client, which is generous: the feed
// loses none because a browser is slow.
const buffered = 4096

// broadcast is a feed as it is often written by hand: a channel for each client
// that is connected, and every event into every channel. Whoever is not
// connected at that moment does not get it, and nobody knows what was missed.
type broadcast struct {
	ended chan struct{}

	mu      sync.Mutex
	clients map[chan string]struct{}
}

// send hands the event to those who are connected.
func (b *broadcast) send(event cdc.Event) {
	text, err := json.Marshal(map[string]string{"seq": fmt.Sprint(event.Seq), "topic": event.Topic, "type": event.Type, "key": event.Key})
	if err != nil {
		panic(err) // they are texts
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for client := range b.clients {
		select {
		case client <- string(text):
		default: // it does not read
		}
	}
}

// ServeHTTP streams what is sent from now on.
func (b *broadcast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client := make(chan string, buffered)
	b.mu.Lock()
	b.clients[client] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.clients, client)
	}()

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	fmt.Fprint(w, "retry: 1000\n\n") // as long as the quickstart's own stream lets clients wait
	for out.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-b.ended:
			return
		case text := <-client:
			fmt.Fprintf(w, "data: %s\n\n", text)
		}
	}
}
