package testserver

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Redis is a private redis-server or valkey-server on a loopback port.
type Redis struct {
	Addr string // host:port
	Dir  string // its working folder: configuration, snapshots, append-only file

	tb        testing.TB
	program   string
	configure func(port string) (args []string)
	args      []string
	process   *process
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
	r := startRedis(tb, master.program, append([]string{"--replicaof", fmt.Sprint("127.0.0.1 ", master.Port())}, args...)...)
	r.WaitInfo("replication", "master_link_status:up")
	return r
}

// StartSentinels starts n sentinels that watch the master under the name and
// promote a replica when most of them could not reach it for a second. They
// know each other and the replicas when it returns.
func StartSentinels(tb testing.TB, name string, master *Redis, n, replicas int) []*Redis {
	tb.Helper()
	sentinels := make([]*Redis, n)
	for i := range sentinels {
		r := &Redis{tb: tb, program: master.program, Dir: tb.TempDir()}
		r.configure = func(port string) []string {
			text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %d %d\n"+
				"sentinel down-after-milliseconds %s 1000\nsentinel failover-timeout %s 1500\n",
				port, r.Dir, name, master.Port(), n/2+1, name, name)
			config := filepath.Join(r.Dir, "sentinel.conf")
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				tb.Fatal(err)
			}
			return []string{config, "--sentinel"}
		}
		r.startFresh()
		sentinels[i] = r
	}
	for _, r := range sentinels {
		r.WaitInfo("sentinel", fmt.Sprintf("slaves=%d,sentinels=%d", replicas, n))
	}
	return sentinels
}

// StartRedisCluster starts a cluster of n masters with so many replicas each.
func StartRedisCluster(tb testing.TB, n, replicas int) []*Redis {
	tb.Helper()
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		Missing(tb, "redis", err.Error())
	}
	var nodes []*Redis
	create := []string{"--cluster", "create"}
	for range n * (1 + replicas) {
		node := &Redis{tb: tb, program: "redis-server", Dir: tb.TempDir()}
		node.configure = func(port string) []string {
			return node.base(port, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(FreePort(tb)), "--cluster-node-timeout", "2000")
		}
		node.startFresh()
		nodes = append(nodes, node)
		create = append(create, node.Addr)
	}
	create = append(create, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")
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
	r := &Redis{tb: tb, program: program, Dir: tb.TempDir()}
	r.configure = func(port string) []string { return r.base(port, args...) }
	r.startFresh()
	return r
}

func (r *Redis) base(port string, args ...string) []string {
	return append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", r.Dir, "--save", "", "--appendonly", "no",
		"--repl-diskless-sync-delay", "0", "--enable-debug-command", "local",
	}, args...)
}

// startFresh starts the server on a free port. Another program may take the port
// before the server does: then it tries the next.
func (r *Redis) startFresh() {
	r.tb.Helper()
	r.tb.Cleanup(func() {
		if r.process != nil {
			r.Kill()
		}
	})
	for range portTries {
		port := strconv.Itoa(FreePort(r.tb))
		r.Addr = net.JoinHostPort("127.0.0.1", port)
		r.args = r.configure(port)
		if r.start() {
			return
		}
	}
	r.tb.Fatalf("%s found no free port:\n%s", r.program, r.log())
}

// start runs the program and reports whether it has the port.
func (r *Redis) start() bool {
	r.tb.Helper()
	path, err := exec.LookPath(r.program)
	if err != nil {
		Missing(r.tb, strings.TrimSuffix(r.program, "-server"), err.Error())
	}
	if r.process, err = startProcess(exec.Command(path, r.args...), nil); err != nil {
		r.tb.Fatal(err)
	}
	return r.process.waitReady(r.tb, r.program, func() bool {
		// Whoever took the port before us would answer as well.
		ours := strings.Contains(r.ask("INFO server"), fmt.Sprintf("process_id:%d\r", r.process.cmd.Process.Pid))
		return ours && strings.HasPrefix(r.ask("PING"), "+PONG") // it has loaded what it kept
	})
}

// Kill ends the server with SIGKILL and waits until it is gone.
func (r *Redis) Kill() { r.process.kill() }

// Restart starts the server again after [Redis.Kill], on the same port and
// folder: what it kept on disk is loaded. More configuration arguments overrule
// the earlier ones from now on.
func (r *Redis) Restart(args ...string) {
	r.tb.Helper()
	r.args = append(r.args, args...)
	for deadline := time.Now().Add(startTimeout); !r.start(); {
		if time.Now().After(deadline) {
			r.tb.Fatalf("%s cannot have its port again:\n%s", r.program, r.log())
		}
	}
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
func (r *Redis) Stop() { _ = r.process.cmd.Process.Signal(syscall.SIGSTOP) }

// Cont ends [Redis.Stop].
func (r *Redis) Cont() { _ = r.process.cmd.Process.Signal(syscall.SIGCONT) }

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
	deadline := time.Now().Add(startTimeout)
	reply := ""
	for time.Now().Before(deadline) {
		if reply = r.ask(command); strings.Contains(reply, text) {
			return
		}
		select {
		case <-r.process.done:
			r.tb.Fatalf("%s ended:\n%s", r.program, r.log())
		case <-time.After(10 * time.Millisecond):
		}
	}
	r.tb.Fatalf("%s: %s has no %q within %v but\n%s\n%s", r.program, command, text, startTimeout, reply, r.log())
}

func (r *Redis) log() string { return r.process.output.String() }

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
