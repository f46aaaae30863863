// Command remote follows a stream with package transport/sse/remote.
package main

import (
	"context"
	"encoding/json"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

func main() { report.Run(follow) }

func follow(ctx context.Context, url, last string, message func(event, id, data string)) {
	log, err := remote.Open(url, &remote.Options{
		Silence: report.ReadTimeout(),
		OnError: func(err error) { message("#error", "", err.Error()) },
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = log.Close() }()
	err = log.Follow(ctx, remote.Consumer{
		Start: cdc.Beginning(),
		Load: func(context.Context) (cdc.Cursor, error) {
			if last == "" {
				return cdc.Cursor{}, nil
			}
			return cdc.ParseCursor(last)
		},
		Handle: func(_ context.Context, events []cdc.Event) error {
			for _, e := range events {
				data, err := json.Marshal(map[string]any{"id": e.ID, "data": json.RawMessage(e.Data)})
				if err != nil {
					return err
				}
				message("", cdc.Cursor{Seq: e.Seq}.String(), string(data))
			}
			return nil
		},
		Save: func(_ context.Context, at cdc.Cursor) error {
			message("#saved", at.String(), "")
			return nil
		},
	})
	message("#error", "", err.Error())
}
