package testserver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// MariaDB is a private MariaDB server. Its user is "root", without a password.
type MariaDB struct {
	Port int

	server   string // the program
	folder   string
	settings []string
	process  *process
}

// StartMariaDB starts a server in a temporary folder; it ends with the test.
// Each setting is "name=value". A commit is written but not synced unless a
// setting says otherwise: that survives kill -9 of the server, though not of
// the machine.
func StartMariaDB(tb testing.TB, settings ...string) *MariaDB {
	tb.Helper()
	server, err := program("mariadbd", "/usr/sbin", "/usr/local/mysql/bin")
	if err != nil {
		Missing(tb, "mariadb", err.Error())
	}
	install, err := program("mariadb-install-db", "/usr/bin", "/usr/local/mysql/scripts")
	if err != nil {
		Missing(tb, "mariadb", err.Error())
	}
	m := &MariaDB{server: server, settings: settings, folder: tb.TempDir()}
	out, err := exec.Command(install, append([]string{
		"--no-defaults", "--datadir=" + filepath.Join(m.folder, "data"),
		"--auth-root-authentication-method=normal", "--skip-test-db",
	}, asUser()...)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	m.Port, m.process = startOnFreePort(tb, "mariadb", m.start)
	tb.Cleanup(m.Kill)
	return m
}

// asUser is the option that root has to give.
func asUser() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// Start starts the server again after Kill, on the same port and data.
func (m *MariaDB) Start(tb testing.TB) {
	tb.Helper()
	m.process = restart(tb, "mariadb", m.Port, m.start)
}

// start runs the server on the port; nil means that the port is taken.
func (m *MariaDB) start(tb testing.TB, port int) *process {
	tb.Helper()
	// A server that starts removes the temporary files of all that share its
	// folder for them.
	temporary := filepath.Join(m.folder, "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		tb.Fatal(err)
	}
	args := []string{
		"--no-defaults", "--datadir=" + filepath.Join(m.folder, "data"), "--tmpdir=" + temporary, "--port=" + strconv.Itoa(port),
		"--bind-address=127.0.0.1", "--socket=" + filepath.Join(m.folder, "s"), "--pid-file=" + filepath.Join(m.folder, "pid"),
		"--innodb-flush-log-at-trx-commit=2", "--max-connections=300", "--skip-name-resolve",
	}
	for _, s := range m.settings {
		args = append(args, "--"+s)
	}
	cmd := exec.Command(m.server, append(args, asUser()...)...)
	process, err := startProcess(cmd, nil)
	if err != nil {
		tb.Fatal(err)
	}
	// It writes its pid once it has the port.
	if !process.waitReady(tb, "mariadb", func() bool {
		pid, err := os.ReadFile(filepath.Join(m.folder, "pid"))
		return err == nil && strings.TrimSpace(string(pid)) == strconv.Itoa(cmd.Process.Pid) && greets(port)
	}) {
		return nil
	}
	return process
}

// greets reports whether the server sends its greeting.
func greets(port int) bool {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // only frees it
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	n, err := conn.Read(make([]byte, 1))
	return n == 1 && err == nil
}

// Kill ends the server with SIGKILL.
func (m *MariaDB) Kill() { m.process.kill() }

// DSN is the connection string of a database on the server; "mysql" always
// exists.
func (m *MariaDB) DSN(database string) string { return m.DSNAt(m.Port, database) }

// DSNAt is DSN with another port, that of a proxy for instance.
func (m *MariaDB) DSNAt(port int, database string) string {
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s", port, database)
}

// Output is what the server has logged.
func (m *MariaDB) Output() string { return m.process.output.String() }
