package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// maxLine is the longest text of one event. It leaves room for escapes above
// the 1 MiB that an event may have.
const maxLine = 8 << 20

// inputLine is a line, or the error that ended the input.
type inputLine struct {
	text []byte
	err  error
}

// readLines reads ahead, so that a batch can end where no more has come. Empty
// lines are left out. The goroutine ends with the input, or after ctx with the
// next line.
func readLines(ctx context.Context, in io.Reader) <-chan inputLine {
	lines := make(chan inputLine, 1000)
	send := func(l inputLine) bool {
		select {
		case lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(make([]byte, 64<<10), maxLine)
		for scanner.Scan() {
			if text := bytes.TrimSpace(scanner.Bytes()); len(text) > 0 && !send(inputLine{text: bytes.Clone(text)}) {
				return
			}
		}
		err := scanner.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = usagef("a line is longer than %d MiB: store large payloads elsewhere and append a reference", maxLine>>20)
		} else if err != nil {
			err = inputError(err)
		}
		if err != nil {
			send(inputLine{err: err})
		}
	}()
	return lines
}

// nextLine waits for a line; false: there are no more, or ctx has ended.
func nextLine(ctx context.Context, lines <-chan inputLine) (inputLine, bool) {
	select {
	case l, ok := <-lines:
		return l, ok
	case <-ctx.Done():
		return inputLine{}, false
	}
}
