package conformance

func committedCases() []Case { return nil }
