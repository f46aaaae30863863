package statuspage_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// A page for people, and the same as JSON.
func ExampleNew() {
	handler, err := sse.NewHandler(memlog.New(nil), nil)
	if err != nil {
		panic(err)
	}
	defer handler.Close()
	mux := http.NewServeMux()
	mux.Handle("/events", handler)
	mux.Handle("/status", statuspage.New(handler, &statuspage.Options{Title: "orders"})) // behind your authentication

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/status?data", nil))
	var status struct {
		Log     struct{ Backend string }
		Verdict struct{ Well bool } // for a health check
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &status); err != nil {
		panic(err)
	}
	println(answer.Body.String())
	fmt.Println(status.Log.Backend) // nobody follows yet, so nothing is well yet
	// Output: memory
}
