package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// sequencer is the engine of mode Sequencer.
type sequencer struct {
	*engine.NumberingEngine
	db engine.DB
	s  engine.Settings
}

func newSequencer(ctx context.Context, db engine.DB, s engine.Settings) (*sequencer, error) {
	n := s.Names
	state := stateRow{head: "h.head", last: "h.head", pending: pendingPlace, server: serverIdentity}
	pass := func(wait bool) string {
		return fmt.Sprintf("SELECT * FROM %s(%d, %t, %s, %s)", passName(n), engine.MoveBatch, wait, literal(s.Token), knownPlace)
	}
	numbering := engine.Numbering{
		Lock:    "SELECT epoch, floor, head, 0, NULL FROM " + n.Head + " ORDER BY head DESC LIMIT 1 FOR UPDATE",
		Advance: "UPDATE " + n.Head + " SET head = " + engine.Number1 + " WHERE ctid = (SELECT place FROM " + latestHead(n) + " h) RETURNING pg_notify(" + literal(channel(s)) + ", " + literal(s.Token) + ")",
		Pass:    pass(true),
		TryPass: pass(false),
	}
	if err := db.QueryRowContext(ctx, "SELECT current_setting('transaction_isolation') <> 'read committed'").Scan(&numbering.Strict); err != nil {
		return nil, err
	}
	base := newBase(db, s, state.sql(n))
	base.Memory = &lowWater{inbox: n.Inbox, quotedInbox: literal(n.Inbox)}
	if err := byTopics(ctx, base); err != nil {
		return nil, err
	}
	return &sequencer{engine.NewNumbering(base, numbering), db, s}, nil
}

// Assist implements engine.Engine.
func (q *sequencer) Assist(ctx context.Context, f *engine.Feed) {
	var tasks sync.WaitGroup
	tasks.Go(func() { listen(ctx, q.db, q.s, f) })
	sweep(ctx, q.db, q.s.Names, f)
	tasks.Wait()
}

// moveStatement does the whole move in one statement and so in one snapshot, in
// which rows are found again by their place. All rows that it sees lie below the
// position of now, but for those that came from another server, with a dump for
// instance: they are older than any of this one.
const moveStatement = `
WITH batch AS (
	DELETE FROM INBOX WHERE ctid = ANY (ARRAY(
		(SELECT ctid FROM INBOX WHERE pos > (SELECT POSITION) ORDER BY pos LIMIT batch_size)
		UNION ALL
		(SELECT ctid FROM INBOX WHERE pos >= first AND pos <= (SELECT POSITION) ORDER BY pos LIMIT batch_size)
		LIMIT batch_size)) RETURNING *, pos <= POSITION AS here
), fresh AS (
	SELECT * FROM batch WHERE id IS NULL
	UNION ALL
	SELECT d.* FROM (SELECT DISTINCT ON (id) * FROM batch WHERE id IS NOT NULL ORDER BY id, here, pos) d
	WHERE NOT EXISTS (SELECT 1 FROM LOG l WHERE l.id = d.id)
), added AS (
	INSERT INTO LOG (seq, id, topic, type, key, time, data, meta)
	SELECT o_head + row_number() OVER (ORDER BY here, pos), id, topic, type, key, time, data, meta FROM fresh ORDER BY here, pos
	RETURNING 1
)
SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM added), (SELECT max(pos) FROM batch HAVING bool_and(here)) INTO o_taken, numbered, highest`

// passName is the function that does a pass.
func passName(n engine.Names) string { return n.Qualify(n.Table + "_pass") }

func passSignature(n engine.Names) string { return passName(n) + "(integer, boolean, text, text)" }

// passFunction makes it. In READ COMMITTED each of its statements has
// a snapshot of its own; under a stricter isolation the lock fails instead, if
// another pass came between. A plan is kept, and one that was made when the
// inbox was small would read all of it, with what is gone: hence enable_seqscan.
// What known and o_known are is told at lowWater.
func passFunction(s engine.Settings) func(n engine.Names) function {
	return func(n engine.Names) function {
		return function{
			signature: passName(n) + "(batch_size integer, wait boolean, token text, known text, OUT o_epoch text, OUT o_floor bigint, OUT o_head bigint, OUT o_taken integer, OUT o_known text)",
			arguments: "integer, boolean, text, text",
			settings:  []string{searchPath, "enable_seqscan=off"},
			body: strings.NewReplacer("INBOXNAME", literal(n.Inbox), "INBOX", n.Inbox, "LOG", n.Log, "HEAD", n.Head, "CHANNEL", literal(channel(s)), "POSITION", position,
				"SERVERSTART", serverStart, "WRITERS", writersOf(literal(n.Inbox))).Replace(`
#variable_conflict use_column
DECLARE
	numbered bigint;
	place tid;
	low bigint := -9223372036854775808;
	bounds jsonb := '{}';
	flushed bigint;
	listed text[];
	first bigint;
	highest bigint;
BEGIN
	IF wait THEN
		SELECT epoch, floor, head, ctid INTO o_epoch, o_floor, o_head, place FROM HEAD ORDER BY head DESC LIMIT 1 FOR UPDATE;
	ELSE
		SELECT epoch, floor, head, ctid INTO o_epoch, o_floor, o_head, place FROM HEAD ORDER BY head DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
	END IF;
	IF NOT FOUND THEN RETURN; END IF;
	IF known::jsonb ->> 'server' = SERVERSTART THEN
		low := (known::jsonb ->> 'low')::bigint;
		bounds := known::jsonb -> 'writers';
	END IF;
	flushed := (pg_current_wal_flush_lsn() - '0/0')::bigint;
	listed := ARRAY(WRITERS);
	first := least(low, (SELECT min(value::bigint) FROM jsonb_each_text(bounds) WHERE key <> ALL (listed)));
	` + moveStatement + `;
	IF numbered > 0 THEN
		o_head := o_head + numbered;
		UPDATE HEAD SET head = o_head WHERE ctid = place;
		PERFORM pg_notify(CHANNEL, token);
	END IF;
	IF current_setting('synchronous_commit') <> 'off' THEN
		IF o_taken >= batch_size THEN
			flushed := least(flushed, coalesce(highest, first));
		END IF;
		o_known := jsonb_build_object('server', SERVERSTART, 'low', flushed, 'writers', (SELECT coalesce(jsonb_object_agg(writer,
			coalesce((bounds ->> writer)::bigint, CASE WHEN writer LIKE '-1/%' THEN first ELSE low END)), '{}') FROM unnest(listed) AS l (writer)));
	END IF;
END`),
		}
	}
}
