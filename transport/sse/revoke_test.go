package sse_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gapless-go/gapless/transport/sse"
)

// users authorizes by a header those who are logged in.
type users struct {
	loggedOut atomic.Value  // the name of the one who is not
	asked     chan string   // if set, Authorize tells who has been found to be logged in…
	goOn      chan struct{} // …and waits
}

func (u *users) authorize(r *http.Request) (sse.Grant, error) {
	name := r.Header.Get("Authorization")
	if name == u.loggedOut.Load() {
		return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized}
	}
	if u.asked != nil {
		u.asked <- name
		<-u.goOn
	}
	return sse.Grant{Scope: sse.Everything(), User: name}, nil
}

func TestEndStreamsAtLogout(t *testing.T) {
	var u users
	s := serve(t, nil, &sse.Options{Authorize: u.authorize})
	ada, adas, bob := s.follow(t, "", "Authorization", "ada"), s.follow(t, "", "Authorization", "ada"), s.follow(t, "", "Authorization", "bob")
	for _, f := range []*follower{ada, adas, bob} {
		f.want("cdc.hello")
		f.want("cdc.live")
	}
	u.loggedOut.Store("ada")
	if n := s.handler.EndStreams(func(user string) bool { return user == "ada" }); n != 2 {
		t.Errorf("%d streams were ended, want 2", n)
	}
	appendData(t, s.log, `1`)
	for _, f := range []*follower{ada, adas} {
		for got := f; ; {
			one, err := got.next()
			if err != nil {
				t.Fatal(err)
			}
			if one.name == "cdc.reconnect" {
				break
			}
		}
		f.wantEnd()
	}
	bob.wantPayload(`1`)
	wantStatus(t, s, "", 401, "Authorization", "ada")
	awaitStatus(t, s.handler, "the ends", func(st sse.Status) bool { return st.Ended[sse.EndRevoked] == 2 && st.Open == 1 })
}

// A stream that was authorized before the logout and opens after it is not
// forgotten.
func TestEndStreamsThatAreBeingAuthorized(t *testing.T) {
	u := users{asked: make(chan string), goOn: make(chan struct{})}
	s := serve(t, nil, &sse.Options{Authorize: u.authorize})
	ended := make(chan frame)
	go func() {
		f := s.follow(t, "", "Authorization", "ada")
		ended <- f.want("cdc.reconnect")
	}()
	<-u.asked
	u.loggedOut.Store("ada")
	s.handler.EndStreams(func(user string) bool { return user == "ada" })
	s.handler.EndStreams(func(user string) bool { return user == "bob" })
	u.goOn <- struct{}{}
	if got := <-ended; got.retry == "" {
		t.Errorf("reconnect %+v without a retry", got)
	}
	if st := s.handler.Status(); st.Refused[sse.EndRevoked] != 1 || st.Opened != 0 {
		t.Errorf("status %+v, want one that was turned away", st)
	}
}
