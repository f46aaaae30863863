package sqllog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// mysqlNow is microseconds since 1970, by the clock at this moment, not at the
// start of the transaction.
const mysqlNow = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"

func newMySQLSequencer(db *sqlx.DB, s settings) *sequencer {
	n := s.names
	state := fmt.Sprintf("SELECT 0 AS seq, CAST(h.epoch AS BINARY) AS id, CAST(h.floor AS CHAR) AS topic, CAST(h.head AS CHAR) AS type, CAST(h.head AS CHAR) AS `key`,"+
		" NULL AS time, NULL AS data, CONCAT(EXISTS (SELECT 1 FROM %s), ' ', h.server, ' -') AS meta FROM %s h WHERE h.one = 1", n.inbox, n.head)
	t := &store{
		db: db, settings: s, stateSQL: state,
		pageSQL: "(" + state + ") UNION ALL (SELECT seq, id, topic, type, `key`, time, data, meta FROM " + n.log + " WHERE seq >= " + number1 + " ORDER BY seq LIMIT " + number2 + ")",
		now:     mysqlNow,
		dense:   true,
	}
	t.rewound = t.newServer
	lock := "SELECT epoch, floor, head, 0 FROM " + n.head + " WHERE one = 1 FOR UPDATE"
	m := mysqlMover{
		batch: fmt.Sprintf("SELECT i.pos, i.id, l.seq FROM %s i LEFT JOIN %s l ON l.id = i.id ORDER BY i.pos LIMIT %d", n.inbox, n.log, moveBatch),
		add: fmt.Sprintf("INSERT INTO %s (seq, id, topic, type, `key`, time, data, meta) SELECT j.seq, i.id, i.topic, i.type, i.`key`, i.time, i.data, i.meta"+
			" FROM JSON_TABLE(?, '$[*]' COLUMNS (pos BIGINT PATH '$[0]', seq BIGINT PATH '$[1]')) j STRAIGHT_JOIN %s i ON i.pos = j.pos WHERE j.seq > 0", n.log, n.inbox),
		remove: fmt.Sprintf("DELETE i FROM JSON_TABLE(?, '$[*]' COLUMNS (pos BIGINT PATH '$[0]')) j STRAIGHT_JOIN %s i ON i.pos = j.pos", n.inbox),
	}
	return &sequencer{pace: newPacer(s.rest), store: t, sql: sequencerSQL{
		lock: lock, pass: lock, tryPass: lock + " SKIP LOCKED",
		advance: "UPDATE " + n.head + " SET head = " + number1 + " WHERE one = 1",
		move:    m.move,
	}}
}

// mysqlMover moves a batch in three statements. Each has a read view of its
// own, so the batch is chosen first, by a read that takes no locks, and then
// named row by row: a DELETE that looked for rows itself would wait for the
// writers in flight between them, and could take rows that were not copied.
type mysqlMover struct{ batch, add, remove string }

func (m mysqlMover) move(ctx context.Context, tx *sqlx.Tx, head uint64) (taken, numbered int, err error) {
	places, numbered, err := m.choose(ctx, tx, head)
	if err != nil || len(places) == 0 {
		return 0, 0, err
	}
	list, err := json.Marshal(places)
	if err != nil {
		return 0, 0, err
	}
	res, err := tx.ExecContext(ctx, m.add, string(list))
	if err == nil {
		err = wantRows(res.RowsAffected, numbered, "copied")
	}
	if err != nil {
		return 0, 0, err
	}
	if res, err = tx.ExecContext(ctx, m.remove, string(list)); err == nil {
		err = wantRows(res.RowsAffected, len(places), "removed")
	}
	return len(places), numbered, err
}

func wantRows(affected func() (int64, error), want int, what string) error {
	n, err := affected()
	if err == nil && n != int64(want) {
		err = fmt.Errorf("%d inbox rows were %s instead of %d: is another program changing the inbox?", n, what, want)
	}
	return err
}

// choose returns pairs of inbox position and seq; the seq is 0 for a row whose
// ID is known.
func (m mysqlMover) choose(ctx context.Context, tx *sqlx.Tx, head uint64) (places [][2]uint64, numbered int, err error) {
	rows, err := tx.QueryContext(ctx, m.batch)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	seen := map[string]bool{}
	for rows.Next() {
		var pos uint64
		var id *string
		var seq *int64
		if err := rows.Scan(&pos, &id, &seq); err != nil {
			return nil, 0, err
		}
		place := [2]uint64{pos, 0}
		if seq == nil && (id == nil || !seen[*id]) {
			numbered++
			place[1] = head + uint64(numbered)
		}
		if id != nil {
			seen[*id] = true
		}
		places = append(places, place)
	}
	return places, numbered, rows.Err()
}

// mysqlSchema are the statements that make our tables, if they are missing.
// The collation of the ID compares bytes; utf8mb4_bin would ignore trailing
// spaces.
func mysqlSchema(s settings) []string {
	n := s.names
	const text = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	events := strings.NewReplacer("TEXT", text, "NOW", mysqlNow).Replace(
		"topic TEXT NOT NULL, type TEXT NOT NULL, `key` TEXT NOT NULL, time BIGINT NOT NULL, data LONGBLOB, meta TEXT")
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.head + " (one SMALLINT PRIMARY KEY, version INT NOT NULL, epoch VARCHAR(64) NOT NULL, " +
			"floor BIGINT NOT NULL, head BIGINT NOT NULL, server VARCHAR(64) NOT NULL) ENGINE=InnoDB CHARACTER SET ascii",
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (seq BIGINT PRIMARY KEY, id VARBINARY(%d), %s, UNIQUE KEY %s (id)) ENGINE=InnoDB",
			n.log, maxIDBytes, events, n.quote(n.table+"_id")),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (pos BIGINT PRIMARY KEY AUTO_INCREMENT, id VARBINARY(%d), %s) ENGINE=InnoDB", n.inbox, maxIDBytes, events),
		"INSERT IGNORE INTO " + n.head + " SELECT 1, 1, LEFT(SHA2(CONCAT(UUID(), RAND()), 256), 16), " + firstBounds(s) + ", '-'",
	}
}

// mysqlLocked runs fn while no other process makes a schema. MySQL commits
// every statement that defines data at once.
func mysqlLocked(ctx context.Context, db *sqlx.DB, s settings, fn func(conn *sqlx.Conn) error) error {
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // only frees it
	name := "gapless " + s.names.table
	name = name[:min(len(name), 64)]
	var locked bool
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(GET_LOCK(?, 60), 0)", name).Scan(&locked); err != nil {
		return err
	}
	if !locked {
		return errors.New("another process has been making the schema for a minute: try again")
	}
	err = fn(conn)
	if _, rerr := conn.ExecContext(context.WithoutCancel(ctx), "SELECT RELEASE_LOCK(?)", name); rerr != nil {
		err = errors.Join(err, rerr)
	}
	return err
}
