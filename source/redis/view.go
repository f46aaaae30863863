package redislog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// layout is the version of what is stored, in the hash's field v.
const layout = "3"

// maxLooks is how often a view is taken again after something was corrected.
const maxLooks = 6

// view is one atomic look at the log.
type view struct {
	exists   bool
	bounds   cdc.Bounds
	max      int         // bytes of the largest event ever appended
	question question    // before the look
	length   int64       // entries in the stream
	recorded int64       // how many the hash says
	page     *pageBuffer // reply to the page's XRANGE, nil if none was asked for
	mark     []byte      // reply to the XRANGE of the mark, nil if it was not asked for
}

// pageQuery asks for entries from the one that has that seq on.
type pageQuery struct {
	from  uint64
	count int
}

// look takes a view in one transaction of the server, on the pool of c, with a
// page unless that is nil. Every look asks whether the log still has the newest
// event that this process has seen, the mark, since the client may reach another
// server by a new connection at any time, without an error that says so. A page
// that begins before the mark either has it or does not reach it.
func (l *Log) look(ctx context.Context, c redis.Cmdable, page *pageQuery) (view, error) {
	q := l.track.ask()
	pipe := c.TxPipeline()
	meta := pipe.HMGet(ctx, l.meta, "v", "epoch", "floor", "head", "length", "max")
	length := pipe.XLen(ctx, l.stream)
	var buffer *pageBuffer
	if page != nil {
		buffer = newPageBuffer()
		_ = pipe.Process(ctx, buffer.cmd(ctx, []any{"XRANGE", l.stream, entryID(page.from), "+", "COUNT", page.count})) // the error comes with Exec
	}
	var markCmd *redis.RawCmd
	if q.mark.Seq > 0 && (page == nil || page.from > q.mark.Seq) {
		id := entryID(q.mark.Seq)
		markCmd = redis.NewRawCmd(ctx, "XRANGE", l.stream, id, "+", "COUNT", 1)
		_ = pipe.Process(ctx, markCmd)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return view{}, l.reason(ctx, c, err)
	}
	v, err := parseView(meta.Val())
	v.length, v.page, v.question = length.Val(), buffer, q
	if markCmd != nil {
		v.mark = markCmd.Val()
	}
	return v, err
}

// reason finds out why the server discarded a transaction: which it does not
// say.
func (l *Log) reason(ctx context.Context, c redis.Cmdable, err error) error {
	if !redis.IsExecAbortError(err) {
		return err
	}
	_, err1 := c.HMGet(ctx, l.meta, "v").Result()
	_, err2 := c.XRangeN(ctx, l.stream, "-", "-", 1).Result()
	return cmp.Or(err1, err2, err)
}

func parseView(fields []any) (view, error) {
	var text [6]string
	for i := range min(len(fields), len(text)) {
		text[i], _ = fields[i].(string) // missing is nil
	}
	if text[0] == "" {
		return view{}, nil
	}
	if text[0] != layout {
		return view{}, fmt.Errorf("the log is stored in layout %q, this version of the library knows %q only: upgrade, nothing was changed", text[0], layout)
	}
	v := view{exists: true}
	v.bounds.Epoch = text[1]
	var err1, err2, err3, err4 error
	v.bounds.Floor, err1 = strconv.ParseUint(text[2], 10, 64)
	v.bounds.Head, err2 = strconv.ParseUint(text[3], 10, 64)
	v.recorded, err3 = strconv.ParseInt(text[4], 10, 64)
	v.max, err4 = strconv.Atoi(text[5])
	v.bounds.Last = v.bounds.Head
	if err := errors.Join(err1, err2, err3, err4); err != nil || v.bounds.Epoch == "" {
		return v, fmt.Errorf("the hash holds epoch %q, floor %q, head %q, length %q, max %q: %s", text[1], text[2], text[3], text[4], text[5], damaged)
	}
	return v, nil
}

// tampered reports whether the stream does not have as many entries as its
// numbers say: other programs have removed or added some.
func (v view) tampered() bool {
	return v.length != v.recorded
}

// current returns bounds that hold now.
func (l *Log) current(ctx context.Context) (cdc.Bounds, error) {
	v, err := l.currentView(ctx, l.client, nil)
	return v.bounds, err
}

// currentView takes a view and corrects what it shows: a log that is not
// there is made, one that went back gets a new epoch, one whose stream others
// have trimmed gets its floor.
func (l *Log) currentView(ctx context.Context, c redis.Cmdable, page *pageQuery) (view, error) {
	attempts := 0
	for range maxLooks {
		v, err := l.look(ctx, c, page)
		if connectionLost(err) {
			// The pool may hold several connections that were closed meanwhile.
			if attempts++; attempts < maxLooks && ctx.Err() == nil {
				continue
			}
		}
		if err != nil {
			return view{}, err
		}
		done, err := l.reconcile(ctx, v)
		if err != nil {
			return view{}, err
		}
		if done {
			l.track.answer(v.question, v.bounds)
			return v, nil
		}
	}
	return view{}, errors.New("the log kept changing under this call: try again")
}

// reconcile corrects what the view shows. It returns true if there was nothing
// to do.
func (l *Log) reconcile(ctx context.Context, v view) (bool, error) {
	q := v.question
	switch {
	case !v.exists:
		_, err := l.renew(ctx, "none") // no epoch is called so: the log is made, or left as it is
		return false, err
	case v.bounds.Epoch == q.bounds.Epoch && v.bounds.Last < q.bounds.Last, v.diverged(markOf(v.mark)), slices.Contains(q.formerEpochs, v.bounds.Epoch):
		return false, l.wentBack(ctx, v)
	case v.tampered():
		return false, l.repair(ctx, 0, 0)
	}
	return true, nil
}

// diverged reports whether one of the events, which the log has, is another one
// than this process has seen in that place: it went back and grew again.
func (v view) diverged(events []cdc.Event) bool {
	mark := v.question.mark
	if mark.Seq == 0 || v.bounds.Epoch != mark.Epoch {
		return false
	}
	i, found := slices.BinarySearchFunc(events, mark.Seq, func(e cdc.Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	return found && !events[i].Time.IsZero() && events[i].Tag() != mark.Tag
}

func markOf(reply []byte) []cdc.Event {
	events, _, err := parseEntries(reply, 1)
	if err != nil {
		return nil
	}
	return events
}

// wentBack changes the epoch of a log that lacks what this process has seen.
func (l *Log) wentBack(ctx context.Context, v view) error {
	_, err := l.renew(ctx, v.bounds.Epoch)
	if err != nil {
		return fmt.Errorf("the log went back from %d, now its last is %d, and its epoch could not be changed: %w", v.question.bounds.Last, v.bounds.Last, err)
	}
	return nil
}

// renew changes the epoch if it is the expected one; "" means whichever it is.
func (l *Log) renew(ctx context.Context, expected string) (string, error) {
	reply, err := l.run(ctx, l.store.scripts.renew, []any{cdc.NewEpoch(), expected}, 0)
	if err != nil {
		return "", err
	}
	epoch, ok := reply.(string)
	if !ok {
		return "", fmt.Errorf("the server answered %T to a script, want a string", reply)
	}
	return epoch, nil
}

// repair raises the floor over what other programs removed: at the beginning,
// and from..to if to is not 0.
func (l *Log) repair(ctx context.Context, from, to uint64) error {
	_, err := l.run(ctx, l.store.scripts.repair, []any{cdc.NewEpoch(), from, to}, 0)
	return err
}

// entryID is the lowest id of an entry that has the seq, or one above it.
func entryID(seq uint64) string { return strconv.FormatUint(seq, 10) + "-0" }

// topID is the highest id of an entry whose last event has the seq.
func topID(seq uint64) string {
	return strconv.FormatUint(seq, 10) + "-" + strconv.FormatUint(math.MaxUint64, 10)
}
