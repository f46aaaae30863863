// Package redis compares the Redis log with what bare XADD and XRANGE do on the
// same server. It has benchmarks only.
package redis
