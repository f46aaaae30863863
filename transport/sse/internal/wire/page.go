package wire

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// Page is a range of seqs, From < seq ≤ To, of a log.
type Page struct {
	Epoch    string
	From, To uint64
}

// PageAt is the page of that size that holds what follows the cursor.
func PageAt(c cdc.Cursor, size uint64) Page {
	from := c.Seq - c.Seq%size
	return Page{Epoch: c.Epoch, From: from, To: from + size}
}

// String is the value of [PageParam], which [ParsePage] reads:
// "<epoch>.<from>-<to>".
func (p Page) String() string { return fmt.Sprintf("%s.%d-%d", p.Epoch, p.From, p.To) }

// ParsePage reads the one text of a page. ok is false for any other.
func ParsePage(text string) (p Page, ok bool) {
	epoch, seqs, _ := strings.Cut(text, ".")
	from, to, _ := strings.Cut(seqs, "-")
	p.Epoch = epoch
	var err1, err2 error
	p.From, err1 = strconv.ParseUint(from, 10, 64)
	p.To, err2 = strconv.ParseUint(to, 10, 64)
	ok = err1 == nil && err2 == nil && p.From < p.To && cdc.ValidEpoch(epoch) && p.String() == text
	return p, ok
}
