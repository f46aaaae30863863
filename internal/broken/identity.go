package broken

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gapless-go/gapless/cdc"
)

// Bugs of what makes two IDs the same.
const (
	IDCheckedBefore Bug = "id checked before the append"          // SELECT, then INSERT without a unique index: 20 IDs were stored as 80 events
	IDCaseFolded    Bug = "ids without case"                      // utf8mb4_0900_ai_ci, the default of MySQL
	IDAccentsFolded Bug = "ids without accents"                   // the same
	IDNormalized    Bug = "ids normalized"                        // a file system that keeps names in NFC
	IDSpaceTrimmed  Bug = "ids trimmed"                           // strings.TrimSpace of what came in
	IDPadded        Bug = "ids padded"                            // PAD SPACE: 'id' = 'id  '
	IDCutAt63       Bug = "ids cut at 63 bytes"                   // a name of PostgreSQL
	IDCutAt255      Bug = "ids cut at 255 bytes"                  // VARCHAR(255) in a session that is not strict
	IDNumeric       Bug = "ids that are numbers compared as such" // a column without a type
	IDAstralEqual   Bug = "ids without astral characters"         // utf8_general_ci: every emoji is equal
	IDIgnorables    Bug = "ids without ignorable characters"      // a collation of ICU
	IDUUID          Bug = "ids parsed as UUID"                    // a column of the type uuid
	IDPattern       Bug = "ids are patterns"                      // WHERE id LIKE ?
	IDPerTopic      Bug = "ids by topic"                          // UNIQUE (topic, id)
	IDPerKey        Bug = "ids by key"                            // UNIQUE (key, id)
	IDPerType       Bug = "ids by type"                           // UNIQUE (type, id)
	IDOverwrites    Bug = "id overwrites its event"               // INSERT OR REPLACE, ON CONFLICT DO UPDATE
	IDTouches       Bug = "id touches the time of its event"      // ON UPDATE CURRENT_TIMESTAMP
	IDsBounded      Bug = "last 1,000 ids known"                  // an LRU cache
	IDsTimed        Bug = "ids known for two minutes"             // JetStream's window, unless it is set
	TrimForgetsIDs  Bug = "trim forgets all ids"                  // a cache that is emptied by each trim
	TxIgnoresIDs    Bug = "ids ignored in transactions"           // the look-up is in Append alone
	TxCommitsTwice  Bug = "id of two open transactions twice"     // the look-up sees what is committed
	IDsPerHandle    Bug = "ids by handle"                         // a set in memory beside the store
)

// identityMutants take IDs for others, or forget them.
func identityMutants() []Mutant {
	return []Mutant{
		{Bug: IDCheckedBefore, Layer: Source, Kills: "Idempotent/SameTime"},
		{Bug: IDCaseFolded, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDAccentsFolded, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDNormalized, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDSpaceTrimmed, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDPadded, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDCutAt63, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDCutAt255, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDNumeric, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDAstralEqual, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDIgnorables, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDUUID, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDPattern, Layer: Source, Kills: "Idempotent/DifferentIDs"},
		{Bug: IDPerTopic, Layer: Source, Kills: "Idempotent/KeepsFirst"},
		{Bug: IDPerKey, Layer: Source, Kills: "Idempotent/KeepsFirst"},
		{Bug: IDPerType, Layer: Source, Kills: "Idempotent/KeepsFirst"},
		{Bug: IDOverwrites, Layer: Source, Kills: "Idempotent/KeepsFirst"},
		{Bug: IDTouches, Layer: Source, Kills: "Idempotent/KeepsFirst"},
		{Bug: IDsBounded, Layer: Source, Kills: "Idempotent/Remembered"},
		{Bug: IDsTimed, Layer: Source, Kills: "Idempotent/Remembered"},
		{Bug: TrimForgetsIDs, Layer: Source, Kills: "Idempotent/OthersTrimmed"},
		{Bug: TxIgnoresIDs, Layer: Source, Kills: "Idempotent/InTransaction"},
		{Bug: TxCommitsTwice, Layer: Source, Kills: "Idempotent/TwoTransactions"},
		{Bug: IDsPerHandle, Layer: Source, Kills: "Idempotent/SecondHandle"},
	}
}

// idKey is what the store compares of an event's ID.
func (d *Disk) idKey(e cdc.Event) string {
	id := e.ID
	switch d.bug {
	case IDCaseFolded:
		return strings.ToLower(id)
	case IDAccentsFolded:
		return strings.NewReplacer("é", "e", "É", "E", "\u0301", "").Replace(id)
	case IDNormalized:
		return strings.ReplaceAll(id, "e\u0301", "é")
	case IDSpaceTrimmed:
		return strings.TrimSpace(id)
	case IDPadded:
		return strings.TrimRight(id, " ")
	case IDCutAt63:
		return id[:min(len(id), 63)]
	case IDCutAt255:
		return id[:min(len(id), 255)]
	case IDNumeric:
		if n, err := strconv.ParseFloat(id, 64); err == nil {
			return strconv.FormatFloat(n, 'g', -1, 64)
		}
	case IDAstralEqual:
		return strings.Map(func(r rune) rune { return min(r, 0xffff) }, id)
	case IDIgnorables:
		return strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Cf, r) {
				return -1
			}
			return r
		}, id)
	case IDUUID:
		if bare := strings.NewReplacer("-", "", "{", "", "}", "").Replace(id); len(bare) == 32 {
			return strings.ToLower(bare)
		}
	case IDPerTopic:
		return id + "\x00" + e.Topic
	case IDPerKey:
		return id + "\x00" + e.Key
	case IDPerType:
		return id + "\x00" + e.Type
	}
	return d.alikeID(id)
}

// known looks an ID up.
func (s *Store) known(e cdc.Event) (seq uint64, known bool) {
	d := s.disk
	seq, known = d.ids[d.idKey(e)]
	known = known && !d.forgets(seq)
	switch d.bug {
	case IDBlankIsNone, IDZeroIsNone:
		known = known && d.idKey(e) != ""
	case IDPattern:
		if prefix, ok := strings.CutSuffix(e.ID, "%"); ok {
			for id, at := range d.ids {
				if strings.HasPrefix(id, prefix) {
					return at, true
				}
			}
		}
	case IDsTimed:
		i := slices.IndexFunc(d.events, func(o cdc.Event) bool { return o.Seq == seq })
		known = known && (i < 0 || time.Since(d.events[i].Time) < 2*time.Minute)
	case IDsPerHandle:
		known = known && s.appended[e.ID]
	}
	return seq, known
}

// overwrite is what an append does to the event of a known ID: nothing.
func (d *Disk) overwrite(seq uint64, e cdc.Event) {
	i := slices.IndexFunc(d.events, func(o cdc.Event) bool { return o.Seq == seq })
	if i < 0 || d.bug != IDOverwrites && d.bug != IDTouches {
		return
	}
	d.events = slices.Clone(d.events)
	if d.bug == IDTouches {
		d.events[i].Time = time.Now().UTC().Truncate(time.Microsecond)
		return
	}
	e.Seq, e.Time = seq, d.events[i].Time
	d.events[i] = e.Clone()
}

// forgetIDs bounds the memory of IDs.
func (d *Disk) forgetIDs() {
	if d.bug != IDsBounded {
		return
	}
	for id, seq := range d.ids {
		if seq+1000 < d.bounds.Last {
			delete(d.ids, id)
		}
	}
}
