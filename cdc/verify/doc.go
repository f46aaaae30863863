// Package verify judges what streams delivered against the guarantees of
// Gapless. It knows nothing of tests and imports none: the conformance suite,
// soak runs, clients of a transport and the verifier that runs in production
// ([Watch]) all share this judge.
//
// Record what was appended and what each stream delivered in a [History], then
// ask [Verify] which promises it breaks.
package verify
