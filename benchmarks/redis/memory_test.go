package redis_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/gapless-go/gapless/cdc"
)

// BenchmarkMemory reports what an event costs the server.
func BenchmarkMemory(b *testing.B) {
	const total = 100_000
	for _, size := range []int{0, 100, 200, 500, 2000} {
		for _, ids := range []bool{false, true} {
			b.Run(fmt.Sprintf("data-%d/ids-%v", size, ids), func(b *testing.B) {
				for range b.N {
					c := connect(b)
					l := open(b, c)
					events := make([]cdc.Event, 1000)
					bytes := 0
					for n := range total / len(events) {
						for i := range events {
							e := event()
							e.Key = fmt.Sprintf("order-%06d", n*len(events)+i)
							e.Data = make([]byte, size)
							_, _ = rand.Read(e.Data) // no two are the same
							if ids {
								e.ID = fmt.Sprintf("%026d", n*len(events)+i) // as long as a ULID
							}
							events[i] = e
							bytes += e.Size()
						}
						if _, err := l.Append(b.Context(), events...); err != nil {
							b.Fatal(err)
						}
					}
					stream, err1 := c.MemoryUsage(b.Context(), "gapless:{x}:log", 0).Result()
					meta, err2 := c.MemoryUsage(b.Context(), "gapless:{x}", 0).Result()
					if err1 != nil || err2 != nil {
						b.Fatal(err1, err2)
					}
					b.ReportMetric(float64(bytes)/total, "B-payload/event")
					b.ReportMetric(float64(stream)/total, "B-stream/event")
					b.ReportMetric(float64(meta)/total, "B-hash/event")
					b.ReportMetric(0, "ns/op")
				}
			})
		}
	}
}
