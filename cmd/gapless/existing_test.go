package main_test

import (
	"strings"
	"testing"
)

// TestExistingTable: a table that some application fills becomes a log, with
// nothing but what is beside it, and after that was agreed to.
func TestExistingTable(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		driver, dsn := database(address)
		key := "bigserial PRIMARY KEY"
		if driver == "sqlite" {
			key = "INTEGER PRIMARY KEY AUTOINCREMENT"
		}
		execute(t, driver, dsn, "CREATE TABLE audit (id "+key+", kind text, body text)", `INSERT INTO audit (kind, body) VALUES ('a', '{"x":1}')`)
		table := []string{"-s", address, "--table", "audit", "--columns", "seq=id,topic=kind,data=body"}
		refused(t, 1, []string{"no log yet", "gapless schema " + driver}, append([]string{"tail"}, table...)...)
		refused(t, 1, []string{"no log yet"}, append([]string{"append"}, table...)...)
		refused(t, 2, []string{"audit_head", "--yes"}, append([]string{"serve", "--listen", "127.0.0.1:0"}, table...)...)
		execute(t, driver, dsn, ok(t, "", append([]string{"schema", driver}, table[2:]...)...))
		got := events(t, ok(t, "", append([]string{"tail", "--once"}, table...)...))
		if len(got) != 1 || got[0].Topic != "a" || string(got[0].Data) != `{"x":1}` {
			t.Errorf("got %+v", got)
		}
		s := serve(t, table...) // has nothing to ask
		lines := stream(t, s.url+"/events?after=beginning")
		execute(t, driver, dsn, `INSERT INTO audit (kind, body) VALUES ('b', '2')`)
		awaitLine(t, lines, `"topic":"b"`)
	}, "sqlite", "postgres")
}

func TestForeignStreamOfRedis(t *testing.T) {
	t.Parallel()
	address := freshRedis(t)
	client := redisClient(t, address)
	defer client.Close()
	key := address[strings.LastIndex(address, "/")+1:]
	refused(t, 1, []string{key}, "tail", "--foreign", "--once", "-s", address)
	if err := client.Do(t.Context(), "XADD", key, "*", "temperature", "21").Err(); err != nil {
		t.Fatal(err)
	}
	got := events(t, ok(t, "", "tail", "--foreign", "--once", "-s", address))
	if len(got) != 1 || string(got[0].Data) != `{"temperature":"21"}` {
		t.Errorf("got %+v", got)
	}
}
