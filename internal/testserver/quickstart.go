package testserver

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
)

// AppendLines posts events as NDJSON to an endpoint of the quickstart; nil means
// that it has acknowledged all of them.
func AppendLines(ctx context.Context, client *http.Client, url string, lines []string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(strings.Join(lines, "\n")+"\n"))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only frees it
	last := ""
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		last = in.Text()
	}
	if resp.StatusCode/100 != 2 || !strings.Contains(last, "cursor") {
		return fmt.Errorf("status %d: %s", resp.StatusCode, last)
	}
	return nil
}
