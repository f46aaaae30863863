package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// readResume returns the cursor in the file; false: there is none yet.
func readResume(name string) (c cdc.Cursor, ok bool, err error) {
	if name == "" {
		return c, false, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("the file of --resume-file cannot be read: %w", err)
	}
	if c, err = cdc.ParseCursor(strings.TrimSpace(string(text))); err != nil {
		return c, false, fmt.Errorf("%s holds no cursor: name another --resume-file, or remove it to begin anew: %w", name, err)
	}
	return c, true, nil
}

// writeResume replaces the file in one step: whoever reads it, after a crash of
// the machine as well, finds the old cursor or the new one.
func writeResume(name string, c cdc.Cursor) error {
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return fmt.Errorf("the position cannot be stored: %w", err)
	}
	_, err = file.WriteString(c.String() + "\n")
	if err == nil {
		err = file.Sync()
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // what failed says more
		return fmt.Errorf("the position cannot be stored: %w", err)
	}
	return nil
}
