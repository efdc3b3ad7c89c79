//! What was found, and the command lines that fix it.

use std::path::PathBuf;

use serde::Serialize;

pub(super) use crate::shell::quoted;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// A check that found no fault.
    Ok,
    /// Works, and could be better.
    Warning,
    /// Does not work, or is open to others.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, in a word that stays the same.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) level: Level,
    /// What was found.
    pub(crate) what: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<&'static str>,
    /// The command that fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn ok(&mut self, check: &'static str, what: impl Into<String>) {
        self.0.push(Finding { check, level: Level::Ok, what: what.into(), why: None, fix: None });
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        what: impl Into<String>,
        why: &'static str,
        fix: Fix,
    ) {
        self.0.push(Finding { check, level: Level::Warning, what: what.into(), why: Some(why), fix });
    }

    pub(super) fn fault(
        &mut self,
        check: &'static str,
        what: impl Into<String>,
        why: &'static str,
        fix: Fix,
    ) {
        self.0.push(Finding { check, level: Level::Fault, what: what.into(), why: Some(why), fix });
    }

    /// All of them.
    pub(super) fn findings(self) -> Vec<Finding> {
        self.0
    }

    /// How many findings there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A command for a shell; none where only a person can know what to do.
pub(super) type Fix = Option<String>;

/// The command that removes these files.
pub(crate) fn removing(paths: &[PathBuf]) -> String {
    let words: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
    format!("rm {}", words.join(" "))
}

/// A command that needs root.
pub(super) fn as_root(command: &str) -> String {
    if rustix::process::geteuid().is_root() { command.to_owned() } else { format!("sudo {command}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        for path in ["/a/b-c.d", "/a b", "/it's", "/$(id)", "/a\"b", "/*", "/é"] {
            let script = format!("printf %s {}", quoted(std::path::Path::new(path)));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
    }
}
