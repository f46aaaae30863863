package watermill_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/gapless-go/gapless/cdc"
	gaplesswatermill "github.com/gapless-go/gapless/integrations/watermill"
)

// restartFlag makes the test binary the command that restarts a server: it asks
// the test, at the URL that follows.
const restartFlag = "-restart-server"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == restartFlag {
		res, err := http.Post(os.Args[2], "", nil)
		if err != nil || res.StatusCode != http.StatusOK {
			fmt.Fprintln(os.Stderr, res, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// suite runs the suite of watermill, with GAPLESS_SOAK at full size and with
// restarts. The features that are left out do not hold: delivery is at least
// once, and the context of a published message stays in its process.
func suite[T any](t *testing.T, log cdc.Log, place cdc.Place[T], restart func()) {
	t.Helper()
	long := os.Getenv("GAPLESS_SOAK") != ""
	features := tests.Features{
		ConsumerGroups:  true,
		GuaranteedOrder: true,
		Persistent:      true,
		ForceShort:      !long,
	}
	if restart != nil && long {
		control := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { restart() }))
		t.Cleanup(control.Close)
		features.RestartServiceCommand = []string{os.Args[0], restartFlag, control.URL}
	}
	inGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		sub, err := gaplesswatermill.NewSubscriber(log, place, &gaplesswatermill.SubscriberOptions{
			Group: group, Start: cdc.Beginning(), MaxPause: 10 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		return gaplesswatermill.NewPublisher(log), sub
	}
	inOneGroup := func(t *testing.T) (message.Publisher, message.Subscriber) { return inGroup(t, "suite") }
	t.Run("suite", func(t *testing.T) { tests.TestPubSub(t, features, inOneGroup, inGroup) })

	// A new group has the old messages; a new subscriber of a group has not.
	features.NewSubscriberReceivesOldMessages = true
	t.Run("old", func(t *testing.T) {
		tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{TestID: tests.NewTestID(), Features: features},
			func(t *testing.T) (message.Publisher, message.Subscriber) { return inGroup(t, watermill.NewUUID()) })
	})
}

// must is for what must open.
func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}
