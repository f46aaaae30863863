package sqllog_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"runtime/pprof"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// idleConns is as many as a case uses at once. Of the two that database/sql
// keeps by default, nearly every statement of a busy case would be on a new one.
const idleConns = 16

// pools keeps the pools of closed handles for the next ones: a new connection
// costs PostgreSQL as much as a hundred statements. No two handles have a pool
// at the same time.
type pools struct {
	driver, dsn string
	connector   driver.Connector

	mu     sync.Mutex
	idle   []*sqlx.DB
	closed bool
}

// newPools ends with the test.
func newPools(tb testing.TB, driver, dsn string) *pools {
	tb.Helper()
	p := &pools{driver: driver, dsn: dsn}
	var err error
	if driver == "postgres" {
		p.connector, err = pq.NewConnector(dsn)
	} else {
		p.connector, err = mysql.MySQLDriver{}.OpenConnector(dsn)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.close)
	return p
}

func (p *pools) take() (db *sqlx.DB, giveUp func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		db, p.idle = p.idle[n-1], p.idle[:n-1]
	} else {
		unlabelled(func() { db = sqlx.NewDb(sql.OpenDB(sharedConnector{p.connector}), p.driver) })
		db.SetMaxIdleConns(idleConns)
	}
	return db, func() error { return p.give(db) }
}

// give keeps a pool whose connections are all at rest.
func (p *pools) give(db *sqlx.DB) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if db.Stats().InUse > 0 || p.closed {
		return db.Close()
	}
	p.idle = append(p.idle, db)
	return nil
}

func (p *pools) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, db := range p.idle {
		_ = db.Close() // only frees it
	}
	p.idle, p.closed = nil, true
}

// sharedConnector makes connections whose goroutines are not taken for those
// that the case left, because they outlive it.
type sharedConnector struct{ driver.Connector }

func (c sharedConnector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	unlabelled(func() { conn, err = c.Connector.Connect(ctx) })
	return conn, err
}

// unlabelled runs f on a goroutine without the labels of this one.
func unlabelled(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		pprof.SetGoroutineLabels(context.Background())
		f()
	}()
	<-done
}
