package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// TestConsumeWithAHandlerThatFailsAnywhere fails on an event, and on one before it
// when that is handled again, as a handler does whose network fails now and then.
func TestConsumeWithAHandlerThatFailsAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var texts []string
		for n := range 20 {
			texts = append(texts, fmt.Sprint("a", n), fmt.Sprint("b", n))
		}
		b := newBench(t, texts...)
		calls := map[string]int{}
		h := b.handler(func(d *cdc.Delivery) error {
			text := string(d.Event.Data)
			calls[text]++
			if text[0] == 'a' && calls[text] == 2 || text[0] == 'b' && calls[text] == 1 {
				return errors.New("now and then")
			}
			return nil
		})
		if err := b.run(t, 10*time.Second, h, &cdc.ConsumeOptions{BatchSize: 2}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Consume returned %v", err)
		}
		b.want(t, texts...)
	})
}
