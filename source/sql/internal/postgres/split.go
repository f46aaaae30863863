package postgres

// A head is the highest number up to the fence's that splits no transaction: it
// has no transaction's events on both sides. Where transactions that append
// several times always overlap there is no such number. So a head that falls
// behind the fence waits for the transactions that have events between the two,
// and not for those that begin meanwhile: when it has passed all that it waits
// for it may split those, though no INSERT of theirs, and so no call of Append.
// Only where the INSERTs overlap, too, over all the rows that are searched, the
// head goes to the fence's number.
type head struct {
	seq     uint64
	awaited map[string]bool // transactions; nil: the head has not fallen behind
}

// searchedBelow and searchedAbove are how many rows at each side of the fence's
// number are searched for those that belong together.
const (
	searchedBelow = 5000
	searchedAbove = 1000
)

// follow moves the head towards stable, up to which all is decided. near returns
// the rows nearest to a number that are above the head.
func (h *head) follow(stable uint64, near func(at uint64) (written, error)) error {
	rows, err := near(stable)
	if err != nil {
		return err
	}
	if h.awaited == nil {
		return h.fallBehind(stable, rows, near)
	}
	_, to := rows.split(stable, byTransaction)
	if to == 0 {
		below, mixed := rows.split(stable, h.byAwaited)
		if to = mixed; to == 0 && below == searchedBelow && !h.splitsAwaited(rows, stable) {
			to = stable
		}
	}
	if to > 0 {
		h.moveTo(to, stable, rows)
	}
	return nil
}

// fallBehind moves the head as far as it splits no transaction. It goes through
// all the rows down to the head: later only those that came since can help.
func (h *head) fallBehind(stable uint64, rows written, near func(at uint64) (written, error)) (err error) {
	awaited := map[string]bool{}
	for at := stable; ; {
		below, to := rows.split(at, byTransaction)
		rows.writersBetween(awaited, to, stable)
		if to > 0 || below < searchedBelow {
			h.seq = max(h.seq, to)
			h.awaited = nilIfEmpty(awaited)
			return nil
		}
		at = rows[0].seq - 1
		if rows, err = near(at); err != nil {
			return err
		}
	}
}

// moveTo moves the head and lets it wait for those that have events above it.
func (h *head) moveTo(seq, stable uint64, rows written) {
	awaited := map[string]bool{}
	rows.writersBetween(awaited, seq, stable)
	h.seq, h.awaited = max(h.seq, seq), nilIfEmpty(awaited)
}

func nilIfEmpty(m map[string]bool) map[string]bool {
	if len(m) == 0 {
		return nil
	}
	return m
}

// byAwaited keeps together the transactions that are waited for, and the INSERTs
// of the others.
func (h *head) byAwaited(r writtenRow) writer {
	if h.awaited[r.tx] {
		return byTransaction(r)
	}
	return byCommand(r)
}

// splitsAwaited reports whether a transaction that is waited for has rows on both
// sides of seq.
func (h *head) splitsAwaited(rows written, seq uint64) bool {
	below := map[string]bool{}
	for _, r := range rows {
		if r.seq > seq && below[r.tx] {
			return true
		}
		below[r.tx] = below[r.tx] || h.awaited[r.tx]
	}
	return false
}

// written are rows with the transactions that wrote them, ascending by seq.
type written []writtenRow

type writtenRow struct {
	seq     uint64
	tx      string
	command string // of tx: the rows of one INSERT have the same
}

// writer is who wrote rows that belong together.
type writer struct{ tx, command string }

// byTransaction and byCommand are the writers of transactions and of single
// INSERTs.
func byTransaction(r writtenRow) writer { return writer{tx: r.tx} }
func byCommand(r writtenRow) writer     { return writer{r.tx, r.command} }

// split returns how many of the rows are at or below seq, and the highest number
// up to seq that has no writer's rows on both sides, 0 if there is none.
func (w written) split(seq uint64, by func(writtenRow) writer) (below int, boundary uint64) {
	last := map[writer]uint64{}
	for _, r := range w {
		last[by(r)] = r.seq
	}
	var reach uint64 // of the writers so far
	complete := true // all of them up to this row
	for _, r := range w {
		if r.seq > seq {
			break
		}
		below++
		reach = max(reach, last[by(r)])
		if complete = reach == r.seq; complete {
			boundary = r.seq
		}
	}
	if complete {
		boundary = seq
	}
	return below, boundary
}

// writersBetween adds the transactions with rows above low, up to high.
func (w written) writersBetween(transactions map[string]bool, low, high uint64) {
	for _, r := range w {
		if r.seq > low && r.seq <= high {
			transactions[r.tx] = true
		}
	}
}
