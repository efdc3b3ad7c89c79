//! What a file to import holds: names with their values, and every line that is none. No line is ever quoted.

use std::collections::HashMap;
use std::fmt;

use secrets_proto::reveal::Remark;
use secrets_proto::{Glob, SecretName, SecretValue};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::format::ImportFormat;
use crate::dotenv::{self, Dialect};

/// What is taken from a file, and how it is read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// How it is written; nothing for what it looks like.
    pub(crate) format: Option<ImportFormat>,
    /// Which reader a dotenv file is written for.
    pub(crate) dialect: Option<Dialect>,
    /// Which names are wanted; all if there is none. What is wrong with another name's line does not matter.
    pub(crate) only: Vec<Glob>,
    /// Which names are not wanted.
    pub(crate) except: Vec<Glob>,
    /// What is put before each name.
    pub(crate) prefix: Option<SecretName>,
    /// Whether empty values are left out instead of refused.
    pub(crate) skip_empty: bool,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) items: Vec<Item>,
    pub(crate) faults: Vec<Fault>,
    /// Where other readers take another value, and which.
    pub(crate) differing: Vec<(Place, Vec<&'static str>)>,
    /// The names that were left out because their values are empty.
    pub(crate) empty: Vec<SecretName>,
    /// What else is to be said.
    pub(crate) notes: Vec<String>,
    /// What is to stand in the file instead of the values, a line each.
    pub(crate) instead: Vec<String>,
    /// Whether there is something in the file that would be lost with it.
    pub(crate) holds_more: bool,
}

/// Where in the file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A line, from 1.
    Line(usize),
    /// A member of a JSON object, from 1.
    Member(usize),
    /// A place that another reader names; those before it are counted, for their order.
    Named(usize, &'static str),
}

impl Place {
    /// A place with words of its own. They stay until this process ends, which is soon, and so can be copied.
    pub(super) fn named(at: usize, text: &str) -> Self {
        Self::Named(at, Box::leak(text.to_owned().into_boxed_str()))
    }
}

impl Place {
    /// The line, if it is one.
    pub(super) fn line(self) -> Option<usize> {
        match self {
            Self::Line(number) => Some(number),
            Self::Member(_) | Self::Named(..) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Member(number) => write!(f, "entry {number}"),
            Self::Named(_, text) => f.write_str(text),
        }
    }
}

/// A secret to be.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) name: SecretName,
    pub(crate) value: SecretValue,
    /// Who issued it, if the file says so.
    pub(crate) provider: Option<String>,
    /// What is known beside it.
    pub(crate) note: Option<Remark>,
    /// Whether the name is written otherwise than it is stored.
    pub(crate) renamed: bool,
}

/// What cannot be taken over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) reason: String,
}

/// A name and its value as they were read.
pub(super) struct Pair {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) value: Result<Zeroizing<String>, &'static str>,
    pub(super) provider: Option<String>,
    pub(super) note: Option<String>,
}

impl Pair {
    fn new(place: Place, name: String, value: Result<Zeroizing<String>, &'static str>) -> Self {
        Self { place, name, value, provider: None, note: None }
    }
}

impl Reading {
    /// Reads a file's bytes.
    pub(crate) fn read(&self, bytes: &[u8]) -> Found {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
                return Found::fault(Place::Line(line), "not UTF-8 text");
            }
        };
        // No dotenv file begins like this.
        let is_object = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
        match self.format {
            Some(ImportFormat::Json) => self.read_json(text),
            None if is_object => self.read_json(text),
            Some(_) | None => self.read_dotenv(text),
        }
    }

    fn read_dotenv(&self, text: &str) -> Found {
        // All of it would be one line, and what follows the first name its value.
        if !text.contains('\n') && text.trim_end().contains('\r') {
            let reason = "the lines end with a carriage return alone; convert them first: tr '\\r' '\\n'";
            return Found::fault(Place::Line(1), reason);
        }
        let (entries, faults) = dotenv::read(text, self.dialect);
        let pair = |entry: dotenv::Entry| Pair::new(Place::Line(entry.line), entry.name, Ok(entry.value));
        let differing = self.differing(text, &entries);
        let matters = |found: &dotenv::Fault| found.name.as_deref().is_none_or(|name| self.wants(name));
        let faults = faults.into_iter().filter(matters);
        let faults = faults.map(|found| fault(Place::Line(found.line), found.reason)).collect();
        let found = self.check(entries.into_iter().map(pair).collect(), faults);
        Found { differing, ..found }
    }

    /// What other readers take from a file that names none.
    fn differing(&self, text: &str, entries: &[dotenv::Entry]) -> Vec<(Place, Vec<&'static str>)> {
        if self.dialect.is_some() {
            return Vec::new();
        }
        let others = dotenv::Others::read(text);
        let wanted = entries.iter().filter(|entry| self.wants(&entry.name));
        let told = wanted.map(|entry| (Place::Line(entry.line), others.differing_from(entry)));
        told.filter(|(_, readers)| !readers.is_empty()).collect()
    }

    fn read_json(&self, text: &str) -> Found {
        // serde's own words quote what they stumble over; only the place is taken from them.
        match serde_json::from_str::<Members>(text.trim_start_matches('\u{feff}')) {
            Ok(Members(pairs)) => self.check(pairs, Vec::new()),
            Err(error) => {
                let reason = if error.is_data() {
                    "expected one JSON object with string values"
                } else {
                    "not valid JSON"
                };
                Found::fault(Place::Line(error.line().max(1)), reason)
            }
        }
    }

    /// Whether a name is one of those that are wanted. What is no name is one only if everything is.
    pub(super) fn wants(&self, name: &str) -> bool {
        let matches = |name: SecretName| self.only.iter().any(|glob| glob.matches(&name));
        let is_left_out = |name: SecretName| self.except.iter().any(|glob| glob.matches(&name));
        (self.only.is_empty() || SecretName::parse(name).is_ok_and(matches))
            && !SecretName::parse(name).is_ok_and(is_left_out)
    }

    /// Names and values that the vault takes, each name once.
    pub(super) fn check(&self, pairs: Vec<Pair>, faults: Vec<Fault>) -> Found {
        let mut found = Found { faults, ..Found::default() };
        let mut places: HashMap<SecretName, Place> = HashMap::new();
        for pair in pairs.into_iter().filter(|pair| self.wants(&pair.name)) {
            let place = pair.place;
            let prefix = self.prefix.as_ref().map_or("", SecretName::as_str);
            let written = format!("{prefix}{}", pair.name);
            let name = match SecretName::parse(&pair.name).and_then(|_| SecretName::parse(&written)) {
                Ok(name) => name,
                Err(invalid) => {
                    found.faults.push(fault(place, invalid.message));
                    continue;
                }
            };
            if let Some(first) = places.get(&name) {
                // Readers of such files take the first one or the last one.
                let text = format!("same name as {first} (names are converted to upper case); remove one");
                found.faults.push(fault(place, text));
                continue;
            }
            places.insert(name.clone(), place);
            if pair.value.as_ref().is_ok_and(|value| value.is_empty()) {
                if self.skip_empty {
                    found.empty.push(name);
                } else {
                    let text = "the value is empty; --skip-empty leaves it out";
                    found.faults.push(fault(place, text));
                }
                continue;
            }
            let renamed = name.as_str() != written;
            match pair.value.map(|mut text| SecretValue::new(std::mem::take(&mut *text))) {
                Ok(Ok(value)) => {
                    // What is no line for people is not kept.
                    let note = pair.note.and_then(|note| Remark::parse(&note).ok());
                    found.items.push(Item { place, name, value, provider: pair.provider, note, renamed });
                }
                Ok(Err(invalid)) => found.faults.push(fault(place, invalid.message)),
                Err(reason) => found.faults.push(fault(place, reason)),
            }
        }
        found.faults.sort_by_key(|fault| fault.place);
        found
    }
}

impl Found {
    fn fault(place: Place, reason: &str) -> Self {
        Self { faults: vec![fault(place, reason)], ..Self::default() }
    }
}

fn fault(place: Place, reason: impl Into<String>) -> Fault {
    Fault { place, reason: reason.into() }
}

/// The members of an object in their order, of which none is lost if its name comes twice.
struct Members(Vec<Pair>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut pairs = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let Text(value) = map.next_value()?;
                    pairs.push(Pair::new(Place::Member(pairs.len() + 1), name, value));
                }
                Ok(Members(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A string, or what there is instead.
struct Text(Result<Zeroizing<String>, &'static str>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        const NUMBER: &str = "a number, not a string; put it in quotes";
        impl<'de> Visitor<'de> for Any {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Ok(Zeroizing::new(text.to_owned()))))
            }
            fn visit_string<E>(self, text: String) -> Result<Text, E> {
                Ok(Text(Ok(Zeroizing::new(text))))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(Err("true or false, not a string; put it in quotes")))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
                Ok(Text(Err(NUMBER)))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
                Ok(Text(Err(NUMBER)))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(Err(NUMBER)))
            }
            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(Err("null, not a string; remove it")))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(Err("a list, not a string")))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(Err("an object, not a string")))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], format: Option<ImportFormat>) -> (Vec<Item>, Vec<Fault>) {
        let found = Reading { format, ..Reading::default() }.read(bytes);
        (found.items, found.faults)
    }

    fn told(text: &str) -> Vec<String> {
        let (_, faults) = read(text.as_bytes(), None);
        faults.iter().map(|fault| format!("{}: {}", fault.place, fault.reason)).collect()
    }

    #[test]
    fn json_is_an_object_of_strings_in_its_order() {
        let (items, faults) = read(b"\xef\xbb\xbf {\"b\": \"x\\ny\\u00e9\", \"A\": \" \"}\n", None);
        assert_eq!(faults, []);
        let read: Vec<_> =
            items.iter().map(|item| (item.name.as_str(), item.value.expose(), item.renamed)).collect();
        assert_eq!(read, [("B", "x\ny\u{e9}", true), ("A", " ", false)]);
    }

    #[test]
    fn whatever_is_no_string_is_told_by_its_kind() {
        let text = r#"{"A":1,"B":-1.5,"C":true,"D":null,"E":["canary"],"F":{"x":"canary"},"G":"","H-I":"canary","J":"x"}"#;
        let told = told(text);
        assert_eq!(told.len(), 8, "{told:?}");
        for (number, word) in [
            (1, "number"),
            (2, "number"),
            (3, "true"),
            (4, "null"),
            (5, "list"),
            (6, "object"),
            (7, "empty"),
            (8, "name"),
        ] {
            let told = &told[number - 1];
            assert!(told.starts_with(&format!("entry {number}: ")) && told.contains(word), "{told}");
        }
        assert!(!told.iter().any(|told| told.contains("canary")), "{told:?}");
    }

    #[test]
    fn what_is_no_object_is_told_by_its_line() {
        for text in ["{", "{\"A\":\"canary\"\n,,}", "{\"A\":\"canary\"} x", "{canary}"] {
            let told = told(text);
            assert!(told.len() == 1 && told[0].ends_with("not valid JSON"), "{told:?}");
        }
        let (_, faults) = read(b"[\"canary\"]", Some(ImportFormat::Json));
        assert_eq!(faults[0].reason, "expected one JSON object with string values");
        let (_, faults) = read(b"A=x\nB=\xff", None);
        assert_eq!(faults, [fault(Place::Line(2), "not UTF-8 text")]);
    }

    #[test]
    fn lines_that_end_with_a_carriage_return_alone_are_not_taken_for_one() {
        for text in ["A=x\rB=y", "A=x\rB=y\r", "# c\rA=x\r"] {
            assert_eq!(told(text).len(), 1, "{text:?}");
        }
        for text in ["A=x\r", "A=x\r\nB=y\r\n", "A='x\ry'\n"] {
            assert_eq!(told(text), [""; 0], "{text:?}");
        }
    }

    #[test]
    fn a_name_comes_once_whatever_its_case() {
        assert_eq!(
            told("a=x\nB=y\nA=canary\n"),
            ["line 3: same name as line 1 (names are converted to upper case); remove one"]
        );
        assert_eq!(told("{\"A\":\"x\",\"A\":\"x\"}").len(), 1);
    }

    #[test]
    fn what_is_not_wanted_is_not_looked_at() {
        let only = vec![Glob::parse("API_*").unwrap(), Glob::parse("DB").unwrap()];
        let text = b"API_A=x\nPLAIN=$x\nX.Y=z\nplain=\ndb=y\nAPI_B=\nAPI_C=$x\nOTHER=1\nother=2\n";
        let found = Reading { only, skip_empty: true, ..Reading::default() }.read(text);
        let names: Vec<_> = found.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["API_A", "DB"]);
        assert_eq!(found.empty, [SecretName::parse("API_B").unwrap()]);
        assert_eq!(found.faults.iter().map(|fault| fault.place).collect::<Vec<_>>(), [Place::Line(7)]);
    }

    #[test]
    fn names_get_a_prefix_and_some_are_left_out() {
        let except = vec![Glob::parse("PORT").unwrap(), Glob::parse("*_ENV").unwrap()];
        let prefix = Some(SecretName::parse("shop_").unwrap());
        let reading = Reading { except, prefix, ..Reading::default() };
        let found = reading.read(b"KEY=x\nport=3000\nNODE_ENV=$x\nUrl=y\n9=z\n");
        let names: Vec<_> = found.items.iter().map(|item| (item.name.as_str(), item.renamed)).collect();
        assert_eq!(names, [("SHOP_KEY", false), ("SHOP_URL", true)]);
        // What is no name alone is none behind a prefix either.
        assert_eq!(found.faults.iter().map(|fault| fault.place).collect::<Vec<_>>(), [Place::Line(5)]);
    }

    #[test]
    fn values_are_what_the_vault_takes() {
        assert_eq!(told("A=\nB.C=x\n").len(), 2);
        assert_eq!(told(&format!("A={}\n", "x".repeat(65_537))), ["line 1: a value has at most 65536 bytes"]);
        assert_eq!(told("{\"A\":\"\\u0000\"}"), ["entry 1: a value has no NUL byte"]);
    }
}
