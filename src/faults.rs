//! Planted faults: mistakes that the code could hold, each behind one line at the place where it could be wrong. `make faults`
//! switches them on one after another and demands that a test fails. Without the feature `faults` nothing of this is built.

/// A mistake. In the setting `MAJU_FAULT` it is written in snake case. `.ci/faults.mjs` says which tests catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "faults", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Fault {
    // The log: written, numbered, answered.
    AckWithoutCommit,
    FailedCommitIsAcked,
    AnswersInWrongOrder,
    HeadsUnlockedTooEarly,
    HeadNotMoved,
    ClientIdNotStored,
    ClientIdKeyDropped,
    ConflictAccepted,
    SerializationNotRepeated,
    PoisonFailsTheBatch,
    CommitNotSynchronous,
    UnsafeDatabaseAccepted,
    // Rights.
    FenceNotTaken,
    FenceNotExclusive,
    RightsNotRaised,
    RightsNotRechecked,
    ClosedTalkAccepts,
    RoomStaysOpen,
    StrangerEnters,
    LeaverStillReads,
    LeaverStillHears,
    OneLeaverTold,
    HistoryShownToNewcomers,
    // The way to the sockets, on one node and on several.
    GapIgnored,
    HeadsNotCompared,
    ReplaySkipsOne,
    ResumeIgnoresAfter,
    ResyncNeverSaid,
    LagForgotten,
    RelayEchoes,
    RelaySilent,
    ForeignFrameTaken,
    PresenceNeverTold,
    // The socket and HTTP.
    OriginNotChecked,
    CookieNotChecked,
    LateSaveRevives,
    ForeignWriteAccepted,
    RateLimitOff,
    LargeFrameAccepted,
    ControlCharactersAccepted,
    InvisibleTextAccepted,
    StoredSizeNotChecked,
    PageBytesNotCounted,
    SlugNotChecked,
    SameIdInAllRooms,
    HelloNeverDue,
    SlowSocketKept,
    StopForgetsAnswers,
    CloseNotAnswered,
    UnreadBytesReset,
    ExcessForgiven,
    LeaveOvertakesSends,
    FloodAccepted,
    TypingAlwaysTold,
    SessionEndNotSeen,
    // Matching.
    MatcherWithoutLock,
    FoundToldBeforeCommit,
    EndToldBeforeCommit,
    EndNotTold,
    AwayNotTold,
    BlocksNotRead,
    OpenTalkNotSeen,
    OpenTalkIndexDropped,
    OneselfAllowed,
    MetLatelyForgotten,
    CancelIgnored,
    LostTicketStaysLost,
    LeaseNeverExpires,
    FreedSideLosesItsPlace,
    AgeGateOpen,
    // Reports.
    ReportNamesAnybody,
    ReportStoredTwice,
    MachineClockBelieved,
    GhostIsPaired,
    ReporterTold,
}

/// Returns `true` if the fault that is switched on can only happen in a batch that is written step by step.
pub fn needs_batch_in_steps() -> bool {
    [
        Fault::HeadsUnlockedTooEarly,
        Fault::HeadNotMoved,
        Fault::AckWithoutCommit,
        Fault::FailedCommitIsAcked,
        Fault::AnswersInWrongOrder,
        Fault::FenceNotTaken,
    ]
    .into_iter()
    .any(on)
}

/// Whether a mistake is switched on. Never, in a build without the feature: the compiler drops the line that asks.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn on(_: Fault) -> bool {
    false
}

/// Whether a mistake is switched on by `MAJU_FAULT`. Panics when that names none, with the list of those there are.
#[cfg(feature = "faults")]
pub fn on(fault: Fault) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<Fault>> = std::sync::LazyLock::new(|| {
        let name = std::env::var("MAJU_FAULT").ok().filter(|name| !name.is_empty())?;
        let chosen = serde_json::from_value(name.into()).unwrap_or_else(|why| panic!("MAJU_FAULT: {why}"));
        tracing::error!(fault.name = ?chosen, "this build makes a mistake on purpose; it is for tests only");
        Some(chosen)
    });
    *CHOSEN == Some(fault)
}

#[cfg(all(test, not(feature = "faults")))]
mod tests {
    use super::{Fault, on};

    // Known when it is compiled: no setting can switch a mistake on in a build that is shipped.
    const _: () = assert!(!on(Fault::AckWithoutCommit));

    #[test]
    fn no_build_has_them_unless_it_asks() {
        let manifest = include_str!("../Cargo.toml");
        let default = manifest.lines().find(|line| line.starts_with("default = ")).unwrap();
        assert!(!default.contains("faults"), "{default}");
        for recipe in [include_str!("../Makefile"), include_str!("../Dockerfile"), include_str!("../.ci/test")] {
            assert!(!recipe.contains("--features") && !recipe.contains("--all-features"));
        }
    }
}
