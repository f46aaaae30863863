package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/gapless-go/gapless/test/e2e/clients/report"
)

// readStream hands over each whole block of a stream until it ends or the
// function returns false.
func readStream(ctx context.Context, client *http.Client, url string, each func(report.Line) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("got %d %s", resp.StatusCode, text)
	}
	var l report.Line
	var data []string
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			l.Event = value
		case "id":
			l.ID = value
		case "data":
			data = append(data, value)
		case "":
			l.Data = strings.Join(data, "\n")
			if line == "\n" && l != (report.Line{}) {
				if !each(l) {
					return nil
				}
				l, data = report.Line{}, nil
			}
		}
	}
}

// cancelWhen returns a context that ends with the channel, too.
func cancelWhen(ctx context.Context, stop <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-ctx.Done():
		case <-stop:
		}
	}()
	return ctx, cancel
}
