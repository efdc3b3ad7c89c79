//! What is wrong with a manifest, and where. A value is never repeated, and of a key only what a key may be.

use std::fmt;
use std::path::{Path, PathBuf};

/// The most characters of a key's path that are shown.
const LONGEST: usize = 120;

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1; none if it is the file as a whole.
    pub line: Option<usize>,
    /// The key, with those of the tables that it is in; none if it is no key that is wrong.
    pub key: Option<String>,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Fault {
    /// A fault of the file as a whole.
    pub fn of_file(file: &Path, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, key: None, what: what.into() }
    }

    /// The fault without its key, for who finds that the key may be a value in the wrong place.
    pub fn without_key(self) -> Self {
        Self { key: None, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(key) = self.key.as_deref().filter(|key| is_plain(key)) {
            write!(f, " {key}:")?;
        }
        write!(f, " {}", self.what)
    }
}

/// Whether a path of keys can be shown as it is.
fn is_plain(key: &str) -> bool {
    key.len() <= LONGEST && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_where_it_is() {
        let fault = Fault {
            line: Some(3),
            key: Some("profiles.default.A".to_owned()),
            ..Fault::of_file(Path::new("/p/secretspec.toml"), "no such key")
        };
        assert_eq!(fault.to_string(), "/p/secretspec.toml:3: profiles.default.A: no such key");
        assert_eq!(fault.without_key().to_string(), "/p/secretspec.toml:3: no such key");
        let odd = Fault { key: Some("a\x1b[2J".to_owned()), ..Fault::of_file(Path::new("f"), "no such key") };
        assert_eq!(odd.to_string(), "f: no such key");
    }
}
