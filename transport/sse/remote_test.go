package sse_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func newRemote(t testing.TB, address string, opts *sse.RemoteOptions) *sse.Remote {
	t.Helper()
	r, err := sse.NewRemote(address, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestRemoteReadsExactly(t *testing.T) {
	s := serve(t, nil, nil)
	ctx := t.Context()
	data := []string{"{\"a\":1}\n", "{\r\n}", "", "\x00\xff", ` 1 `, "plain"}
	for i, d := range data {
		e := cdc.Event{ID: strconv.Itoa(i), Topic: "t\n", Type: "ä", Key: "\"k\"", Data: []byte(d), Meta: map[string]string{"trace": "1\n2"}}
		if _, err := s.log.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	remote := newRemote(t, s.URL, nil)
	want, err := s.log.Bounds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	bounds, err := remote.Bounds(ctx)
	if err != nil || bounds != want {
		t.Fatalf("bounds %+v, %v; want %+v", bounds, err, want)
	}
	for limit := 1; limit <= len(data)+1; limit++ {
		at := cdc.Cursor{Epoch: bounds.Epoch}
		var got []cdc.Event
		for {
			page, err := remote.Read(ctx, at, limit)
			if err != nil {
				t.Fatal(err)
			}
			if page.Next == at.Seq {
				break
			}
			if len(page.Events) > limit {
				t.Fatalf("%d events, limit %d", len(page.Events), limit)
			}
			got = append(got, page.Events...)
			at.Seq = page.Next
		}
		origin, err := s.log.Read(ctx, cdc.Cursor{Epoch: bounds.Epoch}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if len(got[i].Data) == 0 && len(origin.Events[i].Data) == 0 {
				got[i].Data = origin.Events[i].Data
			}
			if !reflect.DeepEqual(got[i], origin.Events[i]) {
				t.Errorf("limit %d: event %+v, want %+v", limit, got[i], origin.Events[i])
			}
		}
		if len(got) != len(data) {
			t.Errorf("limit %d: %d events, want %d", limit, len(got), len(data))
		}
	}
}

func TestRemoteErrors(t *testing.T) {
	s := serve(t, nil, nil)
	receipt := appendData(t, s.log, `1`, `2`, `3`)
	if _, err := s.log.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	remote := newRemote(t, s.URL, nil)
	for reason, c := range map[cdc.Reason]cdc.Cursor{
		cdc.ReasonTruncated: {Epoch: receipt.Epoch, Seq: 1},
		cdc.ReasonFuture:    {Epoch: receipt.Epoch, Seq: 9},
		cdc.ReasonForeign:   {Epoch: "other", Seq: 3},
		cdc.ReasonDiverged:  {Epoch: receipt.Epoch, Seq: 3, Tag: "AAAAAAAAAAA"},
	} {
		_, err := remote.Read(t.Context(), c, 10)
		if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != reason || reset.Floor != 2 || reset.Head != 3 {
			t.Errorf("%s: error %v", reason, err)
		}
	}
	missing := newRemote(t, s.URL+"?after=", &sse.RemoteOptions{Prepare: func(r *http.Request) error {
		r.URL.RawQuery = "heartbeat=never"
		return nil
	}})
	if _, err := missing.Subscribe(t.Context()); err == nil {
		t.Error("a status of 400 was taken for a subscription")
	} else if status, ok := errors.AsType[*sse.StatusError](err); !ok || status.Status != 400 {
		t.Errorf("error %v, want status 400", err)
	}
	if _, err := sse.NewRemote("no url", nil); err == nil {
		t.Error("an address without a host was accepted")
	}
}

// cuttingProxy passes connections on and cuts each after a random number of
// bytes of the response, but not before least.
type cuttingProxy struct {
	net.Listener
	mu     sync.Mutex
	target string
	group  sync.WaitGroup
}

func cutting(t testing.TB, target string, most int64) *cuttingProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cuttingProxy{Listener: l, target: target}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.pass(client, 1+rand.Int64N(most)) })
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return p
}

func (p *cuttingProxy) redirect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *cuttingProxy) pass(client net.Conn, bytes int64) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := client.Read(buf)
			if err != nil {
				_ = server.Close()
				return
			}
			_, _ = server.Write(buf[:n])
		}
	}()
	buf := make([]byte, 4096)
	for bytes > 0 {
		n, err := server.Read(buf[:min(bytes, int64(len(buf)))])
		if err != nil {
			return
		}
		bytes -= int64(n)
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestHubOnARemoteLog is an edge process: clients of a handler on a Hub on a
// remote log, through a proxy that cuts, while the origin is appended to and
// restarted.
func TestHubOnARemoteLog(t *testing.T) {
	const events = 2000
	log := memlog.New(nil)
	options := &sse.Options{Retry: 10 * time.Millisecond, Heartbeat: 100 * time.Millisecond}
	origin := serve(t, log, options)
	proxy := cutting(t, origin.Listener.Addr().String(), 40_000)
	remote := newRemote(t, "http://"+proxy.Addr().String(), &sse.RemoteOptions{
		Silence: 2 * time.Second, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
	edge := serveLog(t, remote, options)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	var group sync.WaitGroup
	for c := range 10 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(c)))
			if err := cutClient(ctx, edge.Listener.Addr().String(), "/?after=beginning", r, events); err != nil {
				t.Errorf("client %d: %v", c, err)
			}
		})
	}
	for i := range events {
		appendData(t, log, strconv.Itoa(i))
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
		if i == events/2 { // the origin moves
			second := serve(t, log, options)
			proxy.redirect(second.Listener.Addr().String())
			if err := origin.handler.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	group.Wait()
}

func TestRemoteEndsWhenTheEpochChanges(t *testing.T) {
	s := serve(t, nil, nil)
	appendData(t, s.log, `1`)
	remote := newRemote(t, s.URL, nil)
	sub, err := remote.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	appendData(t, s.log, `2`)
	if events, err := sub.Next(t.Context()); err != nil || len(events) != 1 || string(events[0].Data) != `2` {
		t.Fatalf("events %v, %v; want the second", events, err)
	}
	if _, err := s.log.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = sub.Next(t.Context())
	if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonEpochChanged {
		t.Errorf("error %v, want a reset: epoch-changed", err)
	}
}

func TestRemoteNoticesSilence(t *testing.T) {
	s := serve(t, nil, &sse.Options{Retry: time.Millisecond})
	var told errorLog
	remote := newRemote(t, s.URL, &sse.RemoteOptions{Silence: 50 * time.Millisecond, OnError: told.add})
	sub, err := remote.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	appendData(t, s.log, `1`)
	if events, err := sub.Next(t.Context()); err != nil || len(events) != 1 {
		t.Errorf("events %v, %v", events, err)
	}
	if told.all() == "[]" {
		t.Error("no reconnect was told")
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
	if err := sub.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

// TestBehindAReverseProxy follows through net/http/httputil.
func TestBehindAReverseProxy(t *testing.T) {
	s := serve(t, nil, nil)
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &server{Server: httptest.NewServer(httputil.NewSingleHostReverseProxy(target))}
	defer proxy.Close()
	f := proxy.follow(t, "?after=beginning")
	f.want("cdc.hello")
	f.want("cdc.live")
	for i := range 10 {
		appendData(t, s.log, fmt.Sprint(i))
		f.wantPayload(fmt.Sprint(i))
	}
	f.close()
}
