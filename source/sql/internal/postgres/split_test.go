package postgres

import "testing"

func TestHeadSplitsNoTransaction(t *testing.T) {
	for _, test := range []struct {
		name string
		by   string // who wrote the rows 1, 2, 3, …; a dot is a hole
		at   uint64
		want uint64
	}{
		{"nothing is there", "", 7, 7},
		{"nobody is split", "aabb", 2, 2},
		{"above all", "aabb", 9, 9},
		{"in a hole", "aa..bb", 3, 3},
		{"one is split", "aabbb", 4, 2},
		{"the only one is split", "aaaa", 2, 0},
		{"its other rows are far away", "ab.cc.a", 5, 0},
		{"the split one began within another", "aababbccb", 7, 0},
		{"a chain", "zabacbdc", 6, 1},
		{"two that interleave, complete", "ababcc", 5, 4},
	} {
		var rows written
		for i, by := range test.by {
			if by != '.' {
				rows = append(rows, writtenRow{seq: uint64(i + 1), tx: string(by)})
			}
		}
		if _, got := rows.split(test.at, byTransaction); got != test.want {
			t.Errorf("%s: %q at %d: got %d, want %d", test.name, test.by, test.at, got, test.want)
		}
	}
}

func TestHeadSplitsNoInsert(t *testing.T) {
	for _, test := range []struct {
		name     string
		by       string // who wrote the rows 1, 2, 3, …
		commands string // by which of their INSERTs
		at       uint64
		want     uint64
	}{
		{"transactions that append in turns", "abab", "1122", 2, 2},
		{"appends that draw in turns", "abab", "1111", 2, 0},
		{"a second append within another's", "abbab", "11122", 3, 3},
		{"its first append is complete", "aabab", "11222", 4, 2},
	} {
		var rows written
		for i := range test.by {
			rows = append(rows, writtenRow{seq: uint64(i + 1), tx: test.by[i : i+1], command: test.commands[i : i+1]})
		}
		if _, got := rows.split(test.at, byCommand); got != test.want {
			t.Errorf("%s: %q, %s at %d: got %d, want %d", test.name, test.by, test.commands, test.at, got, test.want)
		}
	}
}

// table has a row for each letter, which is an INSERT of its own.
func table(by string) (rows written) {
	for i, tx := range by {
		rows = append(rows, writtenRow{seq: uint64(i + 1), tx: string(tx), command: string(rune(i))})
	}
	return rows
}

func TestHeadWaitsForThoseThatItMetAndNotForOthers(t *testing.T) {
	var h head
	for _, step := range []struct {
		by     string
		stable uint64
		want   uint64
	}{
		{"zabab", 1, 1},           // nobody is split
		{"zabab", 3, 1},           // a and b are
		{"zababcb", 4, 1},         // b still is
		{"zababcbdcd", 7, 7},      // c is, which began later
		{"zababcbdcdeded", 9, 7},  // now d is met
		{"zababcbdcdeded", 11, 7}, // and still split
		{"zababcbdcdeded", 14, 14},
	} {
		rows := table(step.by)
		err := h.follow(step.stable, func(at uint64) (near written, err error) {
			for _, r := range rows {
				if r.seq > h.seq {
					near = append(near, r)
				}
			}
			return near, nil
		})
		if err != nil || h.seq != step.want {
			t.Errorf("%q, decided up to %d: the head is %d, %v, want %d", step.by, step.stable, h.seq, err, step.want)
		}
	}
}
