package sqllog_test

import (
	"fmt"
	"os"
	"testing"
)

// mainTB lets servers live as long as the test binary: cleanups run when all
// tests are done, everything else goes to the test that is running.
type mainTB struct {
	testing.TB
	cleanups []func()
}

func (m *mainTB) on(tb testing.TB) testing.TB { return &mainTB{TB: tb} }

func (m *mainTB) Cleanup(f func()) {
	shared.tb.cleanups = append(shared.tb.cleanups, f)
}

func (m *mainTB) TempDir() string {
	dir, err := os.MkdirTemp("", "gapless-sql-")
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestMain(m *testing.M) {
	if spec := os.Getenv(writerEnv); spec != "" {
		writeUntilKilled(spec)
		return
	}
	if spec := os.Getenv(childEnv); spec != "" {
		fmt.Fprintln(os.Stderr, appendUntilKilled(spec))
		os.Exit(1)
	}
	shared.tb = &mainTB{}
	code := m.Run()
	if err := campaign.write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	for i := len(shared.tb.cleanups) - 1; i >= 0; i-- {
		shared.tb.cleanups[i]()
	}
	os.Exit(code)
}
