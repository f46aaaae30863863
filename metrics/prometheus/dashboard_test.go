package gaplessprom_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	gaplessprom "github.com/gapless-go/gapless/metrics/prometheus"
)

// TestDashboardNamesMetricsThatExist keeps docs/grafana.json in step.
func TestDashboardNamesMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) {
		t.Fatal("docs/grafana.json is no JSON")
	}
	descs := make(chan *prometheus.Desc, 100)
	gaplessprom.New().Describe(descs)
	close(descs)
	var known strings.Builder
	for d := range descs {
		known.WriteString(d.String())
	}
	names := regexp.MustCompile(`gapless_[a-z_]+`).FindAllString(string(text), -1)
	if len(names) < 9 {
		t.Errorf("only %d metrics in the dashboard", len(names))
	}
	for _, name := range names {
		if !strings.Contains(known.String(), `"`+strings.TrimSuffix(name, "_bucket")+`"`) {
			t.Errorf("the dashboard shows %s, which does not exist", name)
		}
	}
}
