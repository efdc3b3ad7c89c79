//! One file: how many secrets it holds, who can read it, whether it is in a work tree of git, and what to do with it.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{Kind, Place};
use crate::commands;
use crate::format::Format;
use crate::found::PREFIX;

/// The most bytes of a file that is looked at.
const LIMIT: u64 = 16 << 20;

/// What is known of a file.
pub(crate) struct Look {
    pub(crate) path: PathBuf,
    pub(crate) kind: &'static str,
    /// How many secrets; nothing if that cannot be said without opening it.
    pub(crate) count: Option<usize>,
    /// Why it cannot be imported as it is.
    pub(crate) trouble: Option<String>,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) in_git: bool,
    /// The words of the next command.
    pub(crate) next: Vec<String>,
    /// What is to stand in the file instead.
    pub(crate) instead: Vec<String>,
}

impl Look {
    /// Looks at a file; nothing if it is not there, or holds no secret.
    pub(crate) fn at(place: &Place) -> Option<Self> {
        let metadata = fs::metadata(&place.path).ok()?;
        let mut look = Self {
            path: place.path.clone(),
            kind: match place.kind {
                Kind::Dotenv => "dotenv",
                Kind::Of(format) => format.name(),
                Kind::OnePux => "1password",
            },
            count: None,
            trouble: None,
            mode: metadata.mode() & 0o7777,
            owner: metadata.uid(),
            in_git: is_in_git(&place.path),
            next: Vec::new(),
            instead: Vec::new(),
        };
        match place.kind {
            Kind::Of(Format::Pass | Format::Gopass) => look.store(&metadata)?,
            Kind::Dotenv => look.dotenv(&metadata)?,
            Kind::Of(format) => look.file(format, &metadata)?,
            Kind::OnePux => {
                look.next = vec![
                    "unzip -p".to_owned(),
                    shell(&place.path),
                    "export.data | secretctl import - --format 1password".to_owned(),
                ]
            }
        }
        Some(look)
    }

    fn store(&mut self, metadata: &fs::Metadata) -> Option<()> {
        let count = metadata
            .is_dir()
            .then(|| commands::entries(&self.path).names.len())
            .filter(|count| *count > 0)?;
        self.count = Some(count);
        self.next = self.import("--dry-run");
        Some(())
    }

    fn dotenv(&mut self, metadata: &fs::Metadata) -> Option<()> {
        let bytes = self.bytes(metadata)?;
        let text = String::from_utf8_lossy(&bytes);
        let count = text.lines().filter(|line| is_assignment(line)).count();
        self.count = Some(count).filter(|count| *count > 0);
        self.count?;
        // An empty value is refused unless that is said.
        let has_empty = text.lines().any(is_empty);
        let empty = has_empty.then_some("--skip-empty");
        let path = shell(&self.path);
        let words = ["secretctl import", &path].into_iter().chain(empty).chain(["--dry-run"]);
        self.next = words.map(str::to_owned).collect();
        Some(())
    }

    fn file(&mut self, format: Format, metadata: &fs::Metadata) -> Option<()> {
        let Some(bytes) = self.bytes(metadata) else {
            return self.trouble.is_some().then_some(());
        };
        let found = format.read(&bytes);
        if found.entries.is_empty() && found.faults.is_empty() {
            return None;
        }
        self.count = Some(found.entries.len());
        self.instead = found.instead.iter().map(|line| line.replace(PREFIX, "")).collect();
        self.next = self.import("--dry-run");
        self.trouble = match (found.faults.first(), found.faults.len()) {
            (None, _) => None,
            (Some(fault), 1) => Some(format!("{}: {}", fault.place, fault.reason)),
            (Some(_), many) => Some(format!("{many} problems, which the command names")),
        };
        Some(())
    }

    fn import(&self, more: &str) -> Vec<String> {
        ["secretctl import", &shell(&self.path), "--format", self.kind, more].map(str::to_owned).to_vec()
    }

    /// What it holds. A FIFO or a device in its place is not opened.
    fn bytes(&mut self, metadata: &fs::Metadata) -> Option<Zeroizing<Vec<u8>>> {
        if !metadata.is_file() {
            return None;
        }
        if metadata.len() > LIMIT {
            self.trouble = Some("too large to be looked at".to_owned());
            return None;
        }
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let file = match File::options().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(_) => {
                self.trouble = Some("cannot be read by you".to_owned());
                return None;
            }
        };
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(LIMIT).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// A line that sets something, by a rough look: the import itself reads it.
fn is_assignment(line: &str) -> bool {
    value_of(line).is_some_and(|value| !value.is_empty())
}

/// A line that sets something to nothing, by a rough look.
fn is_empty(line: &str) -> bool {
    value_of(line)
        .is_some_and(|value| value.is_empty() || value.starts_with('#') || matches!(value, "''" | "\"\""))
}

fn value_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| value.trim())
}

fn is_in_git(path: &Path) -> bool {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.ancestors().skip(1).any(|dir| dir.join(".git").exists())
}

/// A path as a word of a shell.
pub(crate) fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(is_plain) && !text.is_empty() {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words() {
        assert_eq!(shell(Path::new("/a/.env")), "/a/.env");
        assert_eq!(shell(Path::new("/a b/it's $x")), "'/a b/it'\\''s $x'");
    }

    #[test]
    fn lines_are_counted_roughly() {
        for line in ["A=x", " export B=y", "c_1 = z"] {
            assert!(is_assignment(line), "{line}");
        }
        for line in ["# A=x", "A=", "A", "a.b=c", "=x"] {
            assert!(!is_assignment(line), "{line}");
        }
        assert!(
            is_empty("A=")
                && is_empty("export A=''")
                && !is_empty("A=x")
                && !is_empty("=")
                && !is_empty("# A=")
        );
    }
}
