// Package faults holds the campaign of faults against the Redis log: servers that
// are killed, stopped and replaced, and a network that fails (Toxiproxy). It has
// tests only and is a module of its own, so that nobody else needs what it does.
package faults
