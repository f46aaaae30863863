package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 2 * time.Minute

// program is the running command.
type program struct {
	t      *testing.T
	url    string
	active chan int // pids of instances, as they begin to work
}

func startProgram(t *testing.T) *program {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "worker")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary, "-addr", "127.0.0.1:0", "-db", filepath.Join(dir, "my shop?.db"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, active: make(chan int, 10)}
	serving, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			t.Log(lines.Text())
			if url, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
				serving <- url
			} else if m := regexp.MustCompile(`^instance (\d+) works`).FindStringSubmatch(lines.Text()); m != nil {
				pid, _ := strconv.Atoi(m[1])
				p.active <- pid
			}
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		<-read // its instances have ended, too
		if err := cmd.Wait(); err != nil {
			t.Errorf("after an interrupt: %v", err)
		}
	})
	p.url = within(t, "it to serve", serving)
	return p
}

func within[V any](t *testing.T, what string, c <-chan V) (v V) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
	return v
}

func (p *program) order(i int) {
	p.t.Helper()
	body := fmt.Sprintf(`{"id":"o-%d","customer":"customer-%d","cents":%d}`, i, i%3, i+1)
	res, err := http.Post(p.url+"/orders", "application/json", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		p.t.Fatal(res.Status)
	}
}

// get reads a list.
func get[T any](p *program, path string) (list []T) {
	p.t.Helper()
	res, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	for decoder := json.NewDecoder(res.Body); ; {
		var v T
		if err := decoder.Decode(&v); err == io.EOF {
			return list
		} else if err != nil {
			p.t.Fatal(err)
		}
		list = append(list, v)
	}
}

// TestAnInstanceIsKilled kills the instance that works in the middle: the other
// takes over, and each order is counted once and has one mail.
func TestAnInstanceIsKilled(t *testing.T) {
	p := startProgram(t)
	const orders = 150
	first := within(t, "an instance to work", p.active)
	for i := range orders {
		p.order(i)
		if i%10 == 0 {
			p.order(i) // placed again
		}
		if i == orders/2 {
			if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if second := within(t, "the other to take over", p.active); second == first {
		t.Errorf("instance %d was killed, and works", first)
	}
	want := map[string]customer{}
	for i := range orders {
		name := fmt.Sprint("customer-", i%3)
		want[name] = customer{name, want[name].Orders + 1, want[name].Cents + i + 1}
	}
	deadline := time.Now().Add(patience)
	for !p.counted(want) {
		if time.Now().After(deadline) {
			t.Fatalf("got %+v, want %+v", get[customer](p, "/customers"), want)
		}
		time.Sleep(20 * time.Millisecond)
	}
	tries := 0
	mails := map[string]mail{}
	for _, m := range get[mail](p, "/mails") {
		mails[m.Key] = m
		tries += m.Tries
	}
	for i := range orders {
		if m := mails[fmt.Sprint("o-", i)]; m.To != fmt.Sprint("customer-", i%3) {
			t.Errorf("order %d: got mail %+v", i, m)
		}
	}
	if len(mails) != orders {
		t.Errorf("got %d mails for %d orders", len(mails), orders)
	}
	t.Logf("%d mails were asked for %d times", len(mails), tries)
}

// counted reports whether the read model is as wanted. It never has more.
func (p *program) counted(want map[string]customer) bool {
	p.t.Helper()
	n := 0
	for _, got := range get[customer](p, "/customers") {
		if got.Orders > want[got.Name].Orders || got.Cents > want[got.Name].Cents {
			p.t.Fatalf("got %+v, want %+v", got, want[got.Name])
		}
		if got == want[got.Name] {
			n++
		}
	}
	return n == len(want)
}

// The worker is what an application writes.
func TestTheWorkerIsShort(t *testing.T) {
	text, err := os.ReadFile("worker.go")
	if n := strings.Count(string(text), "\n"); err != nil || n > 40 {
		t.Errorf("worker.go has %d lines, %v: the docs say at most 40", n, err)
	}
}
