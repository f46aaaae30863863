// Package cluster is what the examples of many servers on one log have in common:
// server processes that are killed and come back, a round-robin proxy before them,
// a writer, and clients that follow through the proxy and check what they get.
package cluster
