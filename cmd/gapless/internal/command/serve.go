package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/server"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
	"github.com/gapless-go/gapless/transport/sse"
)

// serve is the state of the command.
type serve struct {
	*app
	opts   server.Options
	auth   server.AuthOptions
	cors   sse.CORS
	tables []string
	retain cdc.RetainOptions
}

func (a *app) serve() *cobra.Command {
	s := &serve{app: a}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a log as server-sent events, with status page and metrics",
		Long: `serve answers

  GET  /events        the stream: history, then what happens; each client resumes where it was
  POST /append        with --append: one JSON event, or lines of them, all or none
  POST /tickets       with a token and a ticket key: a ticket for a browser's EventSource (/events?ticket=…)
  GET  /healthz       whether the log can be read        GET /openapi.json  all of this
  GET  /status        a page for people                  GET /metrics       for Prometheus

Without --jwt-secret-file, --jwks-file or --ticket-key-file everybody who reaches the address may read everything, so it must be one of
this machine. With them, status page and metrics are on --admin alone. A token (JWT) has a claim that says what it allows:

  "gapless": {"topics": ["orders"], "topicPrefixes": ["user:7:"], "types": […], "keys": […], "everything": false, "meta": false, "append": false}

With --capture the changes of tables become events, by triggers: the SQL is shown before anything is changed, unless --yes is given.
SIGTERM lets the clients leave within --drain. A bbolt file is open in one program: append by POST /append.`,
		Example: "  gapless serve --source postgres://app@db/shop --capture orders,customers",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	s.addFlags(cmd)
	return cmd
}

func (s *serve) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&s.tables, "capture", nil, "`tables` whose changes become events (SQL)")
	f.StringVar(&s.opts.Listen, "listen", "127.0.0.1:8080", "`host:port` to serve at")
	f.StringVar(&s.opts.Admin, "admin", "", "`host:port` for status page and metrics, for everybody who reaches it")
	f.StringVar(&s.opts.CertFile, "tls-cert", "", "`file` with the certificate, for HTTPS")
	f.StringVar(&s.opts.KeyFile, "tls-key", "", "`file` with the certificate's key")
	f.BoolVar(&s.opts.Append, "append", false, "serve POST /append")
	f.StringVar(&s.auth.SecretFile, "jwt-secret-file", "", "`file` with the secret of HS256 tokens")
	f.StringVar(&s.auth.JWKSFile, "jwks-file", "", "`file` with public keys (JWKS) of RS256, PS256, ES256 and EdDSA tokens")
	f.StringVar(&s.auth.Issuer, "jwt-issuer", "", "the only `issuer` of tokens that is accepted")
	f.StringVar(&s.auth.Audience, "jwt-audience", "", "the `audience` that a token must name")
	f.StringVar(&s.auth.TicketFile, "ticket-key-file", "", "`file` with the key of tickets, that of sse.NewTickets")
	f.StringSliceVar(&s.cors.Origins, "cors-origin", nil, "`origin` whose pages may read, such as https://app.example.com; may be repeated")
	f.BoolVar(&s.cors.Credentials, "cors-credentials", false, "let these pages send cookies")
	f.DurationVar(&s.opts.Drain, "drain", 5*time.Second, "how long clients are given to leave")
	f.DurationVar(&s.opts.Stream.Heartbeat, "heartbeat", 0, "longest silence on a stream; 0 is 15s")
	f.IntVar(&s.opts.Stream.Limits.Streams, "max-streams", 0, "streams at once; 0 is no limit")
	f.Int64Var(&s.retain.MaxEvents, "retain-events", 0, "keep so many events, remove older ones; 0 keeps all")
	f.DurationVar(&s.retain.MaxAge, "retain-age", 0, "remove events that are older; 0 keeps all")
}

func (s *serve) run(ctx context.Context) error {
	if s.opts.Drain <= 0 {
		return usagef("--drain is %v: give a time such as 5s", s.opts.Drain)
	}
	auth, err := server.NewAuth(&s.auth)
	if err != nil {
		return &usageError{err}
	}
	s.opts.Auth = auth
	if len(s.cors.Origins) > 0 {
		s.opts.Stream.CORS = &s.cors
	}
	if err := server.Check(&s.opts); err != nil {
		return &usageError{err}
	}
	src, err := s.openOrMake(ctx)
	if err != nil {
		return err
	}
	err = s.captureTables(ctx, src, named(s.tables))
	if err == nil {
		err = s.serve(ctx, src)
	}
	return errors.Join(err, src.Close())
}

func (s *serve) serve(ctx context.Context, src *source.Source) error {
	s.opts.Title = src.Address.String()
	s.opts.OnError = s.warn
	s.opts.OnReady = func(url, admin string) { s.ready(src, url, admin) }
	background, cancel := context.WithCancel(ctx)
	retained := make(chan error, 1)
	go func() { retained <- s.keep(background, src.Log) }()
	err := server.Run(ctx, src.Log, &s.opts)
	cancel()
	return errors.Join(err, <-retained)
}

// keep removes old events until ctx ends.
func (s *serve) keep(ctx context.Context, log cdc.Log) error {
	if s.retain.MaxEvents == 0 && s.retain.MaxAge == 0 {
		return nil
	}
	s.retain.OnError = s.warn
	if err := cdc.Retain(ctx, log, &s.retain); ctx.Err() == nil {
		s.warn(fmt.Errorf("no events are removed: %w", err))
		return err
	}
	return nil
}

// ready says where the server is.
func (s *serve) ready(src *source.Source, url, admin string) {
	if admin == "" && s.opts.Auth == nil {
		admin = url
	}
	where := map[string]string{"events": url + "/events"}
	if admin != "" {
		where["status"], where["metrics"] = admin+"/status", admin+"/metrics"
	}
	err := s.print(where, func(io.Writer) {
		fmt.Fprintf(s.Err, "gapless: %v at %s\n", src.Log, where["events"])
		if admin != "" {
			fmt.Fprintf(s.Err, "gapless: status at %s, metrics at %s\n", where["status"], where["metrics"])
		}
	})
	if err != nil {
		s.warn(err) // the server goes on
	}
}
