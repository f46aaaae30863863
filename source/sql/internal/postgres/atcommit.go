package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// atCommit is the engine of mode AtCommit. Writers insert into the inbox; a
// deferred trigger moves a transaction's rows into the log just before its
// commit, under a lock that is released after the commit is visible. The
// numbers come from a sequence and not from a row, so that transactions of a
// stricter isolation level do not collide.
type atCommit struct {
	*serial
	lockSQL, notifySQL string
	group              *engine.Group
}

// atCommitLock is the statement that takes the lock; PERFORM or SELECT comes
// before it.
func atCommitLock(n engine.Names) string {
	return "pg_advisory_xact_lock(1735158131, " + literal(n.Log) + "::regclass::oid::integer)"
}

func newAtCommit(ctx context.Context, db engine.DB, s engine.Settings) (*atCommit, error) {
	d, err := newSerial(ctx, db, s, "")
	if err != nil {
		return nil, err
	}
	a := &atCommit{
		serial: d, lockSQL: "SELECT " + atCommitLock(s.Names),
		notifySQL: "SELECT pg_notify(" + literal(channel(s)) + ", " + literal(s.Token) + ")",
	}
	a.group = engine.NewGroup(a.appendAll)
	return a, nil
}

// atCommitFunction moves the rows of a transaction. The first row's call moves
// them all, the others find nothing left to do. Numbers are set and not drawn, so
// that lastval() in the writer's session stays what it was; the lock makes that
// safe.
func atCommitFunction(s engine.Settings) func(n engine.Names) function {
	return func(n engine.Names) function {
		body := strings.NewReplacer("INBOX", n.Inbox, "LOGNAME", literal(n.Table), "LOG", n.Log, "CHANNEL", literal(channel(s))).Replace(`
DECLARE
	log oid;
	numbers regclass;
	latest bigint;
	moved bigint;
BEGIN
	IF NOT EXISTS (SELECT 1 FROM INBOX WHERE pos = NEW.pos) THEN
		RETURN NULL;
	END IF;
	SELECT l.oid INTO log FROM pg_class l JOIN pg_class i ON i.relnamespace = l.relnamespace WHERE l.relname = LOGNAME AND i.oid = TG_RELID;
	PERFORM pg_advisory_xact_lock(1735158131, log::integer);
	numbers := pg_get_serial_sequence(log::regclass::text, 'seq');
	latest := greatest(coalesce(pg_sequence_last_value(numbers), 0), coalesce((SELECT max(seq) FROM LOG), 0));
	WITH batch AS (
		DELETE FROM INBOX WHERE pos >= NEW.pos RETURNING *
	), added AS (
		INSERT INTO LOG (seq, id, topic, type, key, time, data, meta)
		SELECT latest + row_number() OVER (ORDER BY pos), id, topic, type, key, time, data, meta FROM batch ORDER BY pos
		ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING
	)
	SELECT count(*) INTO moved FROM batch;
	PERFORM setval(numbers, latest + moved);
	PERFORM pg_notify(CHANNEL, '');
	RETURN NULL;
END`)
		return triggerFunction(n.Qualify(n.Table+"_number"), body, "enable_seqscan=off") // as for the pass
	}
}

// atCommitSchema are the function and its trigger.
func atCommitSchema(s engine.Settings) []string {
	n := s.Names
	name := n.Qualify(n.Table + "_number")
	return append(inSchema(n, atCommitFunction(s)),
		createTrigger(n, n.Table+"_inbox", n.Table+"_number", fmt.Sprintf("CREATE CONSTRAINT TRIGGER %s AFTER INSERT ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION %s()",
			n.Quote(n.Table+"_number"), n.Inbox, name)),
	)
}

// Bounds implements engine.Engine.
func (a *atCommit) Bounds(ctx context.Context) (cdc.Bounds, error) {
	st, err := a.ReadState(ctx)
	return st.Bounds, err
}

// Poll implements engine.Engine.
func (a *atCommit) Poll(ctx context.Context) (cdc.Bounds, bool, error) {
	b, err := a.Bounds(ctx)
	return b, false, err
}

// Read implements engine.Engine.
func (a *atCommit) Read(ctx context.Context, ask engine.Ask) (cdc.Page, error) {
	p, err := a.Query(ctx, ask)
	if err != nil {
		return cdc.Page{}, err
	}
	return p.Page(ask.After)
}

// State implements engine.Engine.
func (a *atCommit) State(ctx context.Context) (engine.State, error) { return a.ReadState(ctx) }

// Append implements engine.Engine.
func (a *atCommit) Append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	if len(events) == 0 {
		st, err := a.ReadState(ctx)
		return cdc.Receipt{Epoch: st.Bounds.Epoch}, err
	}
	return a.group.Append(ctx, events)
}

func (a *atCommit) appendAll(ctx context.Context, join func() engine.Batch) ([]cdc.Receipt, error) {
	return a.appendSerial(ctx, join, a.lockSQL, a.notifySQL)
}

// AppendTx implements engine.Engine.
func (a *atCommit) AppendTx(ctx context.Context, tx engine.Tx, events []cdc.Event) error {
	return a.AppendTo(ctx, tx, a.Settings.Names.Inbox, events)
}

// Trim implements engine.Engine.
func (a *atCommit) Trim(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	b, err := a.Bounds(ctx)
	if err != nil {
		return 0, false, err
	}
	return a.trimSerial(ctx, min(seq, b.Head))
}

// Assist implements engine.Engine.
func (a *atCommit) Assist(ctx context.Context, f *engine.Feed) { listen(ctx, a.DB, a.Settings, f) }
