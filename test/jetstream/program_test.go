package jetstream_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/testserver"
)

// TestProgram runs the program gapless over JetStream; the other stores are
// tested beside it.
func TestProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "gapless")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/gapless-go/gapless/cmd/gapless").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	address := testserver.StartNATS(t, buildServer(t)).URL + "/orders"
	gapless := func(stdin string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, append(args, "-s", address)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := gapless("", "info"); err == nil || !strings.Contains(out, `has no log "orders"`) {
		t.Errorf("info of nothing: %v %s", err, out)
	}
	for _, want := range []string{"2 events appended, 0 of them", "2 events appended, 2 of them"} {
		if out, err := gapless(`{"id":"1","type":"a"}`+"\n"+`{"id":"2","type":"b"}`, "append"); err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("append: %v %s", err, out)
		}
	}
	if out, err := gapless("", "tail", "--once"); err != nil || strings.Count(out, `"cursor"`) != 2 {
		t.Errorf("tail: %v %s", err, out)
	}
	if out, err := gapless("", "trim", "--to", "1", "--yes"); err != nil || !strings.HasPrefix(out, "1 events removed") {
		t.Errorf("trim: %v %s", err, out)
	}
	if out, err := gapless("", "tail", "--foreign", "--once"); err != nil || !strings.Contains(out, `"type"`) {
		t.Errorf("tail of a stream of others: %v %s", err, out)
	}
}
