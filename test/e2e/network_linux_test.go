package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// A laptop changes networks: Chromium gives up its connections over HTTP/2 when
// an address of the machine comes or goes. Each of its clients is exact.
func TestNetworksThatChange(t *testing.T) {
	t.Parallel()
	if testserver.RanApart(t) {
		return
	}
	needChromium(t)
	log := memlog.New(nil)
	t.Cleanup(func() { log.Close() })
	handler := newHandler(t, log, &sse.Options{Heartbeat: 300 * time.Millisecond, Retry: 50 * time.Millisecond})
	mux := http.NewServeMux()
	mux.Handle("/events", handler)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	url := serve(t, mux, true, nil).URL + "/events?after=beginning"
	cs := &crossings{t: t, log: log}
	for _, k := range slices.Concat(kinds, others) {
		if k.browser {
			c := &crossing{t: t, client: k.name, hop: &hop{fault: fault{name: "changes networks"}}, next: 1, events: map[string]uint64{}}
			cs.all = append(cs.all, c)
			k.start(t, nil, c.line, url)
		}
	}
	const changes = 6
	n := cs.append(0)
	for range changes {
		cs.await(uint64(n), patience) // they are connected
		if err := testserver.IP(t.Context(), "link", "add", "here", "type", "veth", "peer", "name", "there"); err != nil {
			testserver.Missing(t, "netns", err.Error())
		}
		mustIP(t, "addr", "add", "10.213.0.1/30", "dev", "here")
		mustIP(t, "link", "set", "here", "up")
		for range 5 {
			n = cs.append(n)
			time.Sleep(20 * time.Millisecond)
		}
		mustIP(t, "link", "del", "here")
	}
	cs.await(uint64(n), patience)
	cs.judge()
	st := handler.Status()
	t.Logf("%d streams for %d clients, ended: %v", st.Opened, len(cs.all), st.Ended)
	if st.Ended[sse.EndClient] < changes {
		t.Errorf("%d changes of the network ended %d streams: this test shows nothing", changes, st.Ended[sse.EndClient])
	}
}

func mustIP(t *testing.T, args ...string) {
	t.Helper()
	if err := testserver.IP(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}
