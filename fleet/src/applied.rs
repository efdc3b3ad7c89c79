//! Which objects a state contains. A number would not do: where a machine's disk was put back or copied, two objects have
//! one number, and who has read one of them has not read the other.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::{ObjectId, ShortHash, Writer};

/// How much is kept of an object's hash: enough to tell the few that have one number, for each of many thousands.
const KEPT: usize = 6;

type Kept = [u8; KEPT];

/// A set of objects of logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied(BTreeMap<Writer, BTreeSet<(u32, Kept)>>);

impl Applied {
    /// Whether it is there.
    #[must_use]
    pub fn has(&self, object: &ObjectId) -> bool {
        let is_there = |known: &BTreeSet<_>| known.contains(&(object.number, kept(&object.hash)));
        self.0.get(&object.writer).is_some_and(is_there)
    }

    /// Adds one; whether it was not there.
    pub fn add(&mut self, object: &ObjectId) -> bool {
        self.0.entry(object.writer).or_default().insert((object.number, kept(&object.hash)))
    }

    /// Adds all of another.
    pub fn add_all(&mut self, other: &Self) {
        for (writer, objects) in &other.0 {
            self.0.entry(*writer).or_default().extend(objects);
        }
    }

    /// Whether it has all of another.
    #[must_use]
    pub fn has_all(&self, other: &Self) -> bool {
        other.0.keys().all(|writer| self.has_all_of(*writer, other))
    }

    /// Whether it has all that another has of this writer.
    #[must_use]
    pub fn has_all_of(&self, writer: Writer, other: &Self) -> bool {
        let Some(theirs) = other.0.get(&writer) else { return true };
        self.0.get(&writer).is_some_and(|ours| ours.is_superset(theirs))
    }

    /// How many it has of this writer.
    #[must_use]
    pub fn count(&self, writer: Writer) -> usize {
        self.0.get(&writer).map_or(0, BTreeSet::len)
    }

    /// How many it has that another lacks.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> usize {
        let none = BTreeSet::new();
        self.0
            .iter()
            .map(|(writer, ours)| ours.difference(other.0.get(writer).unwrap_or(&none)).count())
            .sum()
    }

    /// The writers.
    pub fn writers(&self) -> impl Iterator<Item = Writer> + '_ {
        self.0.keys().copied()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<&'a ObjectId> for Applied {
    fn from_iter<I: IntoIterator<Item = &'a ObjectId>>(objects: I) -> Self {
        let mut all = Self::default();
        objects.into_iter().for_each(|object| {
            all.add(object);
        });
        all
    }
}

fn kept(hash: &ShortHash) -> Kept {
    let mut kept = [0; KEPT];
    kept.iter_mut().zip(hash.0).for_each(|(to, from)| *to = from);
    kept
}

/// For each writer a text: runs of numbers, each `first:` and the beginnings of the hashes in base64url, with commas between.
impl Serialize for Applied {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(writer, objects)| (writer.to_string(), runs(objects))))
    }
}

impl<'de> Deserialize<'de> for Applied {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = BTreeMap::new();
        for (writer, text) in BTreeMap::<Writer, String>::deserialize(deserializer)? {
            let objects = from_runs(&text).ok_or_else(|| de::Error::custom("not a list of objects"))?;
            all.insert(writer, objects);
        }
        Ok(Self(all))
    }
}

fn runs(objects: &BTreeSet<(u32, Kept)>) -> String {
    let mut text = String::new();
    let (mut run, mut next) = (Vec::new(), None);
    for (number, kept) in objects {
        if next != Some(*number) {
            text.push_str(&BASE64URL_NOPAD.encode(&run));
            text.push_str(if text.is_empty() { "" } else { "," });
            text.push_str(&format!("{number}:"));
            run.clear();
        }
        run.extend_from_slice(kept);
        next = number.checked_add(1);
    }
    text.push_str(&BASE64URL_NOPAD.encode(&run));
    text
}

fn from_runs(text: &str) -> Option<BTreeSet<(u32, Kept)>> {
    let mut objects = BTreeSet::new();
    for run in text.split(',').filter(|run| !run.is_empty()) {
        let (first, hashes) = run.split_once(':')?;
        let (mut number, bytes) =
            (first.parse::<u32>().ok()?, BASE64URL_NOPAD.decode(hashes.as_bytes()).ok()?);
        let (hashes, rest) = bytes.as_chunks::<KEPT>();
        if !rest.is_empty() {
            return None;
        }
        for hash in hashes {
            objects.insert((number, *hash));
            number = number.checked_add(1)?;
        }
    }
    Some(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_as_it_was_written() {
        let object = |writer, number, hash| ObjectId {
            writer: Writer([writer; 8]),
            number,
            hash: ShortHash([hash; 16]),
        };
        let all: Vec<_> = [(1, 1, 1), (1, 2, 2), (1, 2, 3), (1, 3, 4), (1, 9, 5), (2, 1, 1)]
            .map(|(w, n, h)| object(w, n, h))
            .into();
        let set: Applied = all.iter().collect();
        let text = serde_json::to_string(&set).unwrap();
        let read: Applied = serde_json::from_str(&text).unwrap();
        assert_eq!(read, set, "{text}");
        assert!(all.iter().all(|object| read.has(object)));
        assert!(!read.has(&object(1, 2, 9)));
        assert_eq!((read.beyond(&Applied::default()), read.count(Writer([1; 8]))), (6, 5));
    }
}
