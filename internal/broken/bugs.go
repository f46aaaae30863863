package broken

// Bug is one deviation from the reference, by its name.
type Bug string

// None is the reference itself.
const None Bug = ""

// The bugs, each with where such a one was seen.
const (
	// Bugs of a Source.

	InclusiveAfter     Bug = "inclusive after"                                // every poll once written as seq >= ?
	LastOfPageDropped  Bug = "last event of a full page dropped"              // pagers that read one more to know whether there is more, and drop it twice
	FirstOfNextDropped Bug = "first of the next page dropped"                 // pagers that store the first seq of the next page as the cursor
	TextOrder          Bug = "text order"                                     // ids kept as text: 10 sorts before 9
	Unsorted           Bug = "unsorted"                                       // SELECT without ORDER BY
	LimitIgnored       Bug = "limit ignored"                                  // a replay cap that was never passed on
	SharedSlice        Bug = "shared slice"                                   // a page that is a window of the store's own slice
	ReusedBuffer       Bug = "reused buffer"                                  // values of bbolt used after the transaction has ended
	DenseAssumed       Bug = "dense seqs assumed"                             // after + len(events) as the next cursor: sequences have holes
	ContextIgnored     Bug = "ctx ignored"                                    // clients whose blocking call does not hear the context
	DirtyRead          Bug = "dirty read"                                     // read uncommitted
	RollbackVisible    Bug = "rollback visible"                               // an event published beside the transaction
	LateCommit         Bug = "late commit below the cursor"                   // seq > $1 on a sequence: 8,457 of 17,376 missed
	NumberedBefore     Bug = "order taken at commit but numbered before"      // a row trigger that locks after the default drew the number: 87 inversions in 20,537 commits
	SplitAppend        Bug = "split transaction"                              // a loop of inserts without a transaction
	SplitCommit        Bug = "commit shown in pieces"                         // one publish for each row of a commit
	SplitByOpen        Bug = "commit split by an open transaction"            // a fence by what was drawn at the last look: it may lie between two numbers of one commit
	SilentTruncation   Bug = "silent truncation"                              // XREAD from a trimmed id returns the next survivor
	TruncationLow      Bug = "truncation off by one, too late"                // cursor < floor-1
	TruncationHigh     Bug = "truncation off by one, too early"               // cursor <= floor: everyone at the floor is reset for ever
	TrimsOneMore       Bug = "trims one more"                                 // DELETE … WHERE seq <= the first one to keep
	TrimAboveHead      Bug = "trims above the head"                           // a floor set to what was asked for
	HeadFromRows       Bug = "head from rows"                                 // MAX(seq): deleting the newest rows lowered it
	HeadUncommitted    Bug = "head counts the uncommitted"                    // last_value of a sequence as the head
	HeadCached         Bug = "head cached"                                    // a head that is refreshed by a timer
	SeqReusedAfterTrim Bug = "seq reused after trim"                          // a table without AUTOINCREMENT that was emptied
	FutureAccepted     Bug = "future cursor accepted"                         // a cursor ahead of a replaced database: the stream looked healthy and delivered nothing
	LastLostOnRestart  Bug = "last event lost on restart"                     // acknowledged before fsync
	SeqResetOnRestart  Bug = "seq reset on restart"                           // a counter kept in memory
	FloorForgotten     Bug = "floor forgotten on restart"                     // a floor kept in memory
	EpochNewOnRestart  Bug = "epoch new on restart"                           // an epoch drawn when the process starts
	IDsForgotten       Bug = "ids forgotten on restart"                       // a deduplication cache in memory
	TimeRounded        Bug = "time rounded when stored"                       // DATETIME(3): the tag of the event changes
	BytesCorrupted     Bug = "bytes corrupted"                                // a text column for payloads
	CutAt64K           Bug = "cut at 64 KiB"                                  // a TEXT column, a bufio.Scanner with its default limit
	MetaLost           Bug = "metadata lost"                                  // a column that was forgotten in one SELECT
	LargeEmptiesPage   Bug = "large event empties the page"                   // a byte budget that is checked before the first event
	ReadErrorIsEnd     Bug = "read error taken for the end"                   // rows.Next without rows.Err
	EpochIgnored       Bug = "epoch ignored"                                  // cursors that are bare numbers
	TwoViews           Bug = "read in two views"                              // a snapshot for the bounds, the live store for the rows
	TrimJumps          Bug = "trim during a read jumps"                       // the floor checked in another transaction than the read
	EpochSwapped       Bug = "epoch swapped between Bounds and Read"          // an epoch that is read once per connection
	EpochConstant      Bug = "one epoch for every log"                        // an epoch taken from the name of the table
	RenewLoses         Bug = "new epoch empties the log"                      // a log made anew where only its epoch had to change
	RenewForgetsIDs    Bug = "new epoch forgets ids"                          // ids kept under the epoch
	LastIsHead         Bug = "last is the head"                               // nobody looked at what open transactions have drawn
	FilterEndsPage     Bug = "page ended by the filter taken for the end"     // a filtered page that advanced nothing and looped for ever
	NextAboveRead      Bug = "Next above what was read"                       // the head as the cursor of every page
	NextAboveHead      Bug = "Next above the head"                            // a cursor one too far when caught up
	TagIgnored         Bug = "rewound and regrown log accepted (tag ignored)" // a Redis failover: a reader resumed at 106 and lost the new 101..105
	UntypedReset       Bug = "reset without a type"                           // errors.New where the caller needs floor and head
	CommitHook         Bug = "publish from the commit hook"                   // bbolt's OnCommit: hooks of two transactions run in either order
	ArgumentKept       Bug = "argument kept"                                  // a payload buffer that its owner used again
	IDIgnored          Bug = "id ignored"                                     // a retry that doubled the event
	RolledBackIDKept   Bug = "id of a rollback kept"                          // a deduplication cache beside the transaction
	TrimmedIDKept      Bug = "id kept after its event was trimmed"            // an index on ids that retention forgets
	EmptyIDKnown       Bug = "empty id taken for an id"                       // a unique index on a column that is not null
	DuplicateNever     Bug = "duplicate not told"                             // an upsert whose outcome nobody looks at
	DuplicateAlways    Bug = "duplicate told for new events"                  // an outcome taken from the last row alone

	LockIgnoresContext Bug = "ctx ignored while locked" // bbolt waits for its writer with a mutex

	// Bugs of a store in a file that only a kill shows.

	WrittenAtClose Bug = "acknowledged before it is written" // a bufio.Writer that Close flushes
	BoundsAtClose  Bug = "bounds written at Close"           // a counter that an orderly end saves: its numbers come again after a crash

	// Bugs of a Subscriber.

	LazySubscribe         Bug = "lazy subscribe"                              // XREAD from $ in a goroutine loses what comes before the call
	NotifyBeforeCommit    Bug = "notify before commit"                        // a notification sent by the insert
	NotifyBeforeVisible   Bug = "notify before visible"                       // a broadcast before the commit returned
	GoroutinePerEvent     Bug = "goroutine per event"                         // go deliver(e) for every subscriber
	Duplicate             Bug = "duplicate"                                   // at-least-once delivery passed on as it is
	FirstSkipped          Bug = "first skipped"                               // a subscription that takes its first message for a greeting
	DropNewest            Bug = "drop newest"                                 // select with default: 8 of 20,000 runs with a buffer of 2
	DropOldest            Bug = "drop oldest"                                 // a ring that overwrites
	LagWithoutError       Bug = "lag without error"                           // a buffer that is emptied and goes on
	OneLagEndsAll         Bug = "one lag ends all"                            // a broadcaster that gives up for everyone
	SlowBlocksWriter      Bug = "slow reader blocks the writer"               // go-sse, r3labs: one client that does not read stalls all
	CloseLeavesRegistered Bug = "Close leaves it registered"                  // a map of subscribers that only grows
	SecondCloseErrors     Bug = "second Close errors"                         // close of a closed channel
	CloseKeepsNext        Bug = "Close does not end Next"                     // a Close that only unregisters
	CloseLeavesNext       Bug = "Close of the log leaves Next waiting"        // a listener that is not told
	NextIgnoresContext    Bug = "ctx ignored by Next"                         // cancelling does not interrupt XREAD BLOCK in go-redis
	GoroutineLeak         Bug = "goroutine leak"                              // a pump that nobody ends
	SharedBytes           Bug = "shared bytes"                                // a batch slice that is used again
	EdgeTriggered         Bug = "edge-triggered wake"                         // a condition variable without a state
	CheckThenArm          Bug = "check then arm"                              // a look at the head and then a wait
	HotLoop               Bug = "hot loop"                                    // a closed channel in a select
	OwnHandleOnly         Bug = "wakes for its own handle only"               // a broadcaster in memory before two processes
	OnlyFirstWoken        Bug = "only the first is woken"                     // Signal where Broadcast was meant
	SeverNotReread        Bug = "lost LISTEN not re-read"                     // a listener that reconnects in silence
	LagNotRearmed         Bug = "lag not re-armed"                            // a latch that nobody resets
	CancelLosesBatch      Bug = "batch lost when ctx ends Next"               // a value taken from a channel and then the context looked at
	SubscribeDeadline     Bug = "deadline of Subscribe ends the subscription" // the dial context kept for the connection
	RollbackSilent        Bug = "rollback wakes nobody"                       // a rollback notifies nobody, yet makes later rows readable
	RenewSilent           Bug = "new epoch told to nobody"                    // a log made anew under open streams
	LagForEver            Bug = "lag told for ever"                           // a latch that is read and not cleared: each stream replays without end
	LiveTimeRounded       Bug = "time of live events rounded"                 // the time of the notification for that of the row: the cursor of a live event is diverged
	ClosedIsSilent        Bug = "Next after Close returns nothing"            // a receive from a closed channel
	FinalOnce             Bug = "final error told once"                       // this library's SQL log: a reset that the next wake-up forgot
	FinalThenNothing      Bug = "nothing after the final error"               // the zero values of a closed channel
	FinalChanges          Bug = "another error after the final one"           // a closed connection asked again
	SeverToldOnce         Bug = "severed connection told once"                // a client that reconnects below an error it has returned
	GoesOnAbove           Bug = "live goes on above what it handed over"      // XREAD from the last id, on a promoted replica that lagged: 101 to 105 of the new master were not seen

	// Bugs of a follower.

	ReplayBeforeSubscribe Bug = "replay before subscribe"                // 0 of 2,000 random runs found it
	LiveDiscarded         Bug = "live buffer discarded at the switch"    // "the replay has those already"
	NoDedupe              Bug = "no dedupe"                              // replay and live joined as they are
	DedupeLess            Bug = "dedupe with <"                          // an off-by-one at the joint
	ShortPageIsEnd        Bug = "short page taken for the end"           // len(page) < limit
	LastReadDropped       Bug = "last of a full page dropped"            // a reader that looks one ahead
	NoReplayAfterLag      Bug = "no replay after lag"                    // a dropped event, then the next one let through
	ResyncFromHead        Bug = "resync from head"                       // a reader that starts afresh after a lag
	LagEndsSilently       Bug = "lag ends silently"                      // an eviction that looks like the end of the body
	CursorAhead           Bug = "cursor ahead of delivery"               // the page's cursor sent with its first event
	ZeroIsNow             Bug = "zero means now"                         // if cursor != 0
	ErrorIsEnd            Bug = "error taken for end"                    // a replay loop that breaks on any error
	FilteredDoNotMove     Bug = "filtered events do not move the cursor" // a full page of filtered rows looped for ever
	FilterAfterLimit      Bug = "filter after limit"                     // a page that the filter emptied taken for the end
	HeartbeatAhead        Bug = "checkpoint ahead of delivery"           // the head in every heartbeat
	TrimmedJumps          Bug = "slow and trimmed jumps"                 // "truncated: go on at the floor"
	TwoFinalErrors        Bug = "two final errors"                       // an error yielded where it happened and again at the end
	NoFinalError          Bug = "no final error"                         // a loop that just returns
	YieldsAfterBreak      Bug = "yields after break"                     // an iterator that does not look at what yield returned
	LeftWhileSubscribing  Bug = "left while subscribing"                 // this library: a subscription granted after its stream was left
	EpochFollowed         Bug = "epoch change followed in silence"       // a resume that takes whatever log is there
	LiveEarly             Bug = "live announced early"                   // the state set when the subscription was made
	NoHeartbeatReplaying  Bug = "no heartbeat while replaying"           // a timer in the live loop only
	NoHeartbeatLive       Bug = "no heartbeat when live"                 // a timer that is never re-armed
	NotReadAfterBreak     Bug = "broken subscription not re-read"        // subscribe again and go on
	NoReplayCap           Bug = "replay cap ignored"                     // 722k rows on every reconnect
	MalformedIsLatest     Bug = "malformed taken for latest"             // a parse error that becomes the zero value
	NumberUnbound         Bug = "number not bound to the epoch"          // a bare number compared with an epoch
	BeginningIsZero       Bug = "beginning is zero"                      // the beginning of a trimmed log is not 0
	FutureClamped         Bug = "future clamped to the head"             // "reset to 0" made all clients stampede, clamping lost events
	PositionUntagged      Bug = "position without a tag"                 // a lagging replica promoted under open streams, which remember a number
	AgainIsReplayed       Bug = "what comes again taken for replayed"    // the same, where live events are dropped up to that number
	HeartbeatDropsFinal   Bug = "final error dropped at a heartbeat"     // this library: the deadline of the heartbeat looked at before the error
	LagAtHeadIgnored      Bug = "lag at the head not read"               // this library: a log that went back and grew to its old head while a stream lagged

	// Bugs of a Hub.

	HubCloseDoesNothing Bug = "Close does nothing"               // a hub that outlives its server
	HubLazy             Bug = "hub subscribes at the first read" // a hub that starts when it is used
	HubLagNotReread     Bug = "hub's lag not passed on"          // a lag handled by forgetting it
	HubBreakNotReread   Bug = "hub's break not re-read"          // subscribe again and go on, for everyone
	HubBreakIsEnd       Bug = "hub never subscribes again"       // a reader that ends with its connection
	HubBoundsCached     Bug = "hub's bounds cached"              // a cursor of another process refused as future

	// Bugs of an SSE handler.

	NoID               Bug = "no id"                                     // frames without an id: the last event id is empty in some clients
	MultilineLosesID   Bug = "id before data of a multi-line event lost" // a writer that puts the id on the first of several data lines only
	HeaderInclusive    Bug = "Last-Event-ID inclusive"                   // a resume that begins with the event that the client has
	HeaderIgnored      Bug = "Last-Event-ID ignored"                     // ?after=N beat the header: each reconnect replayed from N
	CRNotSplit         Bug = "CR not split"                              // data split on LF alone
	NoFlush            Bug = "no flush"                                  // a lone event sat for over a minute behind a buffer
	HeartbeatWithID    Bug = "heartbeat with id"                         // an id: block without data moves the cursor in two of four clients only
	SilentReset        Bug = "200 then silence on truncation"            // the reset told in a response header, which EventSource cannot read
	SurvivesDisconnect Bug = "handler survives disconnect"               // a handler that does not look at the request's context
	NoWriteDeadline    Bug = "write without deadline"                    // a stuck client held handler and subscription for ever
	SplitAtBuffer      Bug = "event split at the buffer size"            // a frame for each piece of a payload
	RetryAlone         Bug = "retry alone in a block"                    // one client fires an empty message
	HelloWithoutID     Bug = "hello without id"                          // a latest start that is cut before its first event
	ResetIDResets      Bug = "reset id that resets again"                // the cursor that was asked for as the id of its reset
	TypeForges         Bug = "type that forges a control frame"          // event: with the type as it is
	KeepsEncoded       Bug = "memory that an encoder returned kept"      // a pool that took the log's own bytes, and wrote the next event into them
	NeighbourReached   Bug = "append to an event reaches its neighbour"  // events of a page side by side in memory, given to an encoder as they are
)
