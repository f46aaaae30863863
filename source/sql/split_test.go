package sqllog

import "testing"

func TestHeadSplitsNoTransaction(t *testing.T) {
	for _, test := range []struct {
		name    string
		by      string // who wrote the rows 1, 2, 3, …; a dot is a hole
		head    uint64
		cut     uint64
		writers int
	}{
		{"nothing is there", "", 7, 7, 0},
		{"nobody is split", "aabb", 2, 2, 0},
		{"above all", "aabb", 9, 9, 0},
		{"in a hole", "aa..bb", 3, 3, 0},
		{"one is split", "aabbb", 4, 2, 1},
		{"the only one is split", "aaaa", 2, 0, 1},
		{"its other rows are far away", "ab.cc.a", 5, 0, 3},
		{"the split one began within another", "aababbccb", 7, 0, 3},
		{"a chain", "zabacbdc", 6, 1, 3},
		{"two that interleave, whole", "ababcc", 5, 4, 1},
	} {
		var rows written
		for i, by := range test.by {
			if by != '.' {
				rows = append(rows, writtenRow{Seq: uint64(i + 1), Tx: string(by)})
			}
		}
		if _, cut, writers := rows.split(test.head, byTransaction); cut != test.cut || writers != test.writers {
			t.Errorf("%s: %q at %d: cut %d with %d writers above, want %d with %d", test.name, test.by, test.head, cut, writers, test.cut, test.writers)
		}
	}
}

func TestHeadSplitsNoInsert(t *testing.T) {
	for _, test := range []struct {
		name     string
		by       string // who wrote the rows 1, 2, 3, …
		commands string // by which of their INSERTs
		head     uint64
		cut      uint64
	}{
		{"transactions that append in turns", "abab", "1122", 2, 2},
		{"appends that draw in turns", "abab", "1111", 2, 0},
		{"a second append within another's", "abbab", "11122", 3, 3},
		{"its first append is whole", "aabab", "11222", 4, 2},
	} {
		var rows written
		for i := range test.by {
			rows = append(rows, writtenRow{Seq: uint64(i + 1), Tx: test.by[i : i+1], Command: test.commands[i : i+1]})
		}
		if _, cut, _ := rows.split(test.head, byCommand); cut != test.cut {
			t.Errorf("%s: %q, %s at %d: cut %d, want %d", test.name, test.by, test.commands, test.head, cut, test.cut)
		}
	}
}
