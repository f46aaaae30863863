package mysql

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// now is microseconds since 1970, by the clock at this moment, not at the
// start of the transaction.
const now = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"

// open implements engine.Dialect: the only mode is Sequencer.
func open(_ context.Context, h *engine.Host, s engine.Settings) (engine.Engine, error) {
	n := s.Names
	state := fmt.Sprintf("SELECT 0 AS seq, CAST(h.epoch AS BINARY) AS id, CAST(h.floor AS CHAR) AS topic, CAST(h.head AS CHAR) AS type, CAST(h.head AS CHAR) AS `key`,"+
		" NULL AS time, NULL AS data, CONCAT(EXISTS (SELECT 1 FROM %s), ' ', h.server, ' -') AS meta FROM %s h WHERE h.one = 1", n.Inbox, n.Head)
	beside := fmt.Sprintf("SELECT l.seq, l.id, l.topic, l.type, l.`key`, l.time, l.data, l.meta,"+
		" IF(l.seq = %[1]s, CONCAT_WS(' ', h.epoch, h.floor, h.head, h.head, EXISTS (SELECT 1 FROM %[2]s), h.server, '-'), NULL)"+
		" FROM %[3]s h STRAIGHT_JOIN %[4]s l WHERE h.one = 1 AND l.seq >= %[1]s ORDER BY l.seq LIMIT %[5]s", engine.Number1, n.Inbox, n.Head, n.Log, engine.Number2)
	b := &engine.Base{
		DB: h.DB, Settings: s, StateSQL: state,
		PageSQL: "(" + state + ") UNION ALL (SELECT seq, id, topic, type, `key`, time, data, meta FROM " + n.Log + " WHERE seq >= " + engine.Number1 + " ORDER BY seq LIMIT " + engine.Number2 + ")",
		Beside:  beside,
		Now:     now,
	}
	b.Rewound = b.NewServer
	b.Select = func(where string) string {
		return "SELECT seq, id, topic, type, `key`, time, data, meta FROM " + n.Log + " WHERE " + where
	}
	b.Topics = topics(n, b.Select)
	lock := "SELECT epoch, floor, head, 0, NULL FROM " + n.Head + " WHERE one = 1 FOR UPDATE"
	m := mover{
		batch: fmt.Sprintf("SELECT i.pos, i.id, l.seq FROM %s i LEFT JOIN %s l ON l.id = i.id ORDER BY i.pos LIMIT %d", n.Inbox, n.Log, engine.MoveBatch),
		add: fmt.Sprintf("INSERT INTO %s (seq, id, topic, type, `key`, time, data, meta) SELECT j.seq, i.id, i.topic, i.type, i.`key`, i.time, i.data, i.meta"+
			" FROM JSON_TABLE(?, '$[*]' COLUMNS (pos BIGINT PATH '$[0]', seq BIGINT PATH '$[1]')) j STRAIGHT_JOIN %s i ON i.pos = j.pos WHERE j.seq > 0", n.Log, n.Inbox),
		remove: fmt.Sprintf("DELETE i FROM JSON_TABLE(?, '$[*]' COLUMNS (pos BIGINT PATH '$[0]')) j STRAIGHT_JOIN %s i ON i.pos = j.pos", n.Inbox),
	}
	return engine.NewNumbering(b, engine.Numbering{
		Lock: lock, Pass: lock, TryPass: lock + " SKIP LOCKED",
		Advance: "UPDATE " + n.Head + " SET head = " + engine.Number1 + " WHERE one = 1",
		Move:    m.move,
	}), nil
}

// mover moves a batch in three statements. Each has a read view of its
// own, so the batch is chosen first, by a read that takes no locks, and then
// named row by row: a DELETE that looked for rows itself would wait for the
// writers in flight between them, and could take rows that were not copied.
type mover struct{ batch, add, remove string }

func (m mover) move(ctx context.Context, tx engine.Session, head uint64) (taken, numbered int, err error) {
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
// ID the log has.
func (m mover) choose(ctx context.Context, tx engine.Session, head uint64) (places [][2]uint64, numbered int, err error) {
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
