package broken

// Bugs of what is given, and of what cannot be read.
const (
	RowErrorEnds     Bug = "error at a row taken for the end"         // for rows.Next() without rows.Err: 0 of 54 race suites noticed
	RowErrorSkips    Bug = "row that cannot be decoded skipped"       // if err != nil { continue }
	RowErrorEmpty    Bug = "row that cannot be decoded empty"         // a value that is used though its error was set
	RowErrorAtLimit  Bug = "error at the row after the limit ignored" // LIMIT n+1, whose last row says whether there is more
	RowErrorFiltered Bug = "error at a row of a filtered read ignored"
	QueryErrorEnds   Bug = "error after the bounds taken for an empty page" // two statements, and the second one's error dropped

	ClosedGoesOn      Bug = "closed log goes on"                   // a Close that ends the subscriptions only
	ClosedUntyped     Bug = "closed log returns the store's error" // os.ErrClosed, sql: database is closed
	ClosedSubscribes  Bug = "closed log can be subscribed"         // the error comes at the first Next
	SeqOfArgument     Bug = "seq of the argument kept"             // an event that was read from another log and is appended here
	TimeOfArgument    Bug = "time of the argument kept"            // if e.Time.IsZero()
	NilDataIsNull     Bug = "no data stored as null"               // json.Marshal of a nil json.RawMessage
	EmptyDataIsObject Bug = "empty data stored as {}"              // DEFAULT '{}' in a column of JSON
	EmptyNumbers      Bug = "append of nothing draws a seq"        // a counter that is raised before the loop
	EmptyIsDuplicate  Bug = "append of nothing is a duplicate"     // all of no events were known
	EmptyErrors       Bug = "append of nothing errors"             // INSERT … VALUES without a row

	TrimZeroIsAll     Bug = "trim to 0 empties the log"               // 0 taken for no limit
	TrimLowersFloor   Bug = "trim lowers the floor"                   // UPDATE … SET floor = ?
	TrimNothingErrors Bug = "trim of nothing errors"                  // sql.ErrNoRows
	TrimOverflows     Bug = "trim above 2^63 removes nothing"         // int64(seq)
	TrimCutTo32       Bug = "trim above 2^32 forgets the high bits"   // INTEGER instead of BIGINT
	TrimNeedsEvent    Bug = "trim inside a hole does nothing"         // a cursor of the store that is put on the exact key
	TrimTakesNext     Bug = "trim inside a hole takes the next event" // Seek goes to the next key
)

// givenMutants mistake what they are given, or hide what they cannot read.
func givenMutants() []Mutant {
	return []Mutant{
		{Bug: RowErrorEnds, Layer: Source, Kills: "Reliable/EventFails"},
		{Bug: RowErrorSkips, Layer: Source, Kills: "Reliable/EventFails"},
		{Bug: RowErrorEmpty, Layer: Source, Kills: "Reliable/EventFails"},
		{Bug: RowErrorAtLimit, Layer: Source, Kills: "Reliable/EventFails"},
		{Bug: RowErrorFiltered, Layer: Source, Kills: "Reliable/EventFails"},
		{Bug: QueryErrorEnds, Layer: Source, Kills: "Reliable/EventFails"},
		{Bug: ClosedGoesOn, Layer: Source, Kills: "Contained/Closed"},
		{Bug: ClosedUntyped, Layer: Source, Kills: "Contained/Closed"},
		{Bug: ClosedSubscribes, Layer: Subscriber, Kills: "Contained/Closed"},
		{Bug: SeqOfArgument, Layer: Source, Kills: "Reliable/Assigned"},
		{Bug: TimeOfArgument, Layer: Source, Kills: "Reliable/Assigned"},
		{Bug: NilDataIsNull, Layer: Source, Kills: "Reliable/NoData"},
		{Bug: EmptyDataIsObject, Layer: Source, Kills: "Reliable/NoData"},
		{Bug: EmptyNumbers, Layer: Source, Kills: "Atomic/Receipt"},
		{Bug: EmptyIsDuplicate, Layer: Source, Kills: "Atomic/Receipt"},
		{Bug: EmptyErrors, Layer: Source, Kills: "Atomic/Receipt"},
		{Bug: TrimZeroIsAll, Layer: Source, Kills: "Resumable/TrimNothing"},
		{Bug: TrimLowersFloor, Layer: Source, Kills: "Resumable/TrimNothing"},
		{Bug: TrimNothingErrors, Layer: Source, Kills: "Resumable/TrimNothing"},
		{Bug: TrimOverflows, Layer: Source, Kills: "Resumable/TrimFar"},
		{Bug: TrimCutTo32, Layer: Source, Kills: "Resumable/TrimFar"},
		{Bug: TrimNeedsEvent, Layer: Source, Kills: "Resumable/TrimFar"},
		{Bug: TrimTakesNext, Layer: Source, Kills: "Resumable/TrimFar"},
	}
}

// Legal variants of the reference: inconvenient, and right.
const (
	StepsOfSeven Bug = "seqs in steps of seven"
	LastJumps    Bug = "last jumps at reopening"
	HeadJumps    Bug = "head jumps at reopening"
	FloorFirst   Bug = "trim raises the floor and removes the rows one by one"
)

// Legal returns the variants that have to pass.
func Legal() []Bug { return []Bug{StepsOfSeven, LastJumps, HeadJumps, FloorFirst} }
