package command

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
)

// info is what the command prints.
type info struct {
	Log    string     `json:"log"`
	Epoch  string     `json:"epoch"`
	Floor  uint64     `json:"floor"`
	Head   uint64     `json:"head"`
	Last   uint64     `json:"last"`
	Oldest *time.Time `json:"oldest,omitempty"` // time of the first event that is retained
	Events *int       `json:"events,omitempty"`
	Bytes  *int       `json:"bytes,omitempty"`
	Topics *int       `json:"topics,omitempty"`
}

func (a *app) info() *cobra.Command {
	var count bool
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show epoch, floor, head and counts of a log",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), source.Read, func(s *source.Source) error {
				i, err := readInfo(cmd.Context(), s.Log, count)
				if err != nil {
					return err
				}
				return a.print(i, i.people)
			})
		},
	}
	cmd.Flags().BoolVar(&count, "count", false, "read the whole log and count events, bytes and topics")
	cmd.Flags().BoolVar(&a.open.Foreign, "foreign", false, "a stream of Redis or NATS that other programs write")
	return cmd
}

func readInfo(ctx context.Context, log cdc.Log, count bool) (*info, error) {
	b, err := log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	i := &info{Log: fmt.Sprint(log), Epoch: b.Epoch, Floor: b.Floor, Head: b.Head, Last: b.Last}
	limit := 1
	if count {
		limit = 1000
	}
	events, bytes, topics := 0, 0, map[string]bool{}
	for after := (cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}); ; {
		page, err := log.Read(ctx, after, limit)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			if i.Oldest == nil {
				i.Oldest = &e.Time
			}
			events++
			bytes += e.Size()
			topics[e.Topic] = true
		}
		if !count || page.Next >= b.Head || page.Next == after.Seq {
			break
		}
		after = cdc.Cursor{Epoch: b.Epoch, Seq: page.Next, Tag: page.Tag}
	}
	if n := len(topics); count {
		i.Events, i.Bytes, i.Topics = &events, &bytes, &n
	}
	return i, nil
}

func (i *info) people(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "log\t%s\nepoch\t%s\nfloor\t%d\nhead\t%d\nlast\t%d\n", i.Log, i.Epoch, i.Floor, i.Head, i.Last)
	if i.Oldest != nil {
		fmt.Fprintf(t, "oldest\t%s\n", i.Oldest.Format(time.RFC3339))
	}
	if i.Events != nil {
		fmt.Fprintf(t, "events\t%d\nbytes\t%d\ntopics\t%d\n", *i.Events, *i.Bytes, *i.Topics)
	}
	_ = t.Flush() // as every write to the output
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of the program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
			}{"(devel)", ""}
			if b, ok := debug.ReadBuildInfo(); ok {
				v.Version, v.Go = b.Main.Version, b.GoVersion
			}
			return a.print(v, func(w io.Writer) { fmt.Fprintf(w, "gapless %s, %s\n", v.Version, v.Go) })
		},
	}
}
