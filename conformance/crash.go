package conformance

// Crash TODO
type Crash struct{}
