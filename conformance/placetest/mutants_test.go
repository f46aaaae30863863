package placetest_test

import (
	"testing"
	"testing/synctest"

	"github.com/gapless-go/gapless/conformance/placetest"
)

// bug is what is wrong with a reference.
type bug string

const (
	none                     bug = ""
	anyoneGivesUp            bug = "anyone gives up the lease"
	checkedAtBegin           bug = "revision checked at begin, not at commit"
	cursorBeforeHandler      bug = "cursor saved whether or not the handler fails"
	cursorNotSaved           bug = "cursor not saved"
	effectsLost              bug = "effects lost"
	failedBatchCommitted     bug = "failed batch committed"
	fencedCommitsEffects     bug = "fenced, but effects committed"
	fencedIsSuccess          bug = "fenced told as success"
	fencedWithoutName        bug = "fenced told as another error"
	generationNotInState     bug = "generation not in the state"
	generationReused         bug = "generation reused"
	grantsToAll              bug = "lease given while another has it"
	hidesHolder              bug = "holder told to be the caller"
	keepsWhatIsGivenUp       bug = "giving up ignored"
	listUnordered            bug = "list unordered"
	listWithoutCursor        bug = "list without cursors"
	listWithoutLast          bug = "list without the last"
	neverChecked             bug = "revision never checked"
	neverExpires             bug = "lease never expires"
	neverProlongs            bug = "renewal does not prolong"
	olderIsChecked           bug = "only older revisions refused"
	parkedForgotten          bug = "parked events forgotten"
	parkedOutsideTransaction bug = "parked outside the transaction"
	parkedUnordered          bug = "parked events unordered"
	parkedWithoutData        bug = "parked events without data"
	pauseForgotten           bug = "pause forgotten"
	renewalFences            bug = "renewal raises the revision"
	renewalIsTakeover        bug = "renewal raises the generation"
	replacedTwice            bug = "replaced parked event there twice"
	revisionStays            bug = "revision does not grow"
	tagLost                  bug = "tag of the cursor lost"
	takeoverKeepsRevision    bug = "takeover keeps the revision"
	unparkIgnored            bug = "removal of parked events ignored"
	workersShareState        bug = "workers share a state"
	writesOutsideTransaction bug = "handler writes outside the transaction"
)

// mutants and the case that is named for each.
var mutants = []struct {
	bug      bug
	killedBy string
}{
	{anyoneGivesUp, "Effective/GivenUp"},
	{checkedAtBegin, "Effective/Raced"},
	{checkedAtBegin, "Effective/Zombie"},
	{cursorBeforeHandler, "Effective/RolledBack"},
	{cursorNotSaved, "Effective/Committed"},
	{effectsLost, "Effective/Committed"},
	{failedBatchCommitted, "Effective/RolledBack"},
	{failedBatchCommitted, "Effective/FailedInBatch"},
	{fencedCommitsEffects, "Effective/Fenced"},
	{fencedIsSuccess, "Effective/Fenced"},
	{fencedWithoutName, "Effective/Fenced"},
	{generationNotInState, "Effective/Expires"},
	{generationReused, "Effective/Expires"},
	{grantsToAll, "Effective/OneHolder"},
	{hidesHolder, "Effective/OneHolder"},
	{keepsWhatIsGivenUp, "Effective/GivenUp"},
	{keepsWhatIsGivenUp, "Effective/HandedOver"},
	{listUnordered, "Effective/Apart"},
	{listWithoutCursor, "Effective/Apart"},
	{listWithoutCursor, "Effective/Retained"},
	{listWithoutLast, "Effective/Apart"},
	{neverChecked, "Effective/Fenced"},
	{neverChecked, "Effective/Stopped"},
	{neverExpires, "Effective/Expires"},
	{neverExpires, "Effective/Killed"},
	{neverProlongs, "Effective/Renewed"},
	{olderIsChecked, "Effective/Fenced"},
	{parkedForgotten, "Effective/ParkedInOrder"},
	{parkedOutsideTransaction, "Effective/Fenced"},
	{parkedUnordered, "Effective/Parked"},
	{parkedWithoutData, "Effective/Parked"},
	{pauseForgotten, "Effective/Moved"},
	{renewalFences, "Effective/Renewed"},
	{renewalIsTakeover, "Effective/Renewed"},
	{replacedTwice, "Effective/Parked"},
	{revisionStays, "Effective/Committed"},
	{tagLost, "Effective/Committed"},
	{takeoverKeepsRevision, "Effective/Expires"},
	{takeoverKeepsRevision, "Effective/Zombie"},
	{unparkIgnored, "Effective/Parked"},
	{workersShareState, "Effective/Apart"},
	{writesOutsideTransaction, "Effective/RolledBack"},
	{writesOutsideTransaction, "Effective/FailedInBatch"},
}

func TestMutantsAreKilled(t *testing.T) {
	for _, m := range mutants {
		t.Run(string(m.bug)+"/"+m.killedBy, func(t *testing.T) {
			for _, r := range check(t, m.bug, m.killedBy) {
				if r.Err == nil {
					t.Errorf("%s passed", r.Case.Name)
				}
			}
		})
	}
}

func TestReferencePasses(t *testing.T) {
	for _, r := range check(t, none) {
		if r.Err != nil {
			t.Errorf("%s: %s\n%v", r.Case.Name, r.Case.Sentence, r.Err)
		}
	}
}

// check runs cases in virtual time.
func check(t *testing.T, b bug, names ...string) (results []placetest.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		results = placetest.Check(t.Context(), func() (placetest.Store[*tx], error) { return newReference(b) }, names...)
	})
	if len(results) == 0 {
		t.Error("no case was run")
	}
	return results
}
