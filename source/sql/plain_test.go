package sqllog_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestAppendWithPlainSQL runs the statements of docs/sql.md in the programs that
// come with each database.
func TestAppendWithPlainSQL(t *testing.T) {
	const insert = "INSERT INTO %s (topic, type, %s, data, meta) VALUES ('orders', 'order.paid', '17', '{\"a\":1}', '{\"by\":\"cron\"}')"
	mariadbDriver, mariadbDSN := freshMariaDB(t)
	sqliteDriver, sqliteDSN := freshSQLite(t)
	file, _, _ := strings.Cut(strings.TrimPrefix(sqliteDSN, "file:"), "?")
	for _, c := range []struct {
		driver, dsn, table, key string
		client                  []string
	}{
		{
			mariadbDriver, mariadbDSN, "change_log_inbox", "`key`",
			[]string{"mariadb", "--protocol=tcp", "--host=127.0.0.1", fmt.Sprintf("--port=%d", serverPort(mariadbDriver)), "--user=root", mariadbDSN[strings.LastIndexByte(mariadbDSN, '/')+1:], "--execute"},
		},
		{sqliteDriver, sqliteDSN, "change_log", "key", []string{"sqlite3", file}},
	} {
		t.Run(c.client[0], func(t *testing.T) {
			if _, err := exec.LookPath(c.client[0]); err != nil {
				testserver.Missing(t, c.client[0], err.Error())
			}
			l := openLog(t, connect(t, c.driver, c.dsn), sqllog.Options{})
			run := func(statement string) {
				t.Helper()
				if out, err := exec.CommandContext(t.Context(), c.client[0], append(c.client[1:len(c.client):len(c.client)], statement)...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", statement, err, out)
				}
			}
			run(fmt.Sprintf(insert, c.table, c.key))
			run("BEGIN; " + fmt.Sprintf(insert, c.table, c.key) + "; ROLLBACK")
			run("INSERT INTO " + c.table + " (id) VALUES ('only-an-id')")
			events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
			if len(events) != 2 {
				t.Fatalf("got %v, want two events", events)
			}
			e := events[0]
			if got := fmt.Sprint(e.Topic, e.Type, e.Key, string(e.Data), e.Meta); got != `ordersorder.paid17{"a":1}map[by:cron]` || e.Time.Year() < 2020 {
				t.Errorf("got %s at %v", got, e.Time)
			}
			if events[1].ID != "only-an-id" {
				t.Errorf("got %+v, want the ID", events[1])
			}
		})
	}
}
