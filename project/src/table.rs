//! TOML with line numbers, read key by key: a key that nobody asked for is a fault, and never passed over.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::fault::Fault;

/// Where in a manifest something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: std::path::PathBuf,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The key with those of the tables that it is in.
    pub(crate) key: String,
}

impl Place {
    /// A fault of what stands here.
    pub(crate) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault {
            file: self.file.clone(),
            line: Some(self.line),
            key: Some(self.key.clone()).filter(|key| !key.is_empty()),
            what: what.into(),
        }
    }

    /// A key of a table that stands here.
    pub(crate) fn below(&self, key: &str) -> Self {
        Self { key: joined(&self.key, key), ..self.clone() }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A text that is being read.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    file: &'a Path,
    /// Where its lines end: a large text has many keys, and each has a line.
    ends: &'a [usize],
}

/// Reads a text as TOML and hands its root over. A byte order mark before it does not count.
pub(crate) fn with_root<T>(
    file: &Path,
    text: &str,
    read: impl FnOnce(Table<'_, '_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at);
    let ends: Vec<usize> = ends.collect();
    let source = Text { file, ends: &ends };
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| source.line(span));
        // The parser's words are its own, and hold nothing of the text.
        let what = format!("not TOML: {}", error.message());
        Fault { line, ..Fault::of_file(file, what) }
    })?;
    read(Table { source, path: String::new(), entries: root.get_ref() })
}

impl Text<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        1 + self.ends.partition_point(|end| *end < span.start)
    }
}

/// A table and where it is.
pub(crate) struct Table<'t, 'i> {
    source: Text<'t>,
    path: String,
    entries: &'t DeTable<'i>,
}

/// A value and where its key is.
pub(crate) struct Value<'t, 'i> {
    source: Text<'t>,
    place: Place,
    value: &'t DeValue<'i>,
}

impl<'t, 'i> Table<'t, 'i> {
    /// Refuses all keys but these. Of several the one that stands first is told.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Fault> {
        let unknown = self.entries.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|(key, _)| key.span().start) {
            None => Ok(()),
            Some((key, _)) => {
                Err(self.place(key).fault(format!("no such key; there are: {}", known.join(", "))))
            }
        }
    }

    /// The value of this key.
    pub(crate) fn get(&self, name: &str) -> Option<Value<'t, 'i>> {
        let (key, value) = self.entries.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Value { source: self.source, place: self.place(key), value: value.get_ref() })
    }

    /// Every key with its value, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'t str, Value<'t, 'i>)> + use<'t, 'i> {
        let (source, path) = (self.source, self.path.clone());
        self.entries.iter().map(move |(key, value)| {
            let place = place(source, &path, key);
            (key.get_ref().as_ref(), Value { source, place, value: value.get_ref() })
        })
    }

    fn place(&self, key: &Spanned<DeString<'_>>) -> Place {
        place(self.source, &self.path, key)
    }
}

fn place(source: Text<'_>, path: &str, key: &Spanned<DeString<'_>>) -> Place {
    Place { file: source.file.to_owned(), line: source.line(key.span()), key: joined(path, key.get_ref()) }
}

impl<'t, 'i> Value<'t, 'i> {
    /// Where its key is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn wrong(&self, wanted: &str) -> Fault {
        self.place.fault(format!("must be {wanted}"))
    }

    pub(crate) fn table(&self) -> Result<Table<'t, 'i>, Fault> {
        let entries = self.value.as_table().ok_or_else(|| self.wrong("a table"))?;
        Ok(Table { source: self.source, path: self.place.key.clone(), entries })
    }

    /// The table, if it is one.
    pub(crate) fn as_table(&self) -> Option<Table<'t, 'i>> {
        self.table().ok()
    }

    pub(crate) fn text(&self) -> Result<String, Fault> {
        Ok(self.value.as_str().ok_or_else(|| self.wrong("a string"))?.to_owned())
    }

    /// The string, if it is one.
    pub(crate) fn as_text(&self) -> Option<&'t str> {
        self.value.as_str()
    }

    pub(crate) fn truth(&self) -> Result<bool, Fault> {
        self.value.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// The truth value, if it is one.
    pub(crate) fn as_truth(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// A number of at least 1 and at most `most`.
    pub(crate) fn count(&self, most: usize) -> Result<usize, Fault> {
        let number = self
            .value
            .as_integer()
            .and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok());
        let wanted = || self.wrong(&format!("a number from 1 to {most}"));
        number.filter(|number| (1..=most).contains(number)).ok_or_else(wanted)
    }

    pub(crate) fn texts(&self) -> Result<Vec<String>, Fault> {
        let wrong = || self.wrong("a list of strings");
        let array = self.value.as_array().ok_or_else(wrong)?;
        array.iter().map(|item| item.get_ref().as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str, known: &[&str]) -> String {
        let read = with_root(Path::new("f"), text, |root| root.only(known));
        read.unwrap_err().to_string()
    }

    #[test]
    fn faults_have_lines() {
        assert_eq!(fault("a = 1\nb = 2\nc = 3", &["a"]), "f:2: b: no such key; there are: a");
        assert_eq!(fault("\u{feff}a = 1\r\nb = 2\r\n", &["a"]), "f:2: b: no such key; there are: a");
        assert!(fault("a = 1\na = canary", &["a"]).starts_with("f:2: not TOML: "));
        assert!(!fault("a = 1\na = canary", &["a"]).contains("canary"));
    }

    #[test]
    fn a_count_has_bounds() {
        let count = |text: &str| with_root(Path::new("f"), text, |root| root.get("n").unwrap().count(9)).ok();
        assert_eq!(count("n = 9"), Some(9));
        assert_eq!(count("n = 0x9"), Some(9));
        for bad in ["n = 0", "n = 10", "n = -1", "n = 1.0", "n = 'a'"] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }
}
