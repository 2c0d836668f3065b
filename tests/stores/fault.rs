//! The ways in which a store could be wrong.

macro_rules! faults {
    ($($fault:ident,)*) => {
        /// What is wrong with a [`Shelf`](crate::shelf::Shelf).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($fault,)*
        }

        impl Fault {
            pub(crate) const ALL: &[Self] = &[$(Self::$fault,)*];
        }
    };
}

faults! {
    DoesNotAnswerPing,
    IsNeverEmpty,
    FindsWhatIsNotThere,
    HidesRevokedKeys,
    LosesResources,
    LosesMilliseconds,
    LosesAddresses,
    LosesWhatItWasRotatedFrom,
    TakesADigestTwice,
    TakesAnIdTwice,
    CallsAConflictUnavailable,
    LetsChangesRace,
    WritesTheLogLater,
    LeavesHalfOfARefusedChange,
    LogsWhatWasRefused,
    LosesEvents,
    ChangesEveryKey,
    ChangesNothingSilently,
    ChangesTheDigest,
    ChangesTheOwner,
    ChangesWhenItWasUsed,
    ForgetsToDisable,
    BringsBackTheRevoked,
    RevokesAgain,
    DeletesNothing,
    DeletesEventsWithTheirKey,
    TellsMoreThanAsked,
    TakesARevokedDigestForFree,
    CountsExpiredKeys,
    CountsRevokedKeys,
    DoesNotCountDisabledKeys,
    CountsKeysOfOthers,
    ListsEveryStatus,
    ListsEveryOwner,
    ListsEveryPrefix,
    JudgesByAnotherClock,
    ListsTheCursor,
    ListsTheOldestFirst,
    ListsOneTooMany,
    ListsEventsOfEveryKey,
    ListsTheOldestEventFirst,
    LosesTheAddressOfTheActor,
    NumbersWithGaps,
    DoesNotHash,
    DoesNotKnowTheEndOfTheLog,
    TakesEndlessKeysForExpired,
    ExpiresTooEarly,
    ListsExpiredInAnyOrder,
    ForgetsWhatWasImported,
    TakesImportedKeysForExpired,
    MovesUsesBack,
    WritesEveryUseToAll,
    WritesFewerUsesThanAsked,
    CountsUsesAsChanges,
    LogsUses,
    RefusesUsesOfKeysThatAreGone,
    FindsManyWhereOneWasAsked,
    FindsNoneWhereOneIsMissing,
    FindsFewerThanAsked,
    FindsManyButTheRevoked,
    ListensWithoutAFlush,
    TellsNoNewKeys,
    TellsNoChanges,
    TellsNoRemovals,
    TellsFewerThanChanged,
    ProvesBeforeItTells,
    MakesANewCheckKey,
}
