package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// protocol is a version of HTTP, with a server and a client.
type protocol struct {
	name  string // as in http.Request.Proto
	serve func(t *testing.T, h http.Handler, connContext connContext) (url string, client *http.Client)
}

// connContext is that of a server, which HTTP/1.0 needs for its cuts.
type connContext func(context.Context, net.Conn) context.Context

var protocols = []protocol{
	{"HTTP/1.0", func(t *testing.T, h http.Handler, cc connContext) (string, *http.Client) {
		return serve(t, h, false, cc.configure).URL, &http.Client{Transport: http10{}}
	}},
	{"HTTP/1.1", func(t *testing.T, h http.Handler, _ connContext) (string, *http.Client) {
		server := serve(t, h, false, nil)
		return server.URL, server.Client()
	}},
	{"HTTP/2.0", func(t *testing.T, h http.Handler, _ connContext) (string, *http.Client) {
		server := serve(t, h, true, nil)
		return server.URL, server.Client()
	}},
	{"HTTP/3.0", serveHTTP3},
}

func (cc connContext) configure(server *http.Server) { server.ConnContext = cc }

// serveHTTP3 serves with quic-go: the standard library has no HTTP/3.
func serveHTTP3(t *testing.T, h http.Handler, _ connContext) (url string, client *http.Client) {
	t.Helper()
	cert := newCertificate(t)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: h, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert.pair}})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(conn) }()
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: cert.pool}, QUICConfig: &quic.Config{}}
	t.Cleanup(func() {
		transport.Close()
		server.Close()
		<-ended
		conn.Close()
	})
	return "https://" + conn.LocalAddr().String(), &http.Client{Transport: transport}
}

// http10 asks as clients of HTTP/1.0 do, each time on a connection of its own.
type http10 struct{}

// RoundTrip implements http.RoundTripper.
func (http10) RoundTrip(r *http.Request) (*http.Response, error) {
	conn, err := net.Dial("tcp", r.URL.Host)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.0\r\nHost: %s\r\n", r.Method, r.URL.RequestURI(), r.URL.Host)
	r.Header.Write(conn)
	io.WriteString(conn, "\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		conn.Close()
		return nil, err
	}
	stop := context.AfterFunc(r.Context(), func() { conn.Close() })
	resp.Body = connBody{resp.Body, conn, stop}
	return resp, nil
}

// connBody is a body that ends its connection.
type connBody struct {
	io.Reader
	conn net.Conn
	stop func() bool
}

// Close closes the connection.
func (b connBody) Close() error {
	b.stop()
	return b.conn.Close()
}
