package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// schema implements engine.Schema.
type schema struct{}

// Alone implements engine.Schema, by a named lock: MySQL commits every statement
// that defines data at once.
func (schema) Alone(ctx context.Context, db engine.DB, s engine.Settings, fn func(tx engine.Session) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // only frees it
	name := "gapless " + s.Names.Table
	name = name[:min(len(name), 64)]
	var locked bool
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(GET_LOCK(?, 60), 0)", name).Scan(&locked); err != nil {
		return err
	}
	if !locked {
		return errors.New("another process has been making the schema for a minute: try again")
	}
	err = pinned(ctx, conn, fn)
	if _, rerr := conn.ExecContext(context.WithoutCancel(ctx), "SELECT RELEASE_LOCK(?)", name); rerr != nil {
		err = errors.Join(err, rerr)
	}
	return err
}

// triggerMode is the sql_mode in which triggers are made, and so run.
const triggerMode = "STRICT_ALL_TABLES"

// pinned runs fn with the settings that a trigger keeps from the session that
// makes it, and with one that gives up after a few seconds on a lock behind which
// all other statements of the table would wait.
func pinned(ctx context.Context, conn *sql.Conn, fn func(tx engine.Session) error) error {
	var mode string
	var wait int64
	if err := conn.QueryRowContext(ctx, "SELECT @@SESSION.sql_mode, @@SESSION.lock_wait_timeout").Scan(&mode, &wait); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "SET SESSION sql_mode = "+literal(triggerMode)+", lock_wait_timeout = 5"); err != nil {
		return err
	}
	err := fn(conn)
	ctx = context.WithoutCancel(ctx)
	_, unlocked := conn.ExecContext(ctx, "UNLOCK TABLES")
	_, restored := conn.ExecContext(ctx, "SET SESSION sql_mode = "+literal(mode)+fmt.Sprintf(", lock_wait_timeout = %d", wait))
	return errors.Join(err, unlocked, restored)
}

// Statements implements engine.Schema. The collation of the ID compares bytes;
// utf8mb4_bin would ignore trailing spaces. With the inbox's defaults any program
// can append, see docs/sql.md.
func (schema) Statements(s engine.Settings) []string {
	n := s.Names
	const text = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	events := strings.ReplaceAll(
		"topic TEXT NOT NULL, type TEXT NOT NULL, `key` TEXT NOT NULL, time BIGINT NOT NULL, data LONGBLOB, meta TEXT", "TEXT", text)
	appended := strings.NewReplacer(text+" NOT NULL", text+" NOT NULL DEFAULT ('')", "BIGINT NOT NULL", "BIGINT NOT NULL DEFAULT ("+now+")").Replace(events)
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.Head + " (one SMALLINT PRIMARY KEY, version INT NOT NULL, epoch VARCHAR(64) NOT NULL, " +
			"floor BIGINT NOT NULL, head BIGINT NOT NULL, server VARCHAR(64) NOT NULL) ENGINE=InnoDB CHARACTER SET ascii",
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (seq BIGINT PRIMARY KEY, id VARBINARY(%d), %s, %s, UNIQUE KEY %s (id), KEY %s (topic_hash, seq)) ENGINE=InnoDB",
			n.Log, engine.MaxIDBytes, events, topicHash, n.Quote(n.Table+"_id"), n.Quote(n.Table+"_topic")),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (pos BIGINT PRIMARY KEY AUTO_INCREMENT, id VARBINARY(%d), %s) ENGINE=InnoDB", n.Inbox, engine.MaxIDBytes, appended),
		"INSERT IGNORE INTO " + n.Head + " SELECT 1, 1, LEFT(SHA2(CONCAT(UUID(), RAND()), 256), 16), " + engine.FirstBounds(s) + ", '-'",
	}
}
