package conformance

func durableCases() []Case { return nil }
