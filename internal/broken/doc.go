// Package broken holds the mutants that prove the conformance suite: a small
// correct store, follower, Hub and SSE handler, and for each bug that somebody
// has made one line in which they deviate. A case that kills no mutant is not
// a case; a mutant that lives is a hole in the suite.
package broken
