package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postgres is a private PostgreSQL server. Its superuser is "gapless", without
// a password.
type Postgres struct {
	Port int

	bin      string // folder of the programs
	data     string
	cred     *syscall.Credential // nil: our own user
	settings []string
	process  *process
}

// StartPostgres starts a server in a temporary folder; it ends with the test.
// Each setting is "name=value". fsync is off unless a setting says otherwise:
// that survives kill -9 of the server, though not of the machine.
func StartPostgres(tb testing.TB, settings ...string) *Postgres {
	tb.Helper()
	postgres, err := program("postgres", "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")
	if err != nil {
		Missing(tb, "postgres", err.Error())
	}
	p := &Postgres{bin: filepath.Dir(postgres), settings: settings}
	if os.Geteuid() == 0 { // the server refuses to run as root
		if p.cred, err = credential("postgres", "nobody"); err != nil {
			Missing(tb, "postgres", err.Error())
		}
	}
	p.makeData(tb, "initdb", "-U", "gapless", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	p.Port, p.process = startOnFreePort(tb, "postgres", p.start)
	tb.Cleanup(p.stop)
	return p
}

// StartStandby starts a hot standby that streams from the primary.
func StartStandby(tb testing.TB, primary *Postgres) *Postgres {
	tb.Helper()
	p := &Postgres{bin: primary.bin, cred: primary.cred, settings: primary.settings}
	p.makeData(tb, "pg_basebackup", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", primary.DSN("postgres"))
	p.Port, p.process = startOnFreePort(tb, "postgres", p.start)
	tb.Cleanup(p.stop)
	return p
}

// makeData runs a program that fills the folder it is given with -D.
func (p *Postgres) makeData(tb testing.TB, program string, args ...string) {
	tb.Helper()
	// Not tb.TempDir(): another user could not enter it.
	folder, err := os.MkdirTemp("", "gapless-postgres-") //nolint:usetesting // see above
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(folder) })
	if p.cred != nil {
		if err := os.Chown(folder, int(p.cred.Uid), int(p.cred.Gid)); err != nil {
			tb.Fatal(err)
		}
	}
	p.data = filepath.Join(folder, "data")
	cmd := exec.Command(filepath.Join(p.bin, program), append([]string{"-D", p.data}, args...)...)
	cmd.Dir = folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// Start starts the server again after Kill, on the same port and data.
func (p *Postgres) Start(tb testing.TB) {
	tb.Helper()
	p.process = restart(tb, "postgres", p.Port, p.start)
}

// start runs the server on the port; nil means that the port is taken.
func (p *Postgres) start(tb testing.TB, port int) *process {
	tb.Helper()
	args := []string{
		"-D", p.data, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", "",
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "dynamic_shared_memory_type=mmap", // which is in the folder
	}
	for _, s := range p.settings {
		args = append(args, "-c", s)
	}
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), args...)
	cmd.Dir = p.data
	process, err := startProcess(cmd, p.cred)
	if err != nil {
		tb.Fatal(err)
	}
	// The file says "ready" for this very process: another server on the port
	// could answer a connection as well.
	status := filepath.Join(p.data, "postmaster.pid")
	if !process.waitReady(tb, "postgres", func() bool {
		text, err := os.ReadFile(status)
		lines := strings.Split(string(text), "\n")
		return err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(cmd.Process.Pid) && strings.TrimSpace(lines[7]) == "ready"
	}) {
		return nil
	}
	return process
}

// stop ends the server at once, but by itself.
func (p *Postgres) stop() { p.process.stop(syscall.SIGQUIT) }

// Kill ends the server and all its backends with SIGKILL.
func (p *Postgres) Kill() { p.process.kill() }

// DSN is the connection string of a database on the server; "postgres" always
// exists.
func (p *Postgres) DSN(database string) string { return p.DSNAt(p.Port, database) }

// DSNAt is DSN with another port, that of a proxy for instance.
func (p *Postgres) DSNAt(port int, database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=gapless dbname=%s sslmode=disable", port, database)
}

// Output is what the server has logged.
func (p *Postgres) Output() string { return p.process.output.String() }

// credential of the first user that exists.
func credential(names ...string) (*syscall.Credential, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("none of the users %v exists", names)
}
