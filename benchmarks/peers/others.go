package peers

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
)

func openGoSSE(_ string, keep int) (*Server, error) {
	replayer, err := gosse.NewFiniteReplayer(keep, true)
	if err != nil {
		return nil, err
	}
	return serveGoSSE(replayer), nil
}

func openGoSSEValid(string, int) (*Server, error) {
	replayer, err := gosse.NewValidReplayer(time.Hour, true)
	if err != nil {
		return nil, err
	}
	return serveGoSSE(replayer), nil
}

func serveGoSSE(replayer gosse.Replayer) *Server {
	s := &gosse.Server{Provider: &gosse.Joe{Replayer: replayer}}
	return &Server{
		Handler: s,
		Publish: func(data ...[]byte) error {
			for _, d := range data {
				var m gosse.Message
				m.AppendData(string(d))
				if err := s.Publish(&m); err != nil {
					return err
				}
			}
			return nil
		},
		Close: func() { within(s.Shutdown) },
	}
}

func openR3labs(string, int) (*Server, error) {
	s := r3labs.New()
	s.CreateStream("x")
	return &Server{
		Handler: s,
		Path:    "?stream=x",
		Publish: func(data ...[]byte) error {
			for _, d := range data {
				s.Publish("x", &r3labs.Event{Data: d})
			}
			return nil
		},
		Close: s.Close,
	}, nil
}

// numbered is an event of launchdarkly. Its repository compares ids as texts.
type numbered struct{ id, data string }

func (e numbered) Id() string    { return e.id } //nolint:revive,staticcheck // the name is theirs
func (e numbered) Event() string { return "" }
func (e numbered) Data() string  { return e.data }

func openLaunchDarkly(string, int) (*Server, error) {
	s := eventsource.NewServer()
	repository := eventsource.NewSliceRepository()
	s.Register("x", repository)
	n := 0
	return &Server{
		Handler: s.Handler("x"),
		Publish: func(data ...[]byte) error {
			for _, d := range data {
				e := numbered{fmt.Sprintf("%08d", n), string(d)}
				n++
				repository.Add("x", e) // first, so that a client which comes back misses none
				s.Publish([]string{"x"}, e)
			}
			return nil
		},
		Close: s.Close,
	}, nil
}

var (
	centrifugeEpoch  = regexp.MustCompile(`"epoch":"(\w+)"`)
	centrifugeOffset = regexp.MustCompile(`"offset":(\d+)`)
)

// openCentrifuge subscribes each client by the server. The client sends one
// command, in the URL.
func openCentrifuge(keep, queue int) (*Server, error) {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: queue})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: "x"},
			Subscriptions: map[string]centrifuge.SubscribeOptions{"x": {EnableRecovery: true}},
		}, nil
	})
	if err := node.Run(); err != nil {
		return nil, err
	}
	command := func(connect string) string {
		return "?cf_connect=" + url.QueryEscape(`{"id":1,"connect":`+connect+`}`)
	}
	return &Server{
		Handler: centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1}}),
		Path:    command("{}"),
		Publish: func(data ...[]byte) error {
			for _, d := range data {
				if _, err := node.Publish("x", d, centrifuge.WithHistory(keep, time.Hour)); err != nil {
					return err
				}
			}
			return nil
		},
		Again: func(seen []byte) (path, id string) {
			epoch := centrifugeEpoch.FindSubmatch(seen)
			offsets := centrifugeOffset.FindAllSubmatch(seen, -1)
			if epoch == nil || offsets == nil {
				return command("{}"), ""
			}
			return command(fmt.Sprintf(`{"subs":{"x":{"recover":true,"epoch":%q,"offset":%s}}}`, epoch[1], offsets[len(offsets)-1][1])), ""
		},
		Told:  func(got []byte) bool { return !bytes.Contains(got, []byte(`"recovered":true`)) },
		Close: func() { within(node.Shutdown) },
	}, nil
}

// within ends what might wait for a client that does not read.
func within(shutdown func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = shutdown(ctx)
}
