package sse_test

import (
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// TestBehindAReverseProxy follows through net/http/httputil.
func TestBehindAReverseProxy(t *testing.T) {
	s := serve(t, nil, nil)
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &server{Server: httptest.NewServer(httputil.NewSingleHostReverseProxy(target))}
	defer proxy.Close()
	f := proxy.follow(t, "?after=beginning")
	f.want("cdc.hello")
	f.want("cdc.live")
	for i := range 10 {
		appendData(t, s.log, fmt.Sprint(i))
		f.wantPayload(fmt.Sprint(i))
	}
	f.close()
}
