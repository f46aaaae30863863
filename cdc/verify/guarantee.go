package verify

// Guarantee is a promise of Gapless. Its name is used in the documentation, in
// the names of cases and in failures.
type Guarantee string

// The guarantees. See [Guarantee.Sentence] for what each promises.
const (
	Ordered    Guarantee = "Ordered"
	Unique     Guarantee = "Unique"
	Reliable   Guarantee = "Reliable"
	Committed  Guarantee = "Committed"
	Atomic     Guarantee = "Atomic"
	Resumable  Guarantee = "Resumable"
	Handoff    Guarantee = "Handoff"
	Live       Guarantee = "Live"
	Bookmark   Guarantee = "Bookmark"
	Durable    Guarantee = "Durable"
	Bounded    Guarantee = "Bounded"
	Contained  Guarantee = "Contained"
	Idempotent Guarantee = "Idempotent"
)

// Guarantees returns all of them, in the order of the documentation.
func Guarantees() []Guarantee {
	return []Guarantee{
		Ordered, Unique, Reliable, Committed, Atomic, Resumable, Handoff,
		Live, Bookmark, Durable, Bounded, Contained, Idempotent,
	}
}

// Sentence is the promise in words.
func (g Guarantee) Sentence() string {
	switch g {
	case Ordered:
		return "every stream sees the one order of the log; an append acknowledged before another began comes first"
	case Unique:
		return "no event twice on one stream"
	case Reliable:
		return "no event is skipped; nothing becomes visible at or below a seq that a reader was already told of"
	case Committed:
		return "nothing of an open or rolled-back transaction is seen, by Read, Bounds or Next"
	case Atomic:
		return "a multi-event Append is all or nothing"
	case Resumable:
		return "resuming from the cursor of any delivered event gives exactly what follows it, or a typed error that names floor and head; truncated, future, foreign and diverged cursors are errors"
	case Handoff:
		return "subscribing has taken effect when it returns; no commit is lost or repeated between replay and live, the first time and every later time"
	case Live:
		return "while source and reader work (a rollback of an older writer included), every commit reaches every stream in finite time, also one made by another process or handle"
	case Bookmark:
		return "a heartbeat or checkpoint with cursor c means: everything up to c was delivered or filtered; c resumes"
	case Durable:
		return "an acknowledged append survives reopening and kill -9; seqs are not reused; head never decreases within an epoch"
	case Bounded:
		return "a slow or dead reader delays nobody, costs bounded memory, never loses silently"
	case Contained:
		return "ctx, Close and abandoning the iterator end everything in finite time, leak no goroutine or lock; one final error; events handed out never change"
	case Idempotent:
		return "appending an ID again returns the first result and adds nothing; an unknown outcome can be retried"
	}
	return "is no guarantee of Gapless"
}

// Violation is one broken promise.
type Violation struct {
	Guarantee Guarantee
	Stream    string   // name of the stream, empty if none is to blame
	Problem   string   // what was wrong, in one line: "missing 41 (middle)"
	Expected  []uint64 // seqs around the hole as they should have come; may be empty
	Seen      []uint64 // and as they came
}

// Error is the promise and how it was broken, in several lines.
func (v *Violation) Error() string {
	text := string(v.Guarantee) + ": " + v.Guarantee.Sentence() + "\n  "
	if v.Stream != "" {
		text += "stream " + v.Stream + ": "
	}
	text += v.Problem
	if len(v.Expected) > 0 || len(v.Seen) > 0 {
		expected, seen := alignSeqs(v.Expected, v.Seen)
		text += "\n  expected " + expected + "\n  seen     " + seen
	}
	return text
}
