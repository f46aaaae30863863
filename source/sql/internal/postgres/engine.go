package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// open implements engine.Dialect.
func open(ctx context.Context, h *engine.Host, s engine.Settings) (engine.Engine, error) {
	if err := checkListenDSN(s.ListenDSN); err != nil {
		return nil, err
	}
	switch s.Mode {
	case engine.Fence:
		if h.DB.Stats().MaxOpenConnections == 1 {
			return nil, errors.New("mode fence keeps a connection of the pool for itself, and the pool has only one: db.SetMaxOpenConns(2) or more")
		}
		if err := h.Reserve(ctx); err != nil {
			return nil, err
		}
		return newFencer(ctx, h, s)
	case engine.AtCommit:
		return newAtCommit(ctx, h.DB, s)
	}
	return newSequencer(ctx, h.DB, s)
}

// serverIdentity identifies the server and its history: a restored copy has
// another system identifier, the survivor of a failover another timeline.
const serverIdentity = `CASE WHEN pg_is_in_recovery() THEN '` + engine.ReplicaServer + `' ELSE (SELECT system_identifier::text FROM pg_control_system())` +
	` || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END`

// latestHead is the head row for FROM. As long as an old snapshot is open, all
// of its earlier versions are there, and the index begins with the latest.
func latestHead(n engine.Names) string {
	return "(SELECT *, ctid AS place FROM " + n.Head + " ORDER BY head DESC LIMIT 1)"
}

// stateRow has the expressions of the state's row.
type stateRow struct {
	head, last, pending, server string
}

func (e stateRow) sql(n engine.Names) string {
	return fmt.Sprintf(`SELECT 0::bigint AS seq, h.epoch AS id, h.floor::text AS topic, (%s)::text AS type, (%s)::text AS key,`+
		` NULL AS time, NULL::bytea AS data, (CASE WHEN %s THEN '1 ' ELSE '0 ' END) || h.server || ' ' || (%s) AS meta`+
		` FROM %s h`, e.head, e.last, e.pending, e.server, latestHead(n))
}

const pageRows = `SELECT seq, id, topic, type, key, time, data, meta::text AS meta FROM %s WHERE seq >= ` + engine.Number1 + ` ORDER BY seq LIMIT ` + engine.Number2

func newBase(db engine.DB, s engine.Settings, state string) *engine.Base {
	b := &engine.Base{
		DB: db, Settings: s,
		StateSQL: state,
		PageSQL:  state + " UNION ALL (" + fmt.Sprintf(pageRows, s.Names.Log) + ")",
		Now:      "clock_timestamp()",
	}
	b.Rewound = b.NewServer
	b.Select = func(where string) string {
		return "SELECT seq, id, topic, type, key, time, data, meta::text AS meta FROM " + s.Names.Log + " WHERE " + where
	}
	return b
}

// channel is the name that LISTEN and NOTIFY use, within PostgreSQL's 63 bytes.
func channel(s engine.Settings) string {
	name := "gapless_" + s.Names.Schema + "." + s.Names.Table
	if len(name) > 63 {
		name = "gapless_" + cdc.Event{Key: name}.Tag()
	}
	return name
}
