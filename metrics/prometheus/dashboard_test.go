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
	known := described()
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

// TestThePageListsEachMetric keeps docs/status.md in step.
func TestThePageListsEachMetric(t *testing.T) {
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range described() {
		short := strings.TrimPrefix(name, "gapless_streams")
		if !strings.Contains(string(text), "`"+name+"`") && !strings.Contains(string(text), "`"+short+"`") {
			t.Errorf("docs/status.md does not list %s", name)
		}
	}
}

// described has the name of each metric.
func described() map[string]bool {
	descs := make(chan *prometheus.Desc, 100)
	gaplessprom.New().Describe(descs)
	close(descs)
	names := map[string]bool{}
	for d := range descs {
		names[regexp.MustCompile(`gapless_[a-z_]+`).FindString(d.String())] = false
	}
	return names
}
