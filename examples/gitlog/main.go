// Command gitlog prints the history of a git repository, oldest commit first,
// as NDJSON that the quickstart accepts:
//
//	gitlog [-C dir] [revision…]
//
//	{"id":"<hash>","topic":"<repository>","type":"commit","key":"<hash>","data":{…}}
//
// The ID is the commit's hash, so that posting the history again adds only
// what is new.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	dir := flag.String("C", ".", "`folder` of the repository")
	flag.Parse()
	if err := run(*dir, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gitlog:", err)
		os.Exit(1)
	}
}

type event struct {
	ID    string `json:"id"`
	Topic string `json:"topic"`
	Type  string `json:"type"`
	Key   string `json:"key"`
	Data  commit `json:"data"`
}

type commit struct {
	Hash    string   `json:"hash"`
	Parents []string `json:"parents"`
	Author  string   `json:"author"`
	Date    string   `json:"date"` // RFC 3339
	Subject string   `json:"subject"`
	Body    string   `json:"body,omitempty"`
}

// format has one NUL after each field, because no commit can contain one.
const (
	format = "%H%x00%P%x00%an%x00%aI%x00%s%x00%b%x00"
	fields = 6
)

func run(dir string, revisions []string, out io.Writer) error {
	top, err := git(dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	args := append([]string{"log", "--reverse", "--encoding=UTF-8", "--no-show-signature", "--pretty=tformat:" + format, "--end-of-options"}, revisions...)
	text, err := git(dir, append(args, "--")...)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	topic := filepath.Base(strings.TrimSpace(string(top)))
	values := strings.Split(string(text), "\x00")
	for ; len(values) > fields; values = values[fields:] {
		if err := encoder.Encode(eventOf(topic, values)); err != nil {
			return err
		}
	}
	return w.Flush()
}

func eventOf(topic string, values []string) event {
	// git ends each commit with a line feed, which comes before the next hash.
	hash := strings.TrimSpace(values[0])
	return event{ID: hash, Topic: topic, Type: "commit", Key: hash, Data: commit{
		Hash:    hash,
		Parents: strings.Fields(values[1]),
		Author:  values[2],
		Date:    values[3],
		Subject: values[4],
		Body:    strings.TrimSpace(values[5]),
	}}
}

func git(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return out, nil
}
