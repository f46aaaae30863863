package testserver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StartPgBouncer starts a private PgBouncer in front of the server, which shares
// its connections between transactions. It returns the port and ends with the
// test.
func StartPgBouncer(tb testing.TB, server *Postgres) (port int) {
	tb.Helper()
	pgbouncer, err := program("pgbouncer", "/usr/sbin")
	if err != nil {
		Missing(tb, "pgbouncer", err.Error())
	}
	folder, err := os.MkdirTemp("", "gapless-pgbouncer-") //nolint:usetesting // another user must enter it
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		tb.Fatal(err)
	}
	port, process := startOnFreePort(tb, "pgbouncer", func(tb testing.TB, port int) *process {
		tb.Helper()
		config := filepath.Join(folder, "pgbouncer.ini")
		text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d user=gapless\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
			"auth_type = any\npool_mode = transaction\ndefault_pool_size = 10\nmax_client_conn = 1000\nignore_startup_parameters = extra_float_digits\n", server.Port, port)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
		process, err := startProcess(exec.Command(pgbouncer, "-q", config), server.cred)
		if err != nil {
			tb.Fatal(err)
		}
		if !process.waitReady(tb, "pgbouncer", func() bool {
			conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		}) {
			return nil
		}
		return process
	})
	tb.Cleanup(process.kill)
	return port
}
