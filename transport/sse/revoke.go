package sse

// EndStreams ends the streams of the users that match reports true for, by
// [Grant].User: after a logout, or when what a user may see has changed. They
// end with cdc.reconnect, so that their clients come back and are authorized
// anew; Authorize has to know of the change before EndStreams is called. That
// goes for streams that are being authorized meanwhile, too. It returns how many
// it told to end, and does not wait for that. match must not call the Handler.
func (h *Handler) EndStreams(match func(user string) bool) int {
	h.mu.Lock()
	open := make([]*stream, 0, len(h.streams))
	for s := range h.streams {
		open = append(open, s)
	}
	for s := range h.arriving {
		s.revocations = append(s.revocations, match)
	}
	h.mu.Unlock()
	n := 0
	for _, s := range open {
		if match(s.user) {
			s.stop(&endError{EndRevoked})
			n++
		}
	}
	return n
}

// arrive registers a stream before its user is known, and arrived when it is
// served or was turned away.
func (h *Handler) arrive(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arriving[s] = struct{}{}
}

func (h *Handler) arrived(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.arriving, s)
}

// enter lets the stream in, or says why it cannot be served.
func (h *Handler) enter(s *stream) EndReason {
	for {
		reason, unseen := h.tryEnter(s)
		if len(unseen) == 0 {
			return reason
		}
		for _, match := range unseen {
			if match(s.user) {
				return EndRevoked
			}
		}
	}
}

// tryEnter returns instead of a reason the revocations that came since it was
// called last: they are foreign code, which runs without the lock.
func (h *Handler) tryEnter(s *stream) (reason EndReason, unseen []func(user string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if unseen, s.revocations = s.revocations, nil; len(unseen) > 0 {
		return "", unseen
	}
	limit := h.opts.Limits.Streams
	switch {
	case h.draining:
		return EndDrain, nil
	case limit > 0 && len(h.streams) >= limit:
		return EndOverload, nil
	}
	delete(h.arriving, s)
	h.streams[s] = struct{}{}
	return "", nil
}
