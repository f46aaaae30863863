// Command mercure serves a hub of github.com/dunglas/mercure for benchmarks/beside,
// which builds and starts it. It is a module of its own because of the licence
// of that hub, the GNU Affero General Public License.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/dunglas/mercure"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// topic is the only one.
const topic = "x"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mercure:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "mercure")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	hub, err := open(context.Background(), filepath.Join(dir, "updates.db"))
	if err != nil {
		return err
	}
	return control.Server{
		Streams: hub,
		Path:    ".well-known/mercure?topic=" + topic,
		Publish: func(data ...[]byte) error { return publish(hub, data) },
	}.Run()
}

// open returns a hub that keeps all updates in the file, so that it never has to
// delete any. It has no heartbeat and no deadline to set for each update.
func open(ctx context.Context, file string) (*mercure.Hub, error) {
	log := slog.New(slog.DiscardHandler)
	transport, err := mercure.NewBoltTransport(mercure.NewSubscriberList(mercure.DefaultSubscriberListCacheSize), log, file, "", 0, 0)
	if err != nil {
		return nil, err
	}
	return mercure.NewHub(ctx, mercure.WithTransport(transport), mercure.WithAnonymous(), mercure.WithLogger(log),
		mercure.WithHeartbeat(0), mercure.WithWriteTimeout(0), mercure.WithDispatchTimeout(0))
}

func publish(hub *mercure.Hub, data [][]byte) error {
	for _, d := range data {
		if err := hub.Publish(context.Background(), &mercure.Update{Topics: []string{topic}, Event: mercure.Event{Data: string(d)}}); err != nil {
			return err
		}
	}
	return nil
}
