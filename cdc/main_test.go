package cdc_test

import (
	"testing"

	"github.com/gapless-go/gapless/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
