package statuspage_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	"github.com/gapless-go/gapless/internal/webdriver"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	redislog "github.com/gapless-go/gapless/source/redis"
	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/transport/sse"
)

// store is a log whose server can be killed and started again.
type store struct {
	log         cdc.Log
	backend     string
	kill, start func()
}

func redisStore(t *testing.T) store {
	t.Helper()
	server := testserver.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	log, err := redislog.Open(t.Context(), client, "events", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = log.Close()
		_ = client.Close()
	})
	return store{log, "redis gapless:{events}:log", server.Kill, func() { server.Restart() }}
}

func postgresStore(t *testing.T) store {
	t.Helper()
	server := testserver.StartPostgres(t)
	db, err := sql.Open("postgres", server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := sqllog.Open(t.Context(), db, "events", &sqllog.Options{ListenDSN: server.DSN("postgres")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = log.Close()
		_ = db.Close()
	})
	return store{log, "postgres events", server.Kill, func() { server.Start(t) }}
}

// While the log is away the page says so first, nothing is green, and how much
// is to be sent is not known. When it is back, the errors are past.
func TestThePageWhileTheServerOfTheLogIsKilled(t *testing.T) {
	b := webdriver.Start(t)
	for name, open := range map[string]func(*testing.T) store{"redis": redisStore, "postgres": postgresStore} {
		t.Run(name, func(t *testing.T) {
			log := open(t)
			s := serveLog(t, log.log, &sse.Options{Retry: time.Minute}, nil)
			s.append(3)
			for range 6 {
				s.follow(nil, "cdc.live")
			}
			b.Open(s.URL + "/some/where")
			b.Await("document.querySelectorAll('#list .status.live').length === 6")
			checkReachable(t, s, b, log.backend, "3")

			killed := time.Now()
			log.kill()
			checkAway(t, s, b, killed)

			log.start()
			d := s.await("the log to be back", func(d data) bool { return d.Log.State == "reachable" })
			if d.Errors.Count == 0 || !d.Errors.Recent[0].Past || d.Lag == nil || d.Streams.Live != 6 {
				t.Errorf("back: got %+v, want the errors to be past and six streams", d)
			}
			s.append(1)
			b.Await("document.querySelectorAll('#list .status.live').length === 6 && document.querySelectorAll('#errors li.past').length > 0")
			b.Await("!document.querySelector('#errors li:not(.past)') && document.getElementById('failures').className === ''")
			b.Await("document.getElementById('head').textContent === '4'")
			checkReachable(t, s, b, log.backend, "4")
		})
	}
}

func checkReachable(t *testing.T, s *site, b *webdriver.Browser, backend, head string) {
	t.Helper()
	d := s.await("the log in the status", func(d data) bool { return d.Log.State == "reachable" && d.Log.Head == head })
	l := d.Log
	if l.Backend != backend || l.Epoch == "" || l.Floor != "0" || l.Error != "" || l.Answered == nil || l.Behind != "0" || d.Lag == nil {
		t.Errorf("got log %+v of %+v, want all of it, and the lag", l, d)
	}
	if l.Appended == nil || time.Since(*l.Appended) < -time.Second || time.Since(*l.Appended) > patience {
		t.Errorf("the last append is %v, want a moment ago", l.Appended)
	}
	b.Await("document.body.dataset.state === 'live' && document.getElementById('state').textContent === 'log reachable'")
	b.Await("document.querySelector('main, section') === document.getElementById('verdict') && document.getElementById('verdict').nextElementSibling.id === 'log'")
	shows(b, "All is well")
	var shown string
	b.Run("return document.getElementById('log').innerText", &shown)
	for _, want := range []string{backend, l.Epoch, "reachable for ", " ago"} {
		if !strings.Contains(strings.Join(strings.Fields(shown), " "), want) {
			t.Errorf("the card of the log is %q, want %q in it", shown, want)
		}
	}
}

func checkAway(t *testing.T, s *site, b *webdriver.Browser, killed time.Time) {
	t.Helper()
	d := s.await("the log to be away", func(d data) bool { return d.Log.State == "unreachable" && d.Errors.Count > 0 })
	if d.Log.Error == "" || d.Log.Head != "3" || d.Log.Answered == nil || d.Lag != nil || d.Streams.Live != 0 || d.Streams.Waiting != 6 {
		t.Errorf("away: got %+v, want an error, the head that was seen last, no lag, and six streams that wait", d)
	}
	if since := d.Log.Since; since.Before(killed.Add(-time.Second)) || since.After(time.Now()) {
		t.Errorf("away since %v, want after %v", since, killed)
	}
	for _, one := range d.List {
		if one.Lag != nil || one.State != "waiting" {
			t.Errorf("away: a stream is %+v, want waiting and no lag", one)
		}
	}
	if n := d.Verdict.Needs; len(n) != 1 || n[0].About != "log" || n[0].Since == nil || !n[0].Since.Equal(d.Log.Since) {
		t.Errorf("away: the verdict is %+v, want the log, and since when", d.Verdict)
	}
	b.Await("document.body.dataset.state === 'away' && document.getElementById('state').textContent === 'log unreachable'")
	shows(b, "One thing needs you", "The log cannot be reached: nobody gets new events. for ", "See that the store runs")
	b.Await("document.getElementById('log').dataset.state === 'unreachable' && document.getElementById('logerror').textContent !== ''")
	b.Await("!document.querySelector('#list .status.live, #split .live') && [...document.querySelectorAll('#list .behind')].every((td) => td.textContent === '?')")
	b.Await("document.getElementById('slowest').textContent === '?' && document.querySelector('#lagchart output').textContent === 'unknown'")
	b.Await("document.querySelector('#errors li:not(.past)') && document.getElementById('failures').className === 'bad'")
	if found := b.Audit(); len(found) > 0 {
		t.Errorf("away: %s", strings.Join(found, "\n"))
	}
}

// An application that closes its database under the handler has ended the log.
func TestALogThatIsClosedIsShownAsEnded(t *testing.T) {
	log, err := boltlog.OpenFile(t.Context(), filepath.Join(t.TempDir(), "log.db"), "events", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := serveLog(t, log, nil, nil)
	s.append(1)
	s.await("the log", func(d data) bool {
		return d.Log.State == "reachable" && d.Log.Backend == "bolt events" && d.Log.Head == "1"
	})
	_ = log.DB().Close()
	d := s.await("the end of the log", func(d data) bool { return d.Log.State == "ended" })
	if !strings.Contains(d.Log.Error, "closed") || d.Lag != nil || len(d.Verdict.Needs) != 1 || !strings.Contains(d.Verdict.Needs[0].What, "closed for good") {
		t.Errorf("got %+v, want the reason and no lag", d)
	}
	_ = log.Close()
}
