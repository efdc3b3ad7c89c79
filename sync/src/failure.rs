//! Why nothing, or not everything, was moved. The text of a failure is ours but for a short code of the store's, and holds
//! nothing secret.

use std::fmt;
use std::io;

/// What kind of failure it is: what the exit code and `error` in the status say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line is not one.
    Usage,
    /// The store's credential is in the vault, and that is locked.
    Locked,
    /// No store is set up here.
    NoStore,
    /// The store refused the credential, or there is none.
    Refused,
    /// The store holds the objects of other machines than these.
    OtherFleet,
    /// What the store is called has the wrong form.
    Place,
    /// The store did not answer.
    Offline,
    /// The store has no room.
    Full,
    /// This machine's clock is too far from the store's.
    Clock,
    /// The store has no such bucket or directory.
    Absent,
    /// The store lists more than a fleet ever writes.
    TooMuch,
    /// The store's answers are none that can be used.
    Unreadable,
    /// The exchange itself can't be read or written.
    Exchange,
}

impl Kind {
    /// What the status calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Locked => "locked",
            Self::NoStore => "no-store",
            Self::Refused => "refused",
            Self::OtherFleet => "other-fleet",
            Self::Place => "place",
            Self::Offline => "offline",
            Self::Full => "full",
            Self::Clock => "clock",
            Self::Absent => "absent",
            Self::TooMuch => "too-much",
            Self::Unreadable => "unreadable",
            Self::Exchange => "exchange",
        }
    }

    /// The exit code, with the meaning that `secretctl` gives it.
    pub(crate) const fn exit(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Locked => 3,
            Self::NoStore => 4,
            Self::Refused => 5,
            Self::OtherFleet => 6,
            Self::Place => 7,
            Self::Offline
            | Self::Full
            | Self::Clock
            | Self::Absent
            | Self::TooMuch
            | Self::Unreadable
            | Self::Exchange => 9,
        }
    }
}

/// Why it was not done.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The exchange could not be used.
    pub(crate) fn exchange(error: &io::Error) -> Self {
        Self::new(Kind::Exchange, format!("the exchange directory cannot be used: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
