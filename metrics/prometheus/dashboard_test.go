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

// TestDashboardShowsEachMetric keeps docs/grafana.json in step, both ways.
func TestDashboardShowsEachMetric(t *testing.T) {
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
	known := map[string]bool{} // whether it is shown
	for d := range descs {
		known[regexp.MustCompile(`gapless_[a-z_]+`).FindString(d.String())] = false
	}
	for _, name := range regexp.MustCompile(`gapless_[a-z_]+`).FindAllString(string(text), -1) {
		name = strings.TrimSuffix(name, "_bucket")
		if _, ok := known[name]; !ok {
			t.Errorf("the dashboard shows %s, which does not exist", name)
		}
		known[name] = true
	}
	for name, shown := range known {
		if !shown {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
