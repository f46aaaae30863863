package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/ndjson"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
)

// postTo appends by the endpoint beside the stream.
func postTo(s *source.Source) appendFunc {
	url := s.Address.Sibling("append")
	return func(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
		var body bytes.Buffer
		for _, e := range events {
			if err := ndjson.Encode(&body, "", e); err != nil {
				return cdc.Receipt{}, err
			}
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, &body)
		if err != nil {
			return cdc.Receipt{}, err
		}
		request.Header.Set("Content-Type", "application/x-ndjson")
		response, err := s.HTTP.Do(request)
		if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
			return cdc.Receipt{}, fmt.Errorf("nobody answers at %s: %w", s.Address, err)
		}
		if err != nil {
			return cdc.Receipt{}, fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
		}
		defer func() { _ = response.Body.Close() }() // it was read
		return receiptOf(response)
	}
}

func receiptOf(response *http.Response) (cdc.Receipt, error) {
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return cdc.Receipt{}, fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		err := fmt.Errorf("%s answered %s: %s", response.Request.URL.Redacted(), response.Status, detail(text))
		if response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusMethodNotAllowed {
			err = fmt.Errorf("appends are not served there, as gapless serve --append does: %w", err)
		}
		if response.StatusCode >= http.StatusInternalServerError && response.StatusCode != http.StatusNotImplemented {
			err = fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
		}
		return cdc.Receipt{}, err
	}
	var a appended
	if err := json.Unmarshal(text, &a); err != nil {
		return cdc.Receipt{}, fmt.Errorf("the answer of %s is not that of gapless serve: %w", response.Request.URL.Redacted(), err)
	}
	return cdc.Receipt{Epoch: a.Cursor.Epoch, Seqs: []uint64{a.Cursor.Seq}, Duplicate: a.Events > 0 && a.Duplicates == a.Events}, nil
}

// detail is what a problem of RFC 9457 says, or the beginning of the text.
func detail(text []byte) string {
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(text, &problem) == nil && problem.Detail != "" {
		return problem.Detail
	}
	return string(text[:min(len(text), 500)])
}
