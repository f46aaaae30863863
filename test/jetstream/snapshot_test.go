package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/gapless-go/gapless/internal/backoff"
)

// snapshot is a backup of a stream, as nats stream backup makes it.
type snapshot struct {
	config server.StreamConfig
	state  server.StreamState
	chunks [][]byte
}

// takeSnapshot asks for one and acknowledges each chunk. An empty message ends it.
func takeSnapshot(ctx context.Context, nc *nats.Conn, stream string) (snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return snapshot{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	var about server.JSApiStreamSnapshotResponse
	request := server.JSApiStreamSnapshotRequest{DeliverSubject: sub.Subject, NoConsumers: true}
	if err := requestJSON(ctx, nc, "$JS.API.STREAM.SNAPSHOT."+stream, request, &about); err != nil {
		return snapshot{}, err
	}
	if about.Error != nil {
		return snapshot{}, about.Error
	}
	s := snapshot{config: *about.Config, state: *about.State}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case err != nil:
			return snapshot{}, err
		case len(msg.Data) == 0 && msg.Header.Get("Status") > "204":
			return snapshot{}, fmt.Errorf("the server ended the snapshot: %v", msg.Header)
		case len(msg.Data) == 0:
			return s, nil
		}
		s.chunks = append(s.chunks, msg.Data)
		if msg.Reply == "" {
			continue
		}
		if err := msg.Respond(nil); err != nil {
			return snapshot{}, err
		}
	}
}

// restore makes the stream again. There must be none of that name.
func (s snapshot) restore(ctx context.Context, nc *nats.Conn, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var to server.JSApiStreamRestoreResponse
	request := server.JSApiStreamRestoreRequest{Config: s.config, State: s.state}
	if err := requestJSON(ctx, nc, "$JS.API.STREAM.RESTORE."+stream, request, &to); err != nil {
		return err
	}
	if to.Error != nil {
		return to.Error
	}
	for _, chunk := range s.chunks {
		if _, err := requestHeard(ctx, nc, to.DeliverSubject, chunk); err != nil {
			return err
		}
	}
	var made server.JSApiStreamCreateResponse
	if err := requestJSON(ctx, nc, to.DeliverSubject, nil, &made); err != nil {
		return err
	}
	if made.Error != nil {
		return made.Error
	}
	if made.StreamInfo == nil || made.State.Msgs != s.state.Msgs {
		return errors.New("the stream is not as it was in the snapshot")
	}
	return nil
}

// requestHeard asks until somebody answers: another node of the cluster may not
// have been told yet who does.
func requestHeard(ctx context.Context, nc *nats.Conn, subject string, body []byte) (*nats.Msg, error) {
	for {
		msg, err := nc.RequestWithContext(ctx, subject, body)
		if !errors.Is(err, nats.ErrNoResponders) {
			return msg, err
		}
		if err := backoff.Sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func requestJSON(ctx context.Context, nc *nats.Conn, subject string, request, answer any) error {
	var body []byte
	var err error
	if request != nil {
		if body, err = json.Marshal(request); err != nil {
			return err
		}
	}
	msg, err := requestHeard(ctx, nc, subject, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(msg.Data, answer)
}
