package main

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/gapless-go/gapless/cdc"
)

// worker sends a mail for each order, and keeps what each customer has ordered.
func worker(db *sql.DB, send func(ctx context.Context, key string, o order) error) cdc.Handler[*sql.Tx] {
	return cdc.Handler[*sql.Tx]{
		Prepare: func(ctx context.Context, d *cdc.Delivery) error {
			var o order
			if err := json.Unmarshal(d.Event.Data, &o); err != nil {
				return &cdc.Failure{Class: cdc.Park, Err: err}
			}
			d.Prepared = o
			var sent bool // before the read model was emptied, perhaps
			if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sent WHERE id = ?)", d.Event.ID).Scan(&sent); err != nil || sent {
				return err
			}
			return send(ctx, d.Event.ID, o)
		},
		Apply: func(ctx context.Context, tx *sql.Tx, d *cdc.Delivery) error {
			if _, err := tx.ExecContext(ctx, "INSERT INTO sent (id) VALUES (?) ON CONFLICT DO NOTHING", d.Event.ID); err != nil {
				return err
			}
			o := d.Prepared.(order)
			_, err := tx.ExecContext(ctx, "INSERT INTO customers (name, orders, cents) VALUES (?, 1, ?)"+
				" ON CONFLICT (name) DO UPDATE SET orders = orders + 1, cents = cents + excluded.cents", o.Customer, o.Cents)
			return err
		},
		Reset: func(ctx context.Context, tx *sql.Tx, _ *cdc.ResetError) (cdc.Start, error) {
			_, err := tx.ExecContext(ctx, "DELETE FROM customers")
			return cdc.Beginning(), err
		},
	}
}
