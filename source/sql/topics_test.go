package sqllog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// touched counts what the server touches while f runs: pages on PostgreSQL and
// SQLite, requests for pages on MariaDB.
func touched(t *testing.T, v variant, db *sqlx.DB, f func()) int {
	t.Helper()
	if v.name != "mariadb" {
		return pagesOf(t, db, f)
	}
	requests := func() (n int) {
		var name string
		if err := db.QueryRow("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_read_requests'").Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := requests()
	f()
	return requests() - before
}

// A filter of a few topics reads what it selects, however much there is of others.
func TestTopicsAreFoundByTheIndex(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			l, db := v.fresh(t)
			db.SetMaxOpenConns(3)
			after := cdc.Cursor{Epoch: epochOf(t, l)}
			fill := func(rounds int) {
				for range rounds {
					events := make([]cdc.Event, 0, 500)
					for n := range 500 {
						events = append(events, cdc.Event{Topic: fmt.Sprint("other", n%50), Data: make([]byte, 300)})
					}
					if _, err := l.Append(t.Context(), events...); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err := l.Append(t.Context(), cdc.Event{Topic: "rare"}, cdc.Event{Topic: "Rare"}, cdc.Event{Topic: "scarce"}); err != nil {
				t.Fatal(err)
			}
			fill(2)
			f := cdc.Filter{Topics: []string{"rare", "scarce", "none"}}
			read := func() {
				b, err := l.Bounds(t.Context())
				page, rerr := l.ReadFiltered(t.Context(), after, 500, f)
				if err = errors.Join(err, rerr); err != nil || len(page.Events) != 2 || page.Next != b.Head || page.Tag == "" {
					t.Fatalf("%d events up to %d, tag %q, %v: want 2 up to %d", len(page.Events), page.Next, page.Tag, err, b.Head)
				}
			}
			read()
			if v.name == "sqlite" {
				planIsByIndex(t, db)
				return
			}
			few := touched(t, v, db, read)
			fill(18)
			if v.name != "mariadb" {
				mustExec(t, db, "ANALYZE change_log")
			}
			read()
			many := touched(t, v, db, read)
			t.Logf("%d of 1,003 events touch %d pages, of 10,003 %d", 2, few, many)
			if many > 2*few+20 {
				t.Errorf("two events touched %d pages among 1,003 events and %d among 10,003", few, many)
			}
		})
	}
}

// A page of a topic that has many events costs the same wherever it begins.
func TestPagesOfALargeTopicAreFoundByTheIndex(t *testing.T) {
	for _, v := range variants {
		if v.name == "sqlite" { // counts nothing; planIsByIndex
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			l, db := v.fresh(t)
			db.SetMaxOpenConns(3)
			events := make([]cdc.Event, 2000)
			for n := range events {
				events[n] = cdc.Event{Topic: "all", Data: make([]byte, 300)}
			}
			for range 5 {
				if _, err := l.Append(t.Context(), events...); err != nil {
					t.Fatal(err)
				}
			}
			epoch := epochOf(t, l)
			if v.name != "mariadb" {
				mustExec(t, db, "ANALYZE change_log")
			}
			page := func(after uint64) int {
				return touched(t, v, db, func() {
					page, err := l.ReadFiltered(t.Context(), cdc.Cursor{Epoch: epoch, Seq: after}, 50, cdc.Filter{Topics: []string{"all"}})
					if err != nil || len(page.Events) != 50 {
						t.Fatalf("%d events, %v: want 50", len(page.Events), err)
					}
				})
			}
			page(0)
			first, later := page(0), page(6000)
			t.Logf("a page at the beginning touches %d pages, one behind the middle %d", first, later)
			if later > 4*first+50 {
				t.Errorf("50 events touched %d pages at the beginning of their topic, and %d behind its middle", first, later)
			}
		})
	}
}

// planIsByIndex asks SQLite, which counts nothing, how it would read two topics.
func planIsByIndex(t *testing.T, db *sqlx.DB) {
	t.Helper()
	one := "SELECT seq, data FROM change_log WHERE CAST(topic AS TEXT) = 'rare' AND seq >= 7"
	rows, err := db.Query("EXPLAIN QUERY PLAN SELECT * FROM (" + one + " UNION ALL " + one + " ORDER BY seq LIMIT 500) a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if strings.Count(plan.String(), "SEARCH change_log USING INDEX change_log_topic (<expr>=? AND rowid>?)") != 2 || strings.Contains(plan.String(), "TEMP B-TREE") {
		t.Errorf("SQLite would not merge by the index:\n%s", plan.String())
	}
}

// What the index does not serve is declined, so that pages are shared.
func TestOtherFiltersAreDeclined(t *testing.T) {
	l, _ := variants[len(variants)-1].fresh(t)
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, f := range []cdc.Filter{{Types: []string{"a"}}, {Keys: []string{"a"}}, {TopicPrefixes: []string{"a"}}, {Topics: many}, {Topics: []string{"a\xff"}}, {Topics: []string{"a\x00"}}, {Topics: []string{"\ufffd"}}} {
		_, err := l.ReadFiltered(t.Context(), cdc.Cursor{Epoch: epochOf(t, l)}, 10, f)
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("filter %.60q: %v, want errors.ErrUnsupported", fmt.Sprint(f), err)
		}
	}
	if _, err := l.ReadFiltered(t.Context(), cdc.Cursor{Epoch: epochOf(t, l)}, 10, cdc.Filter{Topics: append(many[:100], many[0])}); err != nil {
		t.Errorf("100 topics, one of them twice: %v", err)
	}
}
