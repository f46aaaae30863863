package gaplessprom_test

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	gaplessprom "github.com/gapless-go/gapless/metrics/prometheus"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func Example() {
	metrics := gaplessprom.New()
	handler, err := sse.NewHandler(memlog.New(nil), &sse.Options{Observer: metrics.Streams()})
	if err != nil {
		panic(err)
	}
	defer handler.Close()
	metrics.Watch(handler.Hub())
	registry := prometheus.NewRegistry() // or prometheus.MustRegister
	registry.MustRegister(metrics)

	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() == "gapless_streams" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: gapless_streams 0
}
