package sqllog_test

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(writerEnv); spec != "" {
		writeUntilKilled(spec)
		return
	}
	if spec := os.Getenv(childEnv); spec != "" {
		fmt.Fprintln(os.Stderr, appendUntilKilled(spec))
		os.Exit(1)
	}
	code := m.Run()
	if err := campaign.write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	shared.lasting.End()
	os.Exit(code)
}
