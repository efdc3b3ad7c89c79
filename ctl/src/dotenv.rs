//! The dotenv format as dotenvy 0.15 reads it. What is written here reads back the same there, and in a POSIX
//! shell as well, where nothing of it is ever executed. What is read here has the same meaning there, or is refused.
//! It knows no file and no vault.

use std::collections::HashMap;

use zeroize::Zeroizing;

mod dialect;
mod read;
mod write;

pub(crate) use dialect::Dialect;
pub(crate) use read::{Entry, Fault, read};
pub(crate) use write::write;

/// What other readers take from a file.
pub(crate) struct Others(Vec<(&'static str, HashMap<usize, Zeroizing<String>>)>);

impl Others {
    /// Reads the file as each of them does.
    pub(crate) fn read(text: &str) -> Self {
        let values = |dialect: Dialect| {
            dialect.read(text).0.into_iter().map(|entry| (entry.line, entry.value)).collect::<HashMap<_, _>>()
        };
        Self(Dialect::OTHERS.into_iter().map(|(dialect, name)| (name, values(dialect))).collect())
    }

    /// The readers that take another value. Those that take none, or put something into it, are not told.
    pub(crate) fn differing_from(&self, entry: &Entry) -> Vec<&'static str> {
        let differs = |values: &HashMap<usize, Zeroizing<String>>| {
            values.get(&entry.line).is_some_and(|value| *value != entry.value)
        };
        self.0.iter().filter(|(_, values)| differs(values)).map(|(name, _)| *name).collect()
    }
}
