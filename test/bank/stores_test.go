package bank_test

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/gapless-go/gapless/cdc"
	redislog "github.com/gapless-go/gapless/source/redis"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

const worker = "bank"

// bank is a store with a log of transfers, accounts, and the place of the worker.
type bank interface {
	log() cdc.Log
	consume(ctx context.Context, h how) error
	state(ctx context.Context) (cdc.WorkerState, error)
	read(ctx context.Context) (books, error)
}

// open opens the store; accounts that are missing are made.
func open(ctx context.Context, driver, dsn string) (bank, error) {
	if driver == "redis" {
		return openRedis(ctx, dsn)
	}
	return openSQL(ctx, driver, dsn)
}

type sqlBank struct {
	db    *sql.DB
	l     *sqllog.Log
	place *sqllog.Place[*sql.Tx]
	param func(n int) string
}

func openSQL(ctx context.Context, driver, dsn string) (bank, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	store, err := sqllog.NewStore(ctx, db, nil)
	if err != nil {
		return nil, err
	}
	b := &sqlBank{db: db, param: func(int) string { return "?" }}
	if driver == "postgres" {
		b.param = func(n int) string { return "$" + strconv.Itoa(n) }
	}
	if b.l, err = store.Open(ctx, "transfers", nil); err != nil {
		return nil, err
	}
	if b.place, err = store.Place(ctx, "workers", nil); err != nil {
		return nil, err
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL)",
		"CREATE TABLE IF NOT EXISTS effects (event VARCHAR(40) NOT NULL)", // without a key: a second one must show
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// addAccounts is called once.
func (b *sqlBank) addAccounts(ctx context.Context) error {
	rows := make([]string, accounts)
	for i := range rows {
		rows[i] = fmt.Sprintf("(%d, 0)", i)
	}
	_, err := b.db.ExecContext(ctx, "INSERT INTO accounts VALUES "+strings.Join(rows, ", "))
	return err
}

func (b *sqlBank) log() cdc.Log { return b.l }

func (b *sqlBank) state(ctx context.Context) (cdc.WorkerState, error) {
	return b.place.Load(ctx, worker)
}

func (b *sqlBank) consume(ctx context.Context, h how) error {
	move := "UPDATE accounts SET balance = balance + " + b.param(1) + " WHERE id = " + b.param(2)
	add := "INSERT INTO effects VALUES (" + b.param(1) + ")"
	return cdc.Consume(ctx, b.l, worker, behind[*sql.Tx](b.place, h), cdc.Handler[*sql.Tx]{
		Prepare: prepare,
		Apply: func(ctx context.Context, tx *sql.Tx, d *cdc.Delivery) error {
			t, err := parse(d.Event)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, move, -t.amount, t.from); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, move, t.amount, t.to); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, add, d.Event.ID)
			return err
		},
	}, h.opts)
}

func (b *sqlBank) read(ctx context.Context) (books, error) {
	r := books{map[int]int{}, map[string]int{}}
	rows, err := b.db.QueryContext(ctx, "SELECT CAST(id AS CHAR(40)), balance FROM accounts UNION ALL SELECT CONCAT('e', event), count(*) FROM effects GROUP BY event")
	if err != nil {
		return r, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return r, err
		}
		name = strings.TrimSpace(name)
		if id, ok := strings.CutPrefix(name, "e"); ok {
			r.effects[id] = n
			continue
		}
		id, err := strconv.Atoi(name)
		if err != nil {
			return r, err
		}
		r.balances[id] = n
	}
	return r, rows.Err()
}

type redisBank struct {
	client *redis.Client
	l      *redislog.Log
	place  *redislog.Place
}

const (
	redisAccounts = "{transfers}accounts"
	redisEffects  = "{transfers}effects"
)

func openRedis(ctx context.Context, addr string) (bank, error) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	store, err := redislog.NewStore(client)
	if err != nil {
		return nil, err
	}
	b := &redisBank{client: client}
	if b.l, err = store.Open(ctx, "transfers", nil); err != nil {
		return nil, err
	}
	b.place, err = store.Place("transfers")
	return b, err
}

func (b *redisBank) log() cdc.Log { return b.l }

func (b *redisBank) state(ctx context.Context) (cdc.WorkerState, error) {
	return b.place.Load(ctx, worker)
}

func (b *redisBank) consume(ctx context.Context, h how) error {
	return cdc.Consume(ctx, b.l, worker, behind[redis.Pipeliner](b.place, h), cdc.Handler[redis.Pipeliner]{
		Prepare: prepare,
		Apply: func(ctx context.Context, tx redis.Pipeliner, d *cdc.Delivery) error {
			t, err := parse(d.Event)
			if err != nil {
				return err
			}
			tx.HIncrBy(ctx, redisAccounts, strconv.Itoa(t.from), int64(-t.amount))
			tx.HIncrBy(ctx, redisAccounts, strconv.Itoa(t.to), int64(t.amount))
			tx.HIncrBy(ctx, redisEffects, d.Event.ID, 1)
			return nil
		},
	}, h.opts)
}

func (b *redisBank) read(ctx context.Context) (books, error) {
	r := books{map[int]int{}, map[string]int{}}
	balances, err := b.client.HGetAll(ctx, redisAccounts).Result()
	if err != nil {
		return r, err
	}
	for id, n := range balances {
		account, _ := strconv.Atoi(id) // written by us alone
		r.balances[account], _ = strconv.Atoi(n)
	}
	effects, err := b.client.HGetAll(ctx, redisEffects).Result()
	for id, n := range effects {
		r.effects[id], _ = strconv.Atoi(n)
	}
	return r, err
}
