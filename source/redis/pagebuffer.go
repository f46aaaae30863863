package redislog

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// pageBuffer holds the raw reply to an XRANGE. The client can give one as bytes
// too, but grows them from nothing each time, which takes longer than everything
// else about a page.
type pageBuffer struct{ raw []byte }

// pageBuffers are those not in use. One that became large is dropped.
var pageBuffers = sync.Pool{New: func() any { return &pageBuffer{raw: make([]byte, 0, 64<<10)} }}

const maxPooledBytes = 2 << 20

func newPageBuffer() *pageBuffer {
	b := pageBuffers.Get().(*pageBuffer)
	b.raw = b.raw[:0]
	return b
}

// release must be the last use of the buffer and of what aliases it.
func (b *pageBuffer) release() {
	if b != nil && cap(b.raw) <= maxPooledBytes {
		pageBuffers.Put(b)
	}
}

// Write implements [io.Writer] for the client.
func (b *pageBuffer) Write(line []byte) (int, error) {
	b.raw = append(b.raw, line...)
	return len(line), nil
}

// ReadFrom implements [io.ReaderFrom] for the client: a text comes this way
// without a buffer between.
func (b *pageBuffer) ReadFrom(r io.Reader) (int64, error) {
	room := 512
	if l, ok := r.(*io.LimitedReader); ok {
		room = int(l.N)
	}
	before := len(b.raw)
	for {
		b.raw = slices.Grow(b.raw, max(room, 1))
		n, err := r.Read(b.raw[len(b.raw):cap(b.raw)])
		b.raw = b.raw[:len(b.raw)+n]
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return int64(len(b.raw) - before), err
		}
		room -= n
	}
}

// cmd returns a command whose reply is written to the buffer. The client does
// not retry a transaction that has such a one.
func (b *pageBuffer) cmd(ctx context.Context, query []any) redis.Cmder {
	return redis.NewRawWriteToCmd(ctx, b, query...)
}
