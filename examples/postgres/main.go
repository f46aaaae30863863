// Command postgres is a small order service whose changes can be followed. An
// order appends its own event in its transaction (an outbox); changes of the
// stock are captured by triggers, whoever makes them.
//
//	postgres -dsn 'host=… dbname=… sslmode=…' [-addr 127.0.0.1:8080]
//
//	GET  /events    the stream: order.placed, stock.update, … (?topic= &type= &key= &after=)
//	POST /orders    {"product","pieces"}
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/transport/sse"
)

//go:embed schema.sql
var schema string

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`host:port` to listen on")
	dsn := flag.String("dsn", "", "lib/pq connection `string`, with sslmode")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *dsn); err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, dsn string) error {
	if dsn == "" {
		return errors.New("-dsn is missing: give host, dbname, user and sslmode")
	}
	s, err := openShop(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() //nolint:contextcheck // ctx has ended; it takes no time
	server := &http.Server{Addr: addr, Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	server.RegisterOnShutdown(func() { _ = s.stream.Close() }) //nolint:contextcheck // ctx has ended; its clients come back later
	context.AfterFunc(ctx, func() {                            //nolint:contextcheck // ctx has ended
		deadline, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(deadline) // what is still open then ends with the process
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shop is the service. Any number of processes can run on one database.
type shop struct {
	db     *sqlx.DB
	log    *sqllog.Log
	stream *sse.Handler
}

func openShop(ctx context.Context, dsn string) (*shop, error) {
	db, err := sqlx.Open("postgres", dsn)
	if err != nil {
		return nil, err
	}
	s := &shop{db: db}
	if _, err = db.ExecContext(ctx, schema); err == nil {
		s.log, err = sqllog.Open(ctx, db, "change_log", &sqllog.Options{ListenDSN: dsn})
	}
	if err == nil {
		err = s.log.Capture(ctx, sqllog.Table{Name: "stock"})
	}
	if err == nil {
		s.stream, err = sse.NewHandler(s.log, nil)
	}
	if err != nil {
		return nil, errors.Join(err, s.close()) //nolint:contextcheck // it takes no time
	}
	return s, nil
}

func (s *shop) close() error {
	var err error
	if s.stream != nil {
		err = s.stream.Close()
	}
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	return errors.Join(err, s.db.Close())
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /events", s.stream)
	mux.HandleFunc("POST /orders", s.postOrder)
	return mux
}

type order struct {
	ID      int64  `json:"id"`
	Product string `json:"product"`
	Pieces  int    `json:"pieces"`
}

var errSoldOut = errors.New("there are not so many in stock")

func (s *shop) postOrder(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&o); err != nil || o.Pieces < 1 {
		http.Error(w, `want {"product","pieces"} with at least one piece`, http.StatusBadRequest)
		return
	}
	switch err := s.place(r.Context(), &o); {
	case errors.Is(err, errSoldOut):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, "the order was not placed: "+err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(o) // the client has gone if it fails
	}
}

// place takes the pieces from the stock, stores the order and logs it, all or
// nothing. The event comes last, so that its place is that of the row locks.
func (s *shop) place(ctx context.Context, o *order) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	res, err := tx.ExecContext(ctx, "UPDATE stock SET pieces = pieces - $1 WHERE product = $2 AND pieces >= $1", o.Pieces, o.Product)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errSoldOut)
	}
	if err := tx.QueryRowContext(ctx, "INSERT INTO orders (product, pieces) VALUES ($1, $2) RETURNING id", o.Product, o.Pieces).Scan(&o.ID); err != nil {
		return err
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := s.log.AppendTx(ctx, tx, cdc.Event{Topic: "orders", Type: "order.placed", Key: strconv.FormatInt(o.ID, 10), Data: data}); err != nil {
		return err
	}
	return tx.Commit()
}
