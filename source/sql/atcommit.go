package sqllog

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// atCommit is the engine of mode AtCommit. Writers insert into the inbox; a
// deferred trigger moves a transaction's rows into the log just before its
// commit, under a lock that is released after the commit is visible. The
// numbers come from a sequence and not from a row, so that transactions of a
// stricter isolation level do not collide.
type atCommit struct {
	*drawn
	lockSQL, notifySQL string
}

// atCommitLock is the statement that takes the lock; PERFORM or SELECT comes
// before it.
func atCommitLock(n names) string {
	return "pg_advisory_xact_lock(1735158131, " + literal(Postgres, n.log) + "::regclass::oid::integer)"
}

func newAtCommit(ctx context.Context, db *sqlx.DB, s settings) (*atCommit, error) {
	d, err := newDrawn(ctx, db, s, "")
	if err != nil {
		return nil, err
	}
	return &atCommit{
		drawn: d, lockSQL: "SELECT " + atCommitLock(s.names),
		notifySQL: "SELECT pg_notify(" + literal(Postgres, channel(s)) + ", " + literal(Postgres, s.token) + ")",
	}, nil
}

// atCommitSchema are the trigger and its function. The first of a
// transaction's rows moves them all, the others find nothing left to do.
func atCommitSchema(s settings) []string {
	n := s.names
	body := strings.NewReplacer("INBOX", n.inbox, "LOG", n.log, "LOCK", atCommitLock(n), "CHANNEL", literal(Postgres, channel(s))).Replace(`
BEGIN
	IF NOT EXISTS (SELECT 1 FROM INBOX WHERE pos = NEW.pos) THEN
		RETURN NULL;
	END IF;
	PERFORM LOCK;
	WITH batch AS (
		DELETE FROM INBOX WHERE pos >= NEW.pos RETURNING *
	)
	INSERT INTO LOG (id, topic, type, key, time, data, meta)
	SELECT id, topic, type, key, time, data, meta FROM batch ORDER BY pos
	ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING;
	PERFORM pg_notify(CHANNEL, '');
	RETURN NULL;
END`)
	name := n.qualify(n.table + "_number")
	return []string{
		postgresFunction(name, body, "enable_seqscan=off"), // as for the pass
		postgresTrigger(n, n.table+"_inbox", n.table+"_number", fmt.Sprintf("CREATE CONSTRAINT TRIGGER %s AFTER INSERT ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION %s()",
			n.quote(n.table+"_number"), n.inbox, name)),
	}
}

func (a *atCommit) settle(ctx context.Context) (cdc.Bounds, error) {
	st, err := a.peek(ctx)
	return st.bounds, err
}

func (a *atCommit) poll(ctx context.Context) (cdc.Bounds, bool, error) {
	b, err := a.settle(ctx)
	return b, false, err
}

func (a *atCommit) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	p, err := a.query(ctx, after, limit)
	if err != nil {
		return cdc.Page{}, err
	}
	return p.page(after)
}

func (a *atCommit) peek(ctx context.Context) (state, error) { return a.store.peek(ctx) }

func (a *atCommit) append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	return a.appendDrawn(ctx, events, a.lockSQL, a.notifySQL)
}

func (a *atCommit) appendTx(ctx context.Context, tx Tx, events []cdc.Event) error {
	return a.insert(ctx, tx, a.settings.names.inbox, events, nil)
}

func (a *atCommit) trim(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	b, err := a.settle(ctx)
	if err != nil {
		return 0, false, err
	}
	return a.trimDrawn(ctx, min(seq, b.Head))
}

func (a *atCommit) renew(ctx context.Context) (string, error) { return a.setEpoch(ctx) }

func (a *atCommit) close() error { return nil }
