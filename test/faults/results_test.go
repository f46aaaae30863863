package faults_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const resultsHead = `# Redis: faults

Written by ` + "`TestSoakFaults`" + ` of test/faults, a row when its campaign was passed: two handles with a Hub each, 4 followers on each Hub,
two writers that retry with the same ID. Faults of the network are Toxiproxy's. "Lost" are events that were acknowledged and are not in the log
afterwards; it and resets are legal only where the fault loses events. "Silent" is what the judge (` + "`verify.Verify`" + `) or a comparison of every
follower with the log found wrong though nobody was told. After a reset a follower goes on at the other handle: where two masters live side by
side for some seconds it is sent to and fro.

| Fault | times | acknowledged | lost replies | lost | delivered | resets | silent | seconds |
|---|---|---|---|---|---|---|---|---|
`

// keep puts the row of the fault into the table. The campaigns may run in
// several processes.
func keep(t *testing.T, name string, rounds int, r result, took time.Duration) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "results", "redis-faults.md")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // unlocks, too
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	old, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(old)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			rows[strings.TrimSpace(cells[1])] = line
		}
	}
	rows[name] = fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %.0f |\n", name, rounds,
		r.acknowledged, r.unknown, r.lost, r.delivered, r.resets, r.silent, took.Seconds())
	var text strings.Builder
	text.WriteString(resultsHead)
	for _, f := range faults() {
		text.WriteString(rows[f.name])
	}
	_, err = file.WriteAt([]byte(text.String()), 0)
	if err := errors.Join(err, file.Truncate(int64(len(text.String())))); err != nil {
		t.Fatal(err)
	}
}
