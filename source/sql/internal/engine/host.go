package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Host is what the logs of one database share: the pool, and one connection of
// it that is kept.
type Host struct {
	DB DB

	turn chan struct{} // held by the one who uses the connection; a channel, so that ctx ends waiting
	conn *sql.Conn     // guarded by turn
	age  uint64        // of conn: how many there were before; guarded by turn

	mu     sync.Mutex
	closed bool
}

// NewHost takes no connection yet.
func NewHost(db DB) *Host { return &Host{DB: db, turn: make(chan struct{}, 1)} }

// Kept runs fn with the connection that is kept, alone. age is another number
// when it is another connection than the time before. An error that is not the
// server's answer gives the connection up.
func (h *Host) Kept(ctx context.Context, fn func(conn *sql.Conn, age uint64) error) error {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer h.release()
	if h.isClosed() {
		return cdc.ErrClosed
	}
	if h.conn == nil {
		conn, err := h.DB.Conn(ctx)
		if err != nil {
			return err
		}
		h.conn = conn
		h.age++
	}
	err := fn(h.conn, h.age)
	if err != nil && !IsAnswer(err) {
		_ = h.giveUp() // it goes back to the pool, which tests it
	}
	return err
}

// reserveWait is how long Reserve waits for connections that the application may
// be using.
const reserveWait = 3 * time.Second

var errNoneLeft = errors.New("no connection of the pool became free")

// Reserve takes the connection that is kept, and refuses a pool that has none
// left beside it: every call would wait for ever.
func (h *Host) Reserve(ctx context.Context) error {
	most := h.DB.Stats().MaxOpenConnections
	if most == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeoutCause(ctx, reserveWait, errNoneLeft)
	defer cancel()
	err := h.Kept(waiting, func(*sql.Conn, uint64) error {
		other, err := h.DB.Conn(waiting)
		if err != nil {
			return err
		}
		return other.Close()
	})
	if err != nil && errors.Is(context.Cause(waiting), errNoneLeft) {
		return fmt.Errorf("all %d connections of the pool are in use, and a log keeps one of them: open the logs of one database by one Store, or allow more by SetMaxOpenConns: %w", most, errNoneLeft)
	}
	return err
}

// release lets the next one use the connection, or gives it back if the host was
// closed meanwhile.
func (h *Host) release() {
	<-h.turn
	if h.isClosed() {
		_ = h.Close() // it only goes back to the pool
	}
}

// giveUp must be called by the one who has the turn.
func (h *Host) giveUp() error {
	if h.conn == nil {
		return nil
	}
	err := h.conn.Close()
	h.conn = nil
	return err
}

func (h *Host) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// Close gives the connection back, at once or when the call that is using it
// has returned. It waits for nobody.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	select {
	case h.turn <- struct{}{}:
		err := h.giveUp()
		<-h.turn
		if errors.Is(err, sql.ErrConnDone) {
			err = nil // the pool was closed before
		}
		return err
	default:
		return nil
	}
}
