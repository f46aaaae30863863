package statuspage_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/webdriver"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// shifted is a log whose seqs are that much higher, and that fails as it is
// told.
type shifted struct {
	*memlog.Log
	by    uint64
	holes atomic.Uint64 // above the last event, up to the head
	hangs atomic.Bool   // Bounds, without a look at its ctx
	gone  chan struct{} // closed at the end of the test

	blind atomic.Bool // no subscription works
	stuck atomic.Bool // nor does a read of more than one event
}

var errBlind = errors.New("notifications: connection refused")

func newShifted(t *testing.T, by uint64) *shifted {
	t.Helper()
	l := &shifted{Log: memlog.New(nil), by: by, gone: make(chan struct{})}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func (l *shifted) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if l.hangs.Load() {
		<-l.gone
	}
	b, err := l.Log.Bounds(ctx)
	b.Floor, b.Head, b.Last = b.Floor+l.by, b.Head+l.by+l.holes.Load(), b.Last+l.by+l.holes.Load()
	return b, err
}

func (l *shifted) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if l.stuck.Load() && limit > 1 {
		return cdc.Page{}, errBlind
	}
	b, err := l.Bounds(ctx)
	if err == nil {
		err = b.Check(after)
	}
	if err != nil {
		return cdc.Page{}, err
	}
	newest := b.Head - l.by - l.holes.Load()
	page, err := l.Log.Read(ctx, cdc.Cursor{Epoch: after.Epoch, Seq: min(after.Seq-l.by, newest)}, limit)
	for i := range page.Events {
		page.Events[i].Seq += l.by
	}
	page.Next = max(page.Next+l.by, after.Seq)
	return page, err
}

func (l *shifted) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, _ cdc.Filter) (cdc.Page, error) {
	return l.Read(ctx, after, limit)
}

func (l *shifted) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	if l.blind.Load() {
		return nil, errBlind
	}
	sub, err := l.Log.Subscribe(ctx)
	return &shiftedSubscription{sub, l}, err
}

// shiftedSubscription only says that there is something.
type shiftedSubscription struct {
	cdc.Subscription
	log *shifted
}

func (s *shiftedSubscription) Next(ctx context.Context) ([]cdc.Event, error) {
	_, err := s.Subscription.Next(ctx)
	if s.log.blind.Load() {
		return nil, errBlind
	}
	return nil, err
}

const huge = 12345678901234567889

// Seqs have 64 bits; JavaScript's numbers have 53.
func TestThePageShowsSeqsAsTheyAre(t *testing.T) {
	log := newShifted(t, huge)
	s := serveLog(t, log, nil, nil)
	s.append(1)
	s.follow(url.Values{"after": {"beginning"}}, "cdc.live")
	b := webdriver.Start(t)
	b.Open(s.URL + "/some/where")
	b.Await("document.querySelectorAll('#list .status.live').length === 1")
	for _, c := range []struct{ selector, want string }{
		{"#head", "12345678901234567890"},
		{"#floor", "12345678901234567889"},
		{"#list .position", "12345678901234567890"},
		{"#range", "12345678901234567890"},
	} {
		var shown string
		b.Run("return document.querySelector('"+c.selector+"').textContent", &shown)
		if !strings.Contains(shown, c.want) {
			t.Errorf("%s shows %q, want %s in it", c.selector, shown, c.want)
		}
	}
}

// What was written for a client that reads 300 B/s waits in the buffers of the
// kernel: the page says that it was sent, and claims no more.
func TestThePageClaimsOnlyWhatIsKnownOfASlowClient(t *testing.T) {
	s := serve(t, nil, nil)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: %s\r\n\r\n", s.Listener.Addr())
		for piece := make([]byte, 30); ; time.Sleep(100 * time.Millisecond) {
			if _, err := conn.Read(piece); err != nil {
				return
			}
		}
	}()
	defer func() {
		_ = conn.Close()
		<-read
	}()
	s.await("the stream", func(d data) bool { return d.Streams.Live == 1 })
	s.append(100)
	s.await("everything to be written", func(d data) bool { return d.Sent.Events == 100 })

	b := webdriver.Start(t)
	b.Open(s.URL + "/some/where")
	b.Await("document.querySelector('#list .state')?.textContent === 'all sent' && document.querySelector('#list .behind').textContent === '0'")
	var shown string
	b.Run("return document.getElementById('streams').innerText + document.querySelector('.facts').innerText", &shown)
	for _, claim := range []string{"live", "behind"} {
		if strings.Contains(strings.ToLower(shown), claim) {
			t.Errorf("the page says %q of a client that has not read what was sent:\n%s", claim, shown)
		}
	}
	for _, want := range []string{"Sent up to", "To send", "only the client knows"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not say %q:\n%s", want, shown)
		}
	}
}

// A log that never answers holds up nobody, and is no log that can be reached.
func TestALogThatHangsIsUnreachable(t *testing.T) {
	log := newShifted(t, 0)
	s := serveLog(t, log, nil, nil)
	t.Cleanup(func() { close(log.gone) })
	s.append(1)
	s.await("the log", func(d data) bool { return d.Log.State == "reachable" })
	log.hangs.Store(true)
	d := s.await("the log to hang", func(d data) bool { return d.Log.State == "unreachable" })
	if !strings.Contains(d.Log.Error, "no answer within 1s") || d.Lag != nil {
		t.Errorf("got %+v, want the time that it had and no lag", d)
	}
}

// A log that answers, and a Hub that cannot follow it: the streams would be
// called live for ever.
func TestAHubThatCannotFollowIsShown(t *testing.T) {
	log := newShifted(t, 0)
	s := serveLog(t, log, nil, nil)
	s.append(1)
	s.follow(nil, "cdc.live")
	s.await("the log", func(d data) bool { return d.Log.State == "reachable" && d.Streams.Live == 1 })

	log.blind.Store(true)
	log.stuck.Store(true)
	s.append(4)
	d := s.await("the Hub to be behind", func(d data) bool { return d.Log.State == "unfollowed" && d.Log.Behind == "4" })
	if n := d.Verdict.Needs; len(n) != 1 || n[0].About != "log" || !strings.Contains(n[0].What, "cannot be followed") {
		t.Errorf("the verdict is %+v, want that it cannot be followed", d.Verdict)
	}
	if d.Log.Head != "5" || !strings.Contains(d.Log.Error, "connection refused") || d.Log.Error == "" {
		t.Errorf("got log %+v, want the head, and why", d.Log)
	}
	if d.Lag == nil || d.Lag.Behind != 1 || d.Lag.Slowest.Events != 4 || d.Lag.Slowest.Seconds < 0 || d.List[0].Lag.Events != 4 {
		t.Errorf("got lag %+v of %+v, want one stream that lacks 4", d.Lag, d.List)
	}
	log.blind.Store(false)
	log.stuck.Store(false)
	s.await("the Hub to follow", func(d data) bool { return d.Log.State == "reachable" && d.Log.Behind == "0" && d.Lag.Behind == 0 })
}

// The head may lie above the last event: nobody lacks a hole.
func TestAHoleAtTheHeadIsNotMissing(t *testing.T) {
	log := newShifted(t, 0)
	s := serveLog(t, log, nil, nil)
	s.append(2)
	s.await("the log", func(d data) bool { return d.Log.State == "reachable" && d.Log.Head == "2" })
	log.holes.Store(7)
	d := s.await("the hole", func(d data) bool { return d.Log.Head == "9" })
	if d.Log.State != "reachable" || d.Log.Behind != "0" || d.Log.Appended == nil {
		t.Errorf("got %+v, want nothing to be behind, and the time of the last event", d.Log)
	}
}

// What else would look well: a handler that turns everybody away.
func TestAHandlerThatTakesNobodyIsShown(t *testing.T) {
	s := serve(t, &sse.Options{Limits: sse.Limits{Streams: 1}}, nil)
	s.append(1)
	s.follow(nil, "cdc.live")
	b := webdriver.Start(t)
	b.Open(s.URL + "/some/where")
	b.Await("document.getElementById('open').className === 'bad' && document.getElementById('opennote').textContent === 'full'")

	s.handler.Report(errors.New("cdc: retain: disk full"))
	b.Await("document.querySelector('#errors li:not(.past)').textContent.includes('retain: disk full')")

	go func() { _ = s.handler.Drain(context.Background(), time.Minute) }() // ended by the end of the test
	b.Await("document.body.dataset.state === 'draining' && document.getElementById('opennote').textContent === 'draining'")
}

// A page of a log that was never reached knows nothing of it, and says so.
func TestALogThatWasNeverReached(t *testing.T) {
	log := newShifted(t, 0)
	log.hangs.Store(true)
	s := serveLog(t, log, nil, &statuspage.Options{})
	t.Cleanup(func() { close(log.gone) })
	d := s.await("an answer", func(data) bool { return true })
	if d.Verdict.Well || d.Log.State != "waiting" || d.Log.Answered != nil || d.Log.Appended != nil || d.Log.Error == "" || d.Lag != nil {
		t.Errorf("got %+v, want waiting, and why", d)
	}
}
