package testserver

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// redisStartTimeout is how long a server may take until it answers PING.
const redisStartTimeout = 30 * time.Second

// Redis is a private redis-server or valkey-server on a loopback port.
type Redis struct {
	Addr string // host:port
	Dir  string // its working folder: configuration, snapshots, append-only file

	tb      testing.TB
	program string
	args    []string
	cmd     *exec.Cmd
	done    chan struct{} // closed when the program has ended
}

// StartRedis starts a redis-server that keeps nothing on disk unless the
// configuration arguments ("--appendonly", "yes") say so. It ends with the
// test.
func StartRedis(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	return startRedis(tb, "redis-server", args...)
}

// StartValkey is [StartRedis] with valkey-server.
func StartValkey(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	return startRedis(tb, "valkey-server", args...)
}

// StartReplica starts a redis-server that replicates the master and returns
// when its first synchronisation is complete.
func StartReplica(tb testing.TB, master *Redis, args ...string) *Redis {
	tb.Helper()
	host, port, _ := net.SplitHostPort(master.Addr)
	r := startRedis(tb, master.program, append([]string{"--replicaof", host + " " + port}, args...)...)
	r.WaitInfo("replication", "master_link_status:up")
	return r
}

// StartSentinel starts a sentinel that watches the master under the name and
// promotes a replica by itself (quorum 1) when the master was away for a second.
func StartSentinel(tb testing.TB, name string, master *Redis) *Redis {
	tb.Helper()
	host, port, _ := net.SplitHostPort(master.Addr)
	own := redisPort(tb)
	r := &Redis{Addr: net.JoinHostPort("127.0.0.1", own), Dir: tb.TempDir(), tb: tb, program: master.program}
	config := filepath.Join(r.Dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %s %s %s 1\n"+
		"sentinel down-after-milliseconds %s 1000\nsentinel failover-timeout %s 5000\n",
		own, r.Dir, name, host, port, name, name)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	r.args = []string{config, "--sentinel"}
	r.start()
	tb.Cleanup(r.Kill)
	return r
}

// StartRedisCluster starts a cluster of n masters without replicas.
func StartRedisCluster(tb testing.TB, n int) []*Redis {
	tb.Helper()
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		Missing(tb, "redis", err.Error())
	}
	var nodes []*Redis
	create := []string{"--cluster", "create"}
	for range n {
		node := StartRedis(tb, "--cluster-enabled", "yes", "--cluster-port", redisPort(tb), "--cluster-node-timeout", "2000")
		nodes = append(nodes, node)
		create = append(create, node.Addr)
	}
	create = append(create, "--cluster-replicas", "0", "--cluster-yes")
	if out, err := exec.Command(cli, create...).CombinedOutput(); err != nil {
		tb.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	for _, node := range nodes {
		node.wait("cluster_state:ok", "CLUSTER INFO")
	}
	return nodes
}

func startRedis(tb testing.TB, program string, args ...string) *Redis {
	tb.Helper()
	port := redisPort(tb)
	r := &Redis{Addr: net.JoinHostPort("127.0.0.1", port), Dir: tb.TempDir(), tb: tb, program: program}
	r.args = append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", r.Dir, "--save", "", "--appendonly", "no",
		"--repl-diskless-sync-delay", "0", "--enable-debug-command", "local",
	}, args...)
	r.start()
	tb.Cleanup(r.Kill)
	return r
}

// start runs the program. It dies with the test binary, however that ends.
func (r *Redis) start() {
	r.tb.Helper()
	path, err := exec.LookPath(r.program)
	if err != nil {
		Missing(r.tb, strings.TrimSuffix(r.program, "-server"), err.Error())
	}
	log, err := os.OpenFile(filepath.Join(r.Dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.tb.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	r.cmd = exec.Command(path, r.args...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.done = make(chan struct{})
	started := make(chan error)
	go func(cmd *exec.Cmd, done chan struct{}) {
		runtime.LockOSThread() // Pdeathsig is sent when the thread that forked ends
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(done)
		}
	}(r.cmd, r.done)
	if err := <-started; err != nil {
		r.tb.Fatal(err)
	}
	r.wait("+PONG", "PING")
}

// Kill ends the server with SIGKILL and waits until it is gone.
func (r *Redis) Kill() {
	_ = r.cmd.Process.Kill()
	<-r.done
}

// Restart starts the server again after [Redis.Kill], on the same port and
// folder: what it kept on disk is loaded. More configuration arguments overrule
// the earlier ones from now on.
func (r *Redis) Restart(args ...string) {
	r.tb.Helper()
	r.args = append(r.args, args...)
	r.start()
}

// Wipe removes what the killed server kept on disk.
func (r *Redis) Wipe() {
	r.tb.Helper()
	for _, name := range []string{"dump.rdb", "appendonlydir", "appendonly.aof"} {
		if err := os.RemoveAll(filepath.Join(r.Dir, name)); err != nil {
			r.tb.Fatal(err)
		}
	}
}

// Stop freezes the server with SIGSTOP: connections stay open and silent.
func (r *Redis) Stop() { _ = r.cmd.Process.Signal(syscall.SIGSTOP) }

// Cont ends [Redis.Stop].
func (r *Redis) Cont() { _ = r.cmd.Process.Signal(syscall.SIGCONT) }

// Port is the number in Addr.
func (r *Redis) Port() int {
	_, text, _ := net.SplitHostPort(r.Addr)
	port, _ := strconv.Atoi(text)
	return port
}

// WaitInfo returns when the section of INFO holds the text, or ends the test.
func (r *Redis) WaitInfo(section, text string) {
	r.tb.Helper()
	r.wait(text, "INFO "+section)
}

// wait sends the inline command until its reply contains the text.
func (r *Redis) wait(text, command string) {
	r.tb.Helper()
	deadline := time.Now().Add(redisStartTimeout)
	reply := ""
	for time.Now().Before(deadline) {
		if reply = r.ask(command); strings.Contains(reply, text) {
			return
		}
		select {
		case <-r.done:
			r.tb.Fatalf("%s ended:\n%s", r.program, r.log())
		case <-time.After(10 * time.Millisecond):
		}
	}
	r.tb.Fatalf("%s: %s has no %q within %v but\n%s\n%s", r.program, command, text, redisStartTimeout, reply, r.log())
}

func (r *Redis) log() string {
	text, _ := os.ReadFile(filepath.Join(r.Dir, "server.log"))
	return string(text)
}

// ask sends one inline command and returns its reply, or nothing.
func (r *Redis) ask(command string) string {
	conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return ""
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil || line[0] != '$' {
		return line
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if err != nil || n < 0 {
		return ""
	}
	text := make([]byte, n)
	for at := 0; at < n; {
		k, err := in.Read(text[at:])
		if err != nil {
			return ""
		}
		at += k
	}
	return string(text)
}

// redisPort returns a loopback port that was free a moment ago.
func redisPort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
