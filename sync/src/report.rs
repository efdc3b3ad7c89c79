//! What came of a run, for the file `.status`, for `--json` and for people.

use secrets_proto::Timestamp;
use serde::Serialize;

use crate::failure::Failure;

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many objects the store listed.
    pub(crate) listed: usize,
    /// How many came, were put, and deleted there.
    pub(crate) got: usize,
    pub(crate) put: usize,
    pub(crate) deleted: usize,
    /// How many of the store's objects were cut off or altered.
    pub(crate) spoilt: usize,
    /// How many the store has had and lists no more.
    pub(crate) lost: usize,
    /// How many objects the store still lacks.
    pub(crate) waiting: usize,
    pub(crate) requests: u32,
    /// The store's time.
    pub(crate) date: Option<jiff::Timestamp>,
    pub(crate) failure: Option<Failure>,
}

/// See [`secrets_fleet::exchange::STATUS`].
#[derive(Debug, Serialize)]
struct Status<'a> {
    time: Timestamp,
    date: Option<jiff::Timestamp>,
    listed: usize,
    got: usize,
    put: usize,
    deleted: usize,
    spoilt: usize,
    lost: usize,
    waiting: usize,
    requests: u32,
    error: Option<&'static str>,
    detail: Option<&'a str>,
}

impl Report {
    /// As JSON, in one line.
    pub(crate) fn json(&self) -> String {
        let status = Status {
            time: Timestamp::now(),
            date: self.date,
            listed: self.listed,
            got: self.got,
            put: self.put,
            deleted: self.deleted,
            spoilt: self.spoilt,
            lost: self.lost,
            waiting: self.waiting,
            requests: self.requests,
            error: self.failure.as_ref().map(|failure| failure.kind.name()),
            detail: self.failure.as_ref().map(|failure| failure.text.as_str()),
        };
        serde_json::to_string(&status).unwrap_or_default()
    }

    /// In a line for people.
    pub(crate) fn line(&self) -> String {
        let parts: [(usize, &str); 5] = [
            (self.got, "came"),
            (self.put, "went"),
            (self.deleted, "deleted there"),
            (self.spoilt, "spoilt"),
            (self.lost, "gone from the store"),
        ];
        let told: Vec<_> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if told.is_empty() { "nothing to move".to_owned() } else { format!("files: {}", told.join(", ")) }
    }
}
