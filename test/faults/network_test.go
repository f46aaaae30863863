package faults_test

import "math/rand/v2"

// networkFaults happen between the clients and a server that is well.
func networkFaults() []fault {
	type attributes = map[string]any
	all := []fault{{"network: every connection cut", startSingle, nothing, func(c *campaign) { c.link.cut(); pause(0, 50) }}}
	for _, toxic := range []struct {
		name, kind string
		from, to   int // milliseconds that it lasts
		attributes func() attributes
		cut        bool // the connections are closed afterwards
	}{
		{"latency with jitter", "latency", 200, 400, func() attributes { return attributes{"latency": 20, "jitter": 15} }, false},
		{"held back, then delivered", "latency", 150, 900, func() attributes { return attributes{"latency": 3600_000} }, false},
		{"bandwidth", "bandwidth", 200, 400, func() attributes { return attributes{"rate": 4} }, false}, // kB/s
		{"slow close", "slow_close", 20, 100, func() attributes { return attributes{"delay": 200} }, true},
		{"silent link", "timeout", 100, 900, func() attributes { return attributes{"timeout": 0} }, false},
		{"reset by peer", "reset_peer", 20, 100, func() attributes { return attributes{"timeout": rand.IntN(20)} }, false},
		{"cut at a byte", "limit_data", 50, 200, func() attributes { return attributes{"bytes": 1 + rand.IntN(2000)} }, false},
		{"slicer", "slicer", 200, 400, func() attributes {
			return attributes{"average_size": 8, "size_variation": 7, "delay": 200} // bytes, µs
		}, false},
	} {
		for _, stream := range []string{"upstream", "downstream"} { // to the server, from it
			all = append(all, fault{"network: " + toxic.name + ", " + stream, startSingle, nothing, func(c *campaign) {
				c.link.toxic(toxic.kind, stream, toxic.attributes())
				pause(toxic.from, toxic.to)
				if toxic.cut {
					_ = c.admin(c.master, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
					pause(50, 100)
				}
				c.link.heal()
			}})
		}
	}
	return all
}
