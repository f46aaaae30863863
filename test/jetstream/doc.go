// Package jetstream tests the log in JetStream over servers that run in the test
// and over processes. It is not beside the log so that nobody who uses the log
// has to know of the server's module.
package jetstream
