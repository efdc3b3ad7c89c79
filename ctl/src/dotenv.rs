//! The dotenv format as dotenvy 0.15 reads it. What is written here reads back the same there, and in a POSIX
//! shell as well, where nothing of it is ever executed. What is read here has the same meaning there, or is refused.
//! It knows no file and no vault.

use std::collections::HashMap;

use zeroize::Zeroizing;

mod dialect;
mod read;
mod systemd;
mod write;

pub(crate) use dialect::Dialect;
pub(crate) use read::{Entry, Fault};
pub(crate) use write::write;

/// All entries in their order, and all lines that are none, as this reader reads them; without one as dotenvy does, but
/// what most readers take otherwise is a fault.
pub(crate) fn read(text: &str, dialect: Option<Dialect>) -> (Vec<Entry>, Vec<Fault>) {
    match dialect {
        None => read::read_lines(text, true),
        Some(Dialect::Dotenvy) => read::read_lines(text, false),
        Some(Dialect::Systemd) => systemd::read(text),
        Some(dialect) => dialect.read(text),
    }
}

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

    /// The readers that take another value, or none.
    pub(crate) fn without_the_value_of(&self, entry: &Entry) -> Vec<&'static str> {
        let same = |values: &HashMap<usize, Zeroizing<String>>| values.get(&entry.line) == Some(&entry.value);
        self.0.iter().filter(|(_, values)| !same(values)).map(|(name, _)| *name).collect()
    }
}

/// Appends `NAME=VALUE` in the first spelling that this reader reads back the same, if there is one.
pub(crate) fn write_for(dialect: Dialect, name: &str, value: &str, into: &mut String) -> bool {
    // Never grows: quotes in quotes are five bytes.
    let mut line = Zeroizing::new(String::with_capacity(name.len() + 5 * value.len() + 8));
    let around = |quote: &str, line: &mut String| {
        [name, "=", quote, value, quote, "\n"].iter().for_each(|piece| line.push_str(piece));
    };
    for spelling in ["'", "\"", "`", ""] {
        line.clear();
        if spelling.is_empty() {
            write(name, value, &mut line)
        } else {
            around(spelling, &mut line)
        }
        let (entries, faults) = read(&line, Some(dialect));
        if faults.is_empty() && matches!(entries.as_slice(), [entry] if *entry.value == value) {
            into.push_str(&line);
            return true;
        }
    }
    false
}
