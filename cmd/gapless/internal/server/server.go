// Package server serves a log over HTTP: the stream, appends, tickets, a status
// page and metrics.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	gaplessprom "github.com/gapless-go/gapless/metrics/prometheus"
	"github.com/gapless-go/gapless/transport/sse"
)

// Options of [Run].
type Options struct {
	Listen   string        // host:port
	Admin    string        // host:port of status page and metrics; empty: see routes
	CertFile string        // of TLS; empty: plain HTTP
	KeyFile  string        // belongs to CertFile
	Auth     *Auth         // nil: everybody who reaches it may do everything
	Append   bool          // POST /append is served
	Title    string        // on the status page
	Drain    time.Duration // how long clients are given to leave
	Stream   sse.Options   // without Authorize, Observer and OnError
	OnError  func(error)   // is told what the server goes on without
	OnReady  func(url, admin string)
}

// server is a running server.
type server struct {
	opts    *Options
	log     cdc.Log
	handler *sse.Handler
	metrics *gaplessprom.Collector

	main, admin net.Listener // admin may be nil
}

// Run serves the log until ctx ends, and lets the clients leave then.
func Run(ctx context.Context, log cdc.Log, opts *Options) error {
	s := &server{opts: opts, log: log, metrics: gaplessprom.New()}
	if err := Check(opts); err != nil {
		return err
	}
	certificate, err := s.certificate()
	if err != nil {
		return err
	}
	if err := s.listen(ctx, certificate); err != nil {
		return err
	}
	if err := s.newHandler(); err != nil {
		s.closeListeners()
		return err
	}
	return s.serve(ctx)
}

// Check refuses options that contradict each other, or give everything to
// everybody.
func Check(opts *Options) error {
	if opts.Auth == nil && !isLoopback(opts.Listen) {
		return fmt.Errorf("%s can be reached by others, and nobody would be asked who they are: give --jwt-secret-file, --jwks-file or --ticket-key-file, or listen on 127.0.0.1", opts.Listen)
	}
	if opts.Append && opts.Auth != nil && opts.Auth.key == nil {
		return errors.New("--append needs tokens (--jwt-secret-file or --jwks-file): a ticket only reads")
	}
	if (opts.CertFile == "") != (opts.KeyFile == "") {
		return errors.New("--tls-cert and --tls-key belong together")
	}
	return nil
}

// isLoopback reports whether only this machine reaches the address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *server) certificate() (*tls.Config, error) {
	if s.opts.CertFile == "" {
		return nil, nil //nolint:nilnil // plain HTTP
	}
	pair, err := tls.LoadX509KeyPair(s.opts.CertFile, s.opts.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("the files of --tls-cert and --tls-key cannot be used: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}

func (s *server) listen(ctx context.Context, certificate *tls.Config) (err error) {
	var l net.ListenConfig
	if s.main, err = l.Listen(ctx, "tcp", s.opts.Listen); err != nil {
		return fmt.Errorf("cannot listen on %s: give another host:port with --listen: %w", s.opts.Listen, err)
	}
	if certificate != nil {
		s.main = tls.NewListener(s.main, certificate)
	}
	if s.opts.Admin == "" {
		return nil
	}
	if s.admin, err = l.Listen(ctx, "tcp", s.opts.Admin); err != nil {
		s.closeListeners()
		return fmt.Errorf("cannot listen on %s: give another host:port with --admin: %w", s.opts.Admin, err)
	}
	return nil
}

func (s *server) closeListeners() {
	_ = s.main.Close() // nothing was accepted
	if s.admin != nil {
		_ = s.admin.Close()
	}
}

func (s *server) newHandler() (err error) {
	o := s.opts.Stream
	o.Observer, o.OnError = s.metrics.Streams(), s.opts.OnError
	if s.opts.Auth != nil {
		o.Authorize = s.opts.Auth.Authorize
	}
	if s.handler, err = sse.NewHandler(s.log, &o); err != nil {
		return err
	}
	s.metrics.Watch(s.handler.Hub())
	return nil
}

// serve owns the listeners.
func (s *server) serve(ctx context.Context) error {
	servers := []*http.Server{s.newServer(s.routes())}
	listeners := []net.Listener{s.main}
	if s.admin != nil {
		servers, listeners = append(servers, s.newServer(s.adminRoutes())), append(listeners, s.admin)
	}
	failed := make(chan error, len(servers))
	var running sync.WaitGroup
	for i, server := range servers {
		running.Go(func() { failed <- server.Serve(listeners[i]) })
	}
	s.ready()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	err = errors.Join(err, s.end(servers)) //nolint:contextcheck // clients leave after it has ended
	running.Wait()
	return err
}

func (s *server) newServer(routes http.Handler) *http.Server {
	return &http.Server{
		Handler: routes, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		ConnContext: s.handler.ConnContext, // notices peers that vanished
	}
}

func (s *server) ready() {
	scheme, admin := "http", ""
	if s.opts.CertFile != "" {
		scheme = "https"
	}
	if s.admin != nil {
		admin = "http://" + s.admin.Addr().String()
	}
	s.opts.OnReady(scheme+"://"+s.main.Addr().String(), admin)
}

// end lets the streams leave over half of the time, and other requests end.
func (s *server) end(servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Drain)
	defer cancel()
	_ = s.handler.Drain(ctx, s.opts.Drain/2) // who has not left is cut
	var err error
	for _, server := range servers {
		if server.Shutdown(ctx) != nil {
			err = errors.Join(err, server.Close())
		}
	}
	return errors.Join(err, s.handler.Close())
}
