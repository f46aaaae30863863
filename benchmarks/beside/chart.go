package main

import (
	"fmt"
	"math"
	"strings"
)

// The chart has a group for each load and a bar for each library, on a
// logarithmic scale on which bare is 1.
const (
	chartWidth = 760
	labelWidth = 130
	barHeight  = 16
	titleSpace = 34
	decadeSize = 190 // from 1 to 10
	barOne     = labelWidth + 70
)

const chartStyle = `<style>
text { font: 12px system-ui, sans-serif; fill: #334155 }
.title { font-weight: 600 }
.bar { fill: #94a3b8 } .ours { fill: #2563eb } .one { stroke: #64748b; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
	text { fill: #cbd5e1 }
	.bar { fill: #64748b } .ours { fill: #60a5fa } .one { stroke: #94a3b8 }
}
</style>
`

// chart is an SVG of the CPU time of a frame against the limit.
func (r *results) chart() string {
	var b strings.Builder
	y := 0
	group := func(title string, of func(turn) load) {
		cpu := func(t turn) float64 { return of(t).cpu }
		libraries := r.having(cpu)
		if len(libraries) < 2 {
			return
		}
		fmt.Fprintf(&b, "<text class=\"title\" x=\"0\" y=\"%d\">%s</text>\n", y+22, title)
		y += titleSpace
		top := y
		for _, i := range libraries[1:] {
			b.WriteString(bar(r.names[i], r.ratio(i, cpu), y))
			y += barHeight + 4
		}
		fmt.Fprintf(&b, "<line class=\"one\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", barOne, top-4, barOne, y)
	}
	for i, rate := range r.size.rates {
		group(fmt.Sprintf("%d events a second to each of %d clients", rate, r.size.clients), func(t turn) load { return at(t.rates, i) })
	}
	for i, n := range r.size.bursts {
		group(fmt.Sprintf("A burst of %d events to 100 clients", n), func(t turn) load { return at(t.bursts, i) })
	}
	title := "CPU time of a frame, as a multiple of a bare handler&#8217;s (the dashed line); shorter is better"
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" role="img" aria-label="%s">
%s<text x="0" y="16">%[3]s</text>
<g transform="translate(0 18)">
%[5]s</g>
</svg>
`, chartWidth, y+24, title, chartStyle, b.String())
}

// bar begins at a third and ends at the ratio.
func bar(name string, ratio float64, y int) string {
	class := "bar"
	if strings.HasPrefix(name, "gapless") {
		class = "ours"
	}
	end := barOne + decadeSize*math.Log10(ratio)
	end = math.Max(labelWidth+1, math.Min(end, chartWidth-60))
	label := fmt.Sprintf("%.2f", ratio)
	if ratio > 1000 {
		label = "hardly any came"
		end -= 60
	}
	return fmt.Sprintf("<text x=\"0\" y=\"%d\">%s</text><rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%d\" rx=\"2\"/><text x=\"%.0f\" y=\"%d\">%s</text>\n",
		y+12, name, class, labelWidth, y, end-labelWidth, barHeight, end+6, y+12, label)
}
