package conformance

// NeedsRealTime reports whether the case must not run in virtual time.
func NeedsRealTime(c Case) bool { return c.real }
