package command

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// isTerminal reports whether the stream is one that a person sits at.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// ask returns nil if --yes was given or a person agrees.
func (a *app) ask(question string) error {
	if a.yes {
		return nil
	}
	if !isTerminal(a.In) {
		return usagef("%s This needs an answer, and nobody can be asked here: add --yes", question)
	}
	fmt.Fprintf(a.Err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.EqualFold(strings.TrimSpace(answer), "y") {
		return nil
	}
	return errors.New("nothing was done: the answer was not y")
}
