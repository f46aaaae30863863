package verify

import (
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// CheckPage says what is wrong with the shape of a page that a [cdc.Source]
// returned for the cursor and limit; empty if nothing is.
func CheckPage(p cdc.Page, after cdc.Cursor, limit int) string {
	last, size := after.Seq, 0
	for i, e := range p.Events {
		switch {
		case e.Seq <= after.Seq:
			return fmt.Sprintf("returned event %d, which is not above the cursor", e.Seq)
		case e.Seq <= last:
			return fmt.Sprintf("returned event %d after %d: events must ascend", e.Seq, last)
		case i > 0 && size >= 2*cdc.PageBytes:
			return fmt.Sprintf("returned a page of more than %d bytes: it ends at about %d", size, cdc.PageBytes)
		}
		last = e.Seq
		size += e.Size()
	}
	switch {
	case limit > 0 && len(p.Events) > limit:
		return fmt.Sprintf("returned %d events, more than the limit", len(p.Events))
	case p.Next < last:
		return fmt.Sprintf("returned Next %d below %d, the last that it covers", p.Next, last)
	}
	return ""
}
