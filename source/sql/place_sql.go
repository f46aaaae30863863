package sqllog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// placeSQL are the statements of a place, with the placeholders of its dialect.
type placeSQL struct {
	param func(n int) string

	newState, newLease               string
	look, renew, giveUp              string
	lockState, takeLease, raise      string
	revision, load, workers, advance string
	unpark, park, replace            string
}

func newPlaceSQL(d *engine.Dialect, n engine.PlaceNames) placeSQL {
	p, q := d.Placer, placeSQL{param: d.Syntax.Param}
	fill := func(query string) string { // :1, :2 … in their order are the placeholders
		for i := range 9 {
			query = strings.Replace(query, fmt.Sprint(":", i+1), q.param(i+1), 1)
		}
		return strings.NewReplacer("STATE", n.State, "LEASE", n.Lease, "PARKED", n.Parked, "CLOCK", p.Now).Replace(query)
	}
	lease := "SELECT l.holder, l.generation, l.expires, CLOCK, s.revision FROM STATE s JOIN LEASE l ON l.name = s.name WHERE s.name = :1"
	q.newState = fill(p.Insert + "STATE (name, revision, generation, position, paused) VALUES (:1, 0, 0, '', :2)" + p.Keep)
	q.newLease = fill(p.Insert + "LEASE (name, holder, generation, expires) VALUES (:1, '', 0, 0)" + p.Keep)
	q.look = fill(lease)
	q.renew = fill("UPDATE LEASE SET expires = CLOCK + :1 WHERE name = :2 AND holder = :3 AND expires > 0")
	q.giveUp = fill("UPDATE LEASE SET expires = 0 WHERE name = :1 AND holder = :2")
	q.lockState = fill("SELECT revision FROM STATE WHERE name = :1") + p.Lock
	q.takeLease = fill("UPDATE LEASE SET holder = :1, generation = generation + 1, expires = CLOCK + :2 WHERE name = :3 AND generation = :4 AND expires <= CLOCK")
	q.raise = fill("UPDATE STATE SET revision = revision + 1, generation = :1 WHERE name = :2")
	q.revision = fill("SELECT revision FROM STATE WHERE name = :1")
	q.load = fill("SELECT s.revision, s.generation, s.position, s.paused, p.entry FROM STATE s LEFT JOIN PARKED p ON p.name = s.name WHERE s.name = :1 ORDER BY p.seq")
	q.workers = fill("SELECT s.name, s.position, s.paused, (SELECT count(*) FROM PARKED p WHERE p.name = s.name), coalesce(l.holder, '')," +
		" coalesce(l.generation, 0), s.revision, coalesce(l.expires, 0), CLOCK FROM STATE s LEFT JOIN LEASE l ON l.name = s.name WHERE s.revision > 0 ORDER BY s.name")
	q.advance = fill("UPDATE STATE SET revision = revision + 1, position = :1, paused = :2 WHERE name = :3 AND revision = :4")
	q.unpark = fill("DELETE FROM PARKED WHERE name = :1 AND seq IN ")
	q.park = fill("INSERT INTO PARKED (name, seq, entry) VALUES ")
	q.replace = p.Replace
	return q
}

// maxParams keeps statements within what every database takes.
const maxParams = 900

// writeParked removes and adds parked events.
func (q placeSQL) writeParked(ctx context.Context, tx engine.Tx, worker string, change cdc.Change) error {
	for seqs := change.Unpark; len(seqs) > 0; {
		n := min(len(seqs), maxParams-1)
		args, params := []any{worker}, make([]string, n)
		for i, seq := range seqs[:n] {
			args, params[i] = append(args, seqText(seq)), q.param(i+2)
		}
		if _, err := tx.ExecContext(ctx, q.unpark+"("+strings.Join(params, ", ")+")", args...); err != nil {
			return err
		}
		seqs = seqs[n:]
	}
	for entries := change.Park; len(entries) > 0; {
		n := min(len(entries), maxParams/3)
		args, rows := []any{}, make([]string, n)
		for i, entry := range entries[:n] {
			text, err := json.Marshal(entry)
			if err != nil {
				return err
			}
			args = append(args, worker, seqText(entry.Event.Seq), string(text))
			rows[i] = "(" + q.param(3*i+1) + ", " + q.param(3*i+2) + ", " + q.param(3*i+3) + ")"
		}
		if _, err := tx.ExecContext(ctx, q.park+strings.Join(rows, ", ")+q.replace, args...); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// seqText is a seq as a text that sorts as the number does.
func seqText(seq uint64) string { return fmt.Sprintf("%020d", seq) }

// cursorText is empty for a worker that never began.
func cursorText(c cdc.Cursor) string {
	if c == (cdc.Cursor{}) {
		return ""
	}
	return c.String()
}

func parseCursor(text string) (cdc.Cursor, error) {
	if text == "" {
		return cdc.Cursor{}, nil
	}
	return cdc.ParseCursor(text)
}

// readState reads the rows of load.
func readState(rows *sql.Rows) (state cdc.WorkerState, err error) {
	defer func() { _ = rows.Close() }() // only frees it
	for rows.Next() {
		var revision, generation int64
		var position string
		var entry sql.NullString
		if err := rows.Scan(&revision, &generation, &position, &state.Paused, &entry); err != nil {
			return state, err
		}
		state.Revision, state.Generation = uint64(revision), uint64(generation)
		if state.Cursor, err = parseCursor(position); err != nil {
			return state, fmt.Errorf("its position: %w", err)
		}
		if !entry.Valid {
			continue
		}
		var parked cdc.Parked
		if err := json.Unmarshal([]byte(entry.String), &parked); err != nil {
			return state, fmt.Errorf("a parked event: %w", err)
		}
		state.Parked = append(state.Parked, parked)
	}
	return state, rows.Err()
}

func readWorkers(rows *sql.Rows) (list []cdc.Worker, err error) {
	defer func() { _ = rows.Close() }() // only frees it
	for rows.Next() {
		var w cdc.Worker
		var position string
		var l storedLease
		if err := rows.Scan(&w.Name, &position, &w.Paused, &w.Parked, &l.holder, &l.generation, &l.revision, &l.expires, &l.now); err != nil {
			return nil, err
		}
		if w.Cursor, err = parseCursor(position); err != nil {
			return nil, fmt.Errorf("the position of worker %q: %w", w.Name, err)
		}
		w.Lease = l.lease()
		list = append(list, w)
	}
	return list, rows.Err()
}
