//! What a reader finds in a file, and the one JSON object in which it goes to the client.

use serde::Serialize;
use zeroize::Zeroizing;

/// Stands in what is to be put instead where a prefix goes that the owner gives all names.
pub(crate) const PREFIX: char = '\u{1}';

/// The most entries that are taken from one file.
pub(crate) const MOST: usize = 20_000;

/// What is in a file: names with values, what cannot be taken, and what should be said.
#[derive(Serialize, Default)]
pub(crate) struct Found {
    /// What is to be stored.
    pub(crate) entries: Vec<Entry>,
    /// What cannot be taken over; if there is anything here that is wanted, nothing is stored.
    pub(crate) faults: Vec<Fault>,
    /// What the owner should know, a line each.
    pub(crate) notes: Vec<String>,
    /// What is to stand in the file instead, a line each; none if the file is there for the values alone.
    pub(crate) instead: Vec<String>,
    /// Whether there is nothing in the file that would be lost with it.
    pub(crate) whole: bool,
}

/// A name with its value.
#[derive(Serialize)]
pub(crate) struct Entry {
    /// Where it stands, such as `line 3`.
    pub(crate) place: String,
    pub(crate) name: String,
    #[serde(serialize_with = "text")]
    pub(crate) value: Zeroizing<String>,
    /// Who issued it, where the file says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<&'static str>,
    /// What is known beside the value and no secret, such as `user=alice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// Something that cannot be taken over. It never quotes what stands there.
#[derive(Serialize, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: String,
    /// The name that it would have, if that much is clear; a reader that leaves it out need not correct it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) reason: String,
}

impl Found {
    /// A file of which nothing can be read.
    pub(crate) fn refused(place: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut found = Self::default();
        found.fault(place, None, reason);
        found
    }

    /// Adds a secret. A name that could not be made is a fault.
    pub(crate) fn add(&mut self, place: impl Into<String>, name: Option<String>, value: Zeroizing<String>) {
        self.add_noted(place, name, value, None);
    }

    /// Says who issued what was added last, if it was added.
    pub(crate) fn issued_by(&mut self, provider: &'static str, place: &str) {
        if let Some(entry) = self.entries.last_mut().filter(|entry| entry.place == place) {
            entry.provider = Some(provider);
        }
    }

    /// Adds a secret with what is known beside it.
    pub(crate) fn add_noted(
        &mut self,
        place: impl Into<String>,
        name: Option<String>,
        value: Zeroizing<String>,
        note: Option<String>,
    ) {
        let place = place.into();
        let Some(name) = name else {
            return self.fault(place, None, "no name can be made of what it is called; rename it there");
        };
        if self.entries.len() == MOST {
            return self.fault(place, None, format!("more than {MOST} secrets; import the file in parts"));
        }
        if self.entries.len() < MOST {
            self.entries.push(Entry { place, name, value, provider: None, note });
        }
    }

    /// Adds something that cannot be taken over.
    pub(crate) fn fault(
        &mut self,
        place: impl Into<String>,
        name: Option<String>,
        reason: impl Into<String>,
    ) {
        if self.faults.len() < MOST {
            self.faults.push(Fault { place: place.into(), name, reason: reason.into() });
        }
    }

    /// Says something once.
    pub(crate) fn say(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Names what is to stand in the file instead, once.
    pub(crate) fn put_instead(&mut self, line: impl Into<String>) {
        let line = line.into();
        if !self.instead.contains(&line) {
            self.instead.push(line);
        }
    }

    /// Says what is in the file and not taken, so that the file is not deleted with it.
    pub(crate) fn left_out(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.whole = false;
            self.say(format!("left out: {what} ({count})"));
        }
    }

    /// As the client reads it.
    pub(crate) fn to_json(&self) -> Option<Zeroizing<Vec<u8>>> {
        serde_json::to_vec(self).ok().map(Zeroizing::new)
    }
}

fn text<S: serde::Serializer>(value: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value)
}
