//! The seeded bugs: each switches one rule off, and the model must notice. Outside of tests there is none.

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Plaintexts are not padded.
    NoPadding,
    /// A field is what came last, not what has the greatest stamp.
    LastFieldWins,
    /// A value takes the place of all, also of those that its author had not seen.
    ValueCoversAll,
    /// A deletion covers what its author had not seen.
    TrashCoversAll,
    /// A purge leaves the earlier values.
    PurgeKeepsEarlier,
    /// A snapshot's values are taken without asking whether they were seen before.
    SnapshotIsUnion,
    /// Objects are taken in the order in which they come.
    AnyOrder,
    /// A number alone says that an object was read.
    NumbersOnly,
    /// The wall clock alone orders.
    WallClock,
    /// Two secrets may have one name.
    NamesTwice,
    /// Nobody answers who wants an object: a rule of those who use this crate, which the model follows.
    #[cfg(test)]
    NoAnswer,
    /// What an object asks for is not heard while the object waits.
    DeafWhileWaiting,
    /// Bytes are taken without a look at the name.
    AnyBytes,
    /// What is excluded travels all the same.
    ExcludedTravels,
    /// A secret that went its own way comes in the place of what it has not seen.
    KeptHasSeenAll,
    /// A machine's removal is not passed on.
    RemovalForgotten,
    /// A machine that comes back says all that it has as if it were new.
    ForgetsAtReturn,
    /// What a machine says that reads alone is taken.
    ReadersAreHeard,
}

#[cfg(test)]
thread_local! {
    static SEEDED: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Seeds a bug, in this thread.
#[cfg(test)]
pub(crate) fn seed(fault: Option<Fault>) {
    SEEDED.set(fault);
}

/// Whether this bug is seeded.
#[cfg(test)]
pub(crate) fn is(fault: Fault) -> bool {
    SEEDED.get() == Some(fault)
}

/// Whether this bug is seeded: never.
#[cfg(not(test))]
pub(crate) const fn is(_: Fault) -> bool {
    false
}
