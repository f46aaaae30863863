package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	_ "modernc.org/sqlite" // the driver

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

//go:embed schema.sql
var schema string

// order is what a customer orders, and the data of an event.
type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

// customer is a row of the read model.
type customer struct {
	Name   string `json:"name"`
	Orders int    `json:"orders"`
	Cents  int    `json:"cents"`
}

// shop is the database, with a log of what happens.
type shop struct {
	db    *sql.DB
	store *sqllog.Store
	log   *sqllog.Log
}

func openShop(ctx context.Context, file string) (*shop, error) {
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(file)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	s := &shop{db: db}
	if _, err = db.ExecContext(ctx, schema); err == nil {
		s.store, err = sqllog.NewStore(ctx, db, nil)
	}
	if err == nil {
		s.log, err = s.store.Open(ctx, "events", nil)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *shop) close() {
	if s.store != nil {
		_ = s.store.Close()
	}
	_ = s.db.Close()
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.postOrder)
	mux.HandleFunc("GET /customers", s.getCustomers)
	m := &mailbox{}
	mux.HandleFunc("POST /mails", m.post)
	mux.HandleFunc("GET /mails", m.get)
	return mux
}

func (s *shop) postOrder(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&o); err != nil || o.ID == "" || o.Customer == "" || o.Cents <= 0 {
		http.Error(w, `want {"id":"o-1","customer":"ada","cents":1200}`, http.StatusBadRequest)
		return
	}
	if err := s.place(r.Context(), o); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// place keeps the order and says so in the log, in one transaction.
func (s *shop) place(ctx context.Context, o order) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	res, err := tx.ExecContext(ctx, "INSERT INTO orders (id, customer, cents) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", o.ID, o.Customer, o.Cents)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 { // it was placed before
		return err
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := s.log.AppendTx(ctx, tx, cdc.Event{ID: o.ID, Topic: "orders", Type: "order.placed", Key: o.Customer, Data: data}); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *shop) getCustomers(w http.ResponseWriter, r *http.Request) {
	list, err := s.customers(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	lines(w, list)
}

func (s *shop) customers(ctx context.Context) (list []customer, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name, orders, cents FROM customers ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c customer
		if err := rows.Scan(&c.Name, &c.Orders, &c.Cents); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// lines answers with the list, an entry a line.
func lines[T any](w http.ResponseWriter, list []T) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	for _, entry := range list {
		if encoder.Encode(entry) != nil {
			return // the client has gone
		}
	}
}
