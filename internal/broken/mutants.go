package broken

import "slices"

// Layer says which part of the harness has the bug.
type Layer string

// The layers.
const (
	Source     Layer = "Source"
	File       Layer = "File" // a Source that is kept in a file
	Subscriber Layer = "Subscriber"
	Follower   Layer = "Follower"
	Hubs       Layer = "Hub"
	Transport  Layer = "Transport"
)

// Mutant is a bug and the case that has to find it.
type Mutant struct {
	Bug   Bug
	Layer Layer
	Kills string // name of the case that was written for it
	Real  bool   // needs real time: it waits for a mutex, or leaves goroutines
}

// Mutants returns all that a log can have.
func Mutants() []Mutant {
	return slices.Concat(
		readerMutants(), givenMutants(), filterMutants(), pushedMutants(), besideMutants(), identityMutants(), textMutants(), trimMutants(), renewMutants(), reopenMutants(),
		storeMutants(), subscriberMutants(), liveMutants(), followerMutants(), hubMutants(),
	)
}

// readerMutants answer wrongly what a Source is asked.
func readerMutants() []Mutant {
	return []Mutant{
		{Bug: InclusiveAfter, Layer: Source, Kills: "Unique/EveryCursor"},
		{Bug: LastOfPageDropped, Layer: Source, Kills: "Reliable/EveryCursorEveryLimit/10"},
		{Bug: FirstOfNextDropped, Layer: Source, Kills: "Reliable/EveryCursorEveryLimit/6"},
		{Bug: TextOrder, Layer: Source, Kills: "Ordered/Sequential"},
		{Bug: Unsorted, Layer: Source, Kills: "Ordered/OneAppend"},
		{Bug: LimitIgnored, Layer: Source, Kills: "Reliable/EveryCursorEveryLimit/11"},
		{Bug: SharedSlice, Layer: Source, Kills: "Contained/Immutable"},
		{Bug: ReusedBuffer, Layer: Source, Kills: "Contained/Immutable"},
		{Bug: DenseAssumed, Layer: Source, Kills: "Reliable/Holes"},
		{Bug: ContextIgnored, Layer: Source, Kills: "Contained/EndedContext"},
		{Bug: DirtyRead, Layer: Source, Kills: "Committed/Open"},
		{Bug: RollbackVisible, Layer: Source, Kills: "Committed/RolledBack"},
		{Bug: LateCommit, Layer: Source, Kills: "Reliable/CommitOrder"},
		{Bug: NumberedBefore, Layer: Source, Kills: "Ordered/CommitOrder"},
		{Bug: SplitAppend, Layer: Source, Kills: "Atomic/LastRefused"},
		{Bug: SplitCommit, Layer: Source, Kills: "Atomic/OneView"},
		{Bug: SplitByOpen, Layer: Source, Kills: "Atomic/Overlapping"},
		{Bug: SilentTruncation, Layer: Source, Kills: "Resumable/Truncated"},
		{Bug: TruncationLow, Layer: Source, Kills: "Resumable/Truncated"},
		{Bug: TruncationHigh, Layer: Source, Kills: "Resumable/Truncated"},
		{Bug: TrimsOneMore, Layer: Source, Kills: "Resumable/TrimExact"},
		{Bug: TrimAboveHead, Layer: Source, Kills: "Resumable/TrimExact"},
		{Bug: HeadFromRows, Layer: Source, Kills: "Resumable/TrimAll"},
		{Bug: HeadUncommitted, Layer: Source, Kills: "Committed/HeadBelowOpen"},
		{Bug: HeadCached, Layer: Source, Kills: "Live/HeadIsFresh"},
		{Bug: SeqReusedAfterTrim, Layer: Source, Kills: "Durable/SeqsNotReused"},
		{Bug: FutureAccepted, Layer: Source, Kills: "Resumable/Future"},
	}
}

// storeMutants lose, change or mistake what a Source has to keep.
func storeMutants() []Mutant {
	return []Mutant{
		{Bug: LastLostOnRestart, Layer: Source, Kills: "Durable/Reopen"},
		{Bug: SeqResetOnRestart, Layer: Source, Kills: "Durable/ReopenTrimmed"},
		{Bug: FloorForgotten, Layer: Source, Kills: "Durable/ReopenTrimmed"},
		{Bug: EpochNewOnRestart, Layer: Source, Kills: "Durable/Reopen"},
		{Bug: IDsForgotten, Layer: Source, Kills: "Idempotent/Reopened"},
		{Bug: TimeRounded, Layer: Source, Kills: "Durable/Reopen"},
		{Bug: BytesCorrupted, Layer: Source, Kills: "Reliable/Bytes"},
		{Bug: CutAt64K, Layer: Source, Kills: "Reliable/Bytes"},
		{Bug: MetaLost, Layer: Source, Kills: "Reliable/Bytes"},
		{Bug: LargeEmptiesPage, Layer: Source, Kills: "Reliable/LargeEvents"},
		{Bug: ReadErrorIsEnd, Layer: Source, Kills: "Reliable/StoreFails"},
		{Bug: EpochIgnored, Layer: Source, Kills: "Resumable/Foreign"},
		{Bug: TwoViews, Layer: Source, Kills: "Resumable/ReadLookedAt"},
		{Bug: TrimJumps, Layer: Source, Kills: "Resumable/TrimWhileReading"},
		{Bug: EpochSwapped, Layer: Source, Kills: "Resumable/EpochBetweenReads"},
		{Bug: EpochConstant, Layer: Source, Kills: "Resumable/Foreign"},
		{Bug: RenewLoses, Layer: Source, Kills: "Durable/Renewed"},
		{Bug: RenewForgetsIDs, Layer: Source, Kills: "Durable/Renewed"},
		{Bug: LastIsHead, Layer: Source, Kills: "Resumable/BetweenHeadAndLast"},
		{Bug: FilterEndsPage, Layer: Source, Kills: "Reliable/Filtered"},
		{Bug: NextAboveRead, Layer: Source, Kills: "Reliable/EveryCursorEveryLimit/11"},
		{Bug: NextAboveHead, Layer: Source, Kills: "Reliable/NextIsCovered"},
		{Bug: TagIgnored, Layer: Source, Kills: "Resumable/Rewound"},
		{Bug: UntypedReset, Layer: Source, Kills: "Resumable/Truncated"},
		{Bug: CommitHook, Layer: Source, Kills: "Ordered/LiveOrder"},
		{Bug: ArgumentKept, Layer: Source, Kills: "Contained/AppendCopies"},
		{Bug: IDIgnored, Layer: Source, Kills: "Idempotent/SameID"},
		{Bug: RolledBackIDKept, Layer: Source, Kills: "Idempotent/RolledBack"},
		{Bug: TrimmedIDKept, Layer: Source, Kills: "Idempotent/Trimmed"},
		{Bug: EmptyIDKnown, Layer: Source, Kills: "Idempotent/NoID"},
		{Bug: DuplicateNever, Layer: Source, Kills: "Idempotent/SameID"},
		{Bug: DuplicateAlways, Layer: Source, Kills: "Atomic/Receipt"},
		{Bug: LockIgnoresContext, Layer: Source, Kills: "Contained/Locked"},
		{Bug: WrittenAtClose, Layer: File, Kills: "Durable/Killed", Real: true},
		{Bug: BoundsAtClose, Layer: File, Kills: "Durable/Killed", Real: true},
	}
}

// subscriberMutants have a live side that is wrong.
func subscriberMutants() []Mutant {
	return []Mutant{
		{Bug: LazySubscribe, Layer: Subscriber, Kills: "Handoff/TakesEffect"},
		{Bug: NotifyBeforeCommit, Layer: Subscriber, Kills: "Live/LoneTransaction"},
		{Bug: NotifyBeforeVisible, Layer: Subscriber, Kills: "Live/LoneCommit"},
		{Bug: GoroutinePerEvent, Layer: Subscriber, Kills: "Bounded/Goroutines"},
		{Bug: Duplicate, Layer: Subscriber, Kills: "Unique/LiveEvents"},
		{Bug: FirstSkipped, Layer: Subscriber, Kills: "Reliable/FirstLive"},
		{Bug: DropNewest, Layer: Subscriber, Kills: "Bounded/DeadReader"},
		{Bug: DropOldest, Layer: Subscriber, Kills: "Bounded/DeadReader"},
		{Bug: LagWithoutError, Layer: Subscriber, Kills: "Bounded/DeadReader"},
		{Bug: OneLagEndsAll, Layer: Subscriber, Kills: "Bounded/OneLags"},
		{Bug: SlowBlocksWriter, Layer: Subscriber, Kills: "Bounded/DeadReader", Real: true},
		{Bug: CloseLeavesRegistered, Layer: Subscriber, Kills: "Contained/CloseForgets", Real: true},
		{Bug: SecondCloseErrors, Layer: Subscriber, Kills: "Contained/CloseTwice"},
		{Bug: CloseKeepsNext, Layer: Subscriber, Kills: "Contained/CloseEndsNext", Real: true},
		{Bug: CloseLeavesNext, Layer: Subscriber, Kills: "Contained/CloseLog", Real: true},
		{Bug: NextIgnoresContext, Layer: Subscriber, Kills: "Contained/CancelNext", Real: true},
		{Bug: GoroutineLeak, Layer: Subscriber, Kills: "Contained/CloseTwice", Real: true},
		{Bug: SharedBytes, Layer: Subscriber, Kills: "Contained/ImmutableLive"},
		{Bug: EdgeTriggered, Layer: Subscriber, Kills: "Live/BetweenNexts"},
		{Bug: CheckThenArm, Layer: Subscriber, Kills: "Live/BetweenNexts"},
		{Bug: HotLoop, Layer: Subscriber, Kills: "Live/Rest", Real: true},
		{Bug: OwnHandleOnly, Layer: Subscriber, Kills: "Live/SecondHandle"},
		{Bug: OnlyFirstWoken, Layer: Subscriber, Kills: "Live/EverySubscription"},
		{Bug: SeverNotReread, Layer: Subscriber, Kills: "Live/Severed"},
		{Bug: LagNotRearmed, Layer: Subscriber, Kills: "Live/LagRearmed"},
		{Bug: CancelLosesBatch, Layer: Subscriber, Kills: "Live/CancelledNextKeeps"},
		{Bug: SubscribeDeadline, Layer: Subscriber, Kills: "Live/SubscribeContext"},
		{Bug: RollbackSilent, Layer: Subscriber, Kills: "Live/OldestEndsLast/rollback"},
		{Bug: RenewSilent, Layer: Subscriber, Kills: "Resumable/EpochEndsSubscription"},
		{Bug: LagForEver, Layer: Subscriber, Kills: "Live/LagRearmed"},
		{Bug: LiveTimeRounded, Layer: Subscriber, Kills: "Reliable/Bytes"},
		{Bug: ClosedIsSilent, Layer: Subscriber, Kills: "Contained/CloseEndsNext"},
		{Bug: FinalOnce, Layer: Subscriber, Kills: "Contained/Sticky/renewed"},
		{Bug: FinalThenNothing, Layer: Subscriber, Kills: "Contained/Sticky/closed"},
		{Bug: FinalChanges, Layer: Subscriber, Kills: "Contained/Sticky/logClosed"},
		{Bug: SeverToldOnce, Layer: Subscriber, Kills: "Contained/Sticky/severed"},
		{Bug: GoesOnAbove, Layer: Subscriber, Kills: "Resumable/RewoundWhileFollowed/live"},
	}
}

// followerMutants turn a log into streams wrongly.
func followerMutants() []Mutant {
	return []Mutant{
		{Bug: ReplayBeforeSubscribe, Layer: Follower, Kills: "Handoff/FirstReplay/cursor"},
		{Bug: LiveDiscarded, Layer: Follower, Kills: "Handoff/FirstReplay/beginning"},
		{Bug: NoDedupe, Layer: Follower, Kills: "Handoff/FirstReplay/latest"},
		{Bug: DedupeLess, Layer: Follower, Kills: "Handoff/FirstReplay/latest"},
		{Bug: ShortPageIsEnd, Layer: Follower, Kills: "Reliable/ShortPages"},
		{Bug: LastReadDropped, Layer: Follower, Kills: "Unique/PageBoundary/5"},
		{Bug: NoReplayAfterLag, Layer: Follower, Kills: "Handoff/AfterLag"},
		{Bug: ResyncFromHead, Layer: Follower, Kills: "Handoff/AfterLag"},
		{Bug: LagEndsSilently, Layer: Follower, Kills: "Handoff/AfterLag"},
		{Bug: CursorAhead, Layer: Follower, Kills: "Bookmark/NotAhead"},
		{Bug: ZeroIsNow, Layer: Follower, Kills: "Resumable/Zero"},
		{Bug: ErrorIsEnd, Layer: Follower, Kills: "Reliable/ReadFails"},
		{Bug: FilteredDoNotMove, Layer: Follower, Kills: "Bookmark/FilteredMoves"},
		{Bug: FilterAfterLimit, Layer: Follower, Kills: "Reliable/Filtered"},
		{Bug: HeartbeatAhead, Layer: Follower, Kills: "Handoff/FirstReplay/beginning"},
		{Bug: TrimmedJumps, Layer: Follower, Kills: "Bounded/SlowAndTrimmed"},
		{Bug: TwoFinalErrors, Layer: Follower, Kills: "Contained/OneError"},
		{Bug: NoFinalError, Layer: Follower, Kills: "Contained/CancelStream"},
		{Bug: YieldsAfterBreak, Layer: Follower, Kills: "Contained/LeaveLoop"},
		{Bug: LeftWhileSubscribing, Layer: Follower, Kills: "Contained/LeaveWhileRenewing"},
		{Bug: EpochFollowed, Layer: Follower, Kills: "Resumable/EpochUnderStream"},
		{Bug: LiveEarly, Layer: Follower, Kills: "Bookmark/LiveOnce"},
		{Bug: NoHeartbeatReplaying, Layer: Follower, Kills: "Bookmark/HeartbeatReplaying"},
		{Bug: NoHeartbeatLive, Layer: Follower, Kills: "Bookmark/HeartbeatLive"},
		{Bug: NotReadAfterBreak, Layer: Follower, Kills: "Handoff/AfterBreak"},
		{Bug: NoReplayCap, Layer: Follower, Kills: "Resumable/TooFar"},
		{Bug: MalformedIsLatest, Layer: Follower, Kills: "Resumable/Malformed"},
		{Bug: NumberUnbound, Layer: Follower, Kills: "Resumable/BareNumber"},
		{Bug: BeginningIsZero, Layer: Follower, Kills: "Resumable/BeginningAfterTrim"},
		{Bug: FutureClamped, Layer: Follower, Kills: "Resumable/Future"},
		{Bug: PositionUntagged, Layer: Follower, Kills: "Resumable/RewoundWhileFollowed/live"},
		{Bug: AgainIsReplayed, Layer: Follower, Kills: "Resumable/RewoundWhileFollowed/live"},
		{Bug: HeartbeatDropsFinal, Layer: Follower, Kills: "Contained/FinalAtHeartbeat"},
		{Bug: LagAtHeadIgnored, Layer: Follower, Kills: "Resumable/RewoundWhileFollowed/lag"},
	}
}

// hubMutants serve many streams wrongly.
func hubMutants() []Mutant {
	return []Mutant{
		{Bug: HubCloseDoesNothing, Layer: Hubs, Kills: "Contained/CloseHub", Real: true},
		{Bug: HubLazy, Layer: Hubs, Kills: "Handoff/UnderHub/idle"},
		{Bug: HubLagNotReread, Layer: Hubs, Kills: "Handoff/UnderHub/lag"},
		{Bug: HubBreakNotReread, Layer: Hubs, Kills: "Handoff/UnderHub/break"},
		{Bug: HubBreakIsEnd, Layer: Hubs, Kills: "Handoff/UnderHub/break"},
		{Bug: HubBoundsCached, Layer: Hubs, Kills: "Resumable/SecondHandle"},
	}
}

// HandlerMutants returns all that an SSE handler can have.
func HandlerMutants() []Mutant {
	return []Mutant{
		{Bug: NoID, Layer: Transport, Kills: "Bookmark/SSE/EveryFrameHasID", Real: true},
		{Bug: MultilineLosesID, Layer: Transport, Kills: "Resumable/SSE/EveryByte", Real: true},
		{Bug: HeaderInclusive, Layer: Transport, Kills: "Resumable/SSE/HeaderWins", Real: true},
		{Bug: HeaderIgnored, Layer: Transport, Kills: "Resumable/SSE/HeaderWins", Real: true},
		{Bug: CRNotSplit, Layer: Transport, Kills: "Reliable/SSE/Payloads", Real: true},
		{Bug: NoFlush, Layer: Transport, Kills: "Live/SSE/LoneCommit", Real: true},
		{Bug: HeartbeatWithID, Layer: Transport, Kills: "Bookmark/SSE/Heartbeat", Real: true},
		{Bug: SilentReset, Layer: Transport, Kills: "Resumable/SSE/Truncated", Real: true},
		{Bug: SurvivesDisconnect, Layer: Transport, Kills: "Contained/SSE/Disconnect", Real: true},
		{Bug: NoWriteDeadline, Layer: Transport, Kills: "Bounded/SSE/NeverReads", Real: true},
		{Bug: SplitAtBuffer, Layer: Transport, Kills: "Reliable/SSE/Large", Real: true},
		{Bug: RetryAlone, Layer: Transport, Kills: "Bookmark/SSE/EveryFrameHasID", Real: true},
		{Bug: HelloWithoutID, Layer: Transport, Kills: "Resumable/SSE/LatestEveryByte", Real: true},
		{Bug: ResetIDResets, Layer: Transport, Kills: "Resumable/SSE/Resets", Real: true},
		{Bug: TypeForges, Layer: Transport, Kills: "Reliable/SSE/Payloads", Real: true},
		{Bug: KeepsEncoded, Layer: Transport, Kills: "Contained/SSE/ForeignMemory", Real: true},
		{Bug: NeighbourReached, Layer: Transport, Kills: "Contained/SSE/ForeignMemory", Real: true},
	}
}
