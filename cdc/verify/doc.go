// Package verify judges what streams delivered against the guarantees of
// Gapless. It knows nothing of tests and imports none: the conformance suite,
// soak runs, clients of a transport and the verifier that runs in production
// ([Watch]) all share this judge.
//
// Record what was appended and what each stream delivered in a [History], then
// ask [Verify] which promises it breaks.
//
//	var h verify.History
//	begin := h.Tick()
//	_, err := events.Append(ctx, event)
//	h.Append(verify.Append{Begin: begin, End: h.Tick(), Records: …, Outcome: …})
//	stream := h.Stream("client 7") // stream.Batch(batch) for what Follow delivers
//	for _, v := range verify.Verify(&h) {
//		log.Print(v) // the promise that is broken, and by what
//	}
package verify
