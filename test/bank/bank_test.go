package bank_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

// size of a campaign: rounds of so many transfers and strikes each, with a term
// of the lease.
type size struct {
	rounds, transfers, strikes int
	term                       time.Duration
}

// pick is the size of TestBank: 200,000 transfers with GAPLESS_SOAK.
func pick() size {
	if os.Getenv("GAPLESS_SOAK") != "" {
		return size{100, 2_000, 2, 4 * time.Second}
	}
	return size{1, 400, 4, 500 * time.Millisecond}
}

// store of a campaign.
type store struct {
	name    string
	strikes []strike // by turns
	start   func(t *testing.T) (driver, dsn string)
}

var stores = []store{
	{"postgres", []strike{kill, freeze}, func(t *testing.T) (string, string) {
		return "postgres", testserver.StartPostgres(t).DSN("postgres")
	}},
	{"mariadb", []strike{kill, freeze}, func(t *testing.T) (string, string) {
		return "mysql", testserver.StartMariaDB(t).DSN("mysql")
	}},
	{"redis", []strike{kill, freeze}, func(t *testing.T) (string, string) { return "redis", testserver.StartRedis(t).Addr }},
	{"sqlite", []strike{kill, between}, func(t *testing.T) (string, string) {
		return "sqlite", "file:" + filepath.Join(t.TempDir(), "bank.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	}},
	{"bolt", []strike{kill, rest}, func(t *testing.T) (string, string) { return "bolt", filepath.Join(t.TempDir(), "bank.db") }},
}

// TestBank moves money while the instances die: every transfer takes effect once.
func TestBank(t *testing.T) {
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			if v := campaign(t, s, pick(), true); v.doubled+v.lost+v.wrong > 0 {
				t.Errorf("%v, want every transfer once", v)
			}
		})
	}
}

// TestBankWithoutFencing: what TestBank looks for is there when no revision is
// compared. Instances are stopped outside of their transactions, since a
// database ends that of one that is stopped in it.
func TestBankWithoutFencing(t *testing.T) {
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			s.strikes = []strike{rest}
			if s.name == "sqlite" {
				s.strikes = []strike{between}
			}
			if v := campaign(t, s, size{1, 200, 3, 500 * time.Millisecond}, false); v.doubled == 0 {
				t.Errorf("%v: the campaign has found no doubled effect without fencing", v)
			}
		})
	}
}

// takeover is how soon another instance works by default, and slack is for
// machines that are busy.
const takeover, slack = 5 * time.Second, 5

// TestTakeover kills with the default term.
func TestTakeover(t *testing.T) {
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.strikes = []strike{kill}
			if v := campaign(t, s, size{1, 100, 2, 4 * time.Second}, true); v.worst > slack*takeover {
				t.Errorf("%v, want a takeover within %v, or at most %d times that", v, takeover, slack)
			}
		})
	}
}

// verdict of a campaign.
type verdict struct {
	transfers, kills, stops int
	doubled, lost, wrong    int           // effects; accounts with a wrong balance
	worst                   time.Duration // takeover
	took                    time.Duration
}

func (v verdict) String() string {
	return fmt.Sprintf("%d transfers, %d kills, %d stops: %d doubled, %d lost, %d wrong balances, worst takeover %v, %v in all",
		v.transfers, v.kills, v.stops, v.doubled, v.lost, v.wrong, v.worst.Round(time.Millisecond), v.took.Round(time.Second))
}

// campaign logs the verdict after each round, over all rounds until then. It ends
// early if the time that the test has is not enough for another one.
func campaign(t *testing.T, s store, size size, fenced bool) verdict {
	t.Helper()
	driver, dsn := s.start(t)
	l := newLedger(t, spec{driver, dsn, size.term, fenced})
	var v verdict
	begin := time.Now()
	for i := range size.rounds {
		end, limited := t.Deadline()
		if each := v.took / time.Duration(max(i, 1)); limited && i > 0 && time.Until(end) < 2*each {
			t.Logf("%d of %d rounds were run", i, size.rounds)
			break
		}
		l.round(&v, s, size, i*size.transfers)
		v.took = time.Since(begin)
		v.compare(t, l.read(), (i+1)*size.transfers)
		t.Log(v)
	}
	return v
}

// attacked is a ledger with the instances that work on it.
type attacked struct {
	ledger

	in *instances
}

func newLedger(t *testing.T, s spec) attacked {
	t.Helper()
	if s.driver == "bolt" {
		in := startInstances(t, s)
		return attacked{locked{in, s.dsn}, in}
	}
	b, err := open(t.Context(), s.driver, s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	if sql, ok := b.(*sqlBank); ok {
		if err := sql.addAccounts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return attacked{&shared{t: t, b: b}, startInstances(t, s)}
}

// round adds transfers to the n that are there, while the instances are struck.
func (l attacked) round(v *verdict, s store, size size, n int) {
	last := n + size.transfers
	l.append(n + size.transfers/4)
	l.in.waitActive()
	chunk := (size.transfers - size.transfers/4) / (2 * size.strikes)
	n += size.transfers / 4
	for i := range size.strikes {
		n += chunk
		l.append(n)
		time.Sleep(rand.N(50 * time.Millisecond)) // it is at work
		what := s.strikes[i%len(s.strikes)]
		took := l.in.strike(what, func() {
			n += chunk
			l.append(n)
			time.Sleep(rand.N(size.term / 4)) // the follower works
		})
		v.worst = max(v.worst, took)
		if what == kill {
			v.kills++
		} else {
			v.stops++
		}
	}
	l.append(last)
	l.wait(last)
	time.Sleep(size.term / 2) // one that was stopped may try to commit still
}
