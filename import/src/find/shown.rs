//! What was found, for eyes and for programs.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use secrets_local::wrapping;
use secrets_proto::printable::printable;
use serde::Serialize;

use super::known::home;
use super::look::Look;
use super::walk;

/// A block for each file: what it is, and what to do with it. Where nothing was found: where it was looked, with the `known`
/// places.
pub(crate) fn text(looks: &[Look], complete: bool, known: &[PathBuf]) -> String {
    let columns = wrapping::columns(std::io::stdout());
    let mut text = String::new();
    let own = rustix::process::getuid().as_raw();
    for look in looks {
        let _ = write!(text, "{}\n  {}", printable(&look.path.to_string_lossy()), look.kind);
        match look.count {
            Some(1) => text.push_str(", 1 secret"),
            Some(count) => {
                let _ = write!(text, ", {count} secrets");
            }
            None => {}
        }
        let _ = write!(text, ", mode {:04o}", look.mode);
        if look.mode & 0o044 != 0 && look.kind != "pass" && look.kind != "gopass" {
            text.push_str(" (others can read it)");
        }
        if look.owner != own {
            let _ = write!(text, ", owned by uid {}", look.owner);
        }
        if look.in_git {
            text.push_str(", in a git work tree");
        }
        text.push('\n');
        if let Some(trouble) = &look.trouble {
            let _ = writeln!(text, "  but: {trouble}");
        }
        let next = next(look);
        if next.is_empty() && !look.next.is_empty() || printable(&next) != next {
            // What is shown in its place would be another file.
            text.push_str("  next: rename it, its path has characters that cannot be shown, or type the path yourself: secretctl import PATH");
            let _ = writeln!(text, "{}", format_of(look));
        } else if !next.is_empty() {
            let _ = writeln!(text, "  next: {next}");
        }
        for line in &look.instead {
            let _ = writeln!(text, "  then: {}", printable(line));
        }
    }
    if looks.is_empty() {
        let known: Vec<String> = known.iter().map(|path| shown(path)).collect();
        let said = format!(
            "nothing found. Looked for dotenv files, .npmrc, .pypirc and exports of password managers below {}, and at {}",
            walk::roots().iter().map(|path| shown(path)).collect::<Vec<_>>().join(" and "),
            known.join(", ")
        );
        let _ = writeln!(text, "{}", wrapping::message(&said, columns));
    }
    if !complete {
        let said = "not all of it was looked at: some directories are deeper than 6 levels, or there are too many files";
        let _ = writeln!(text, "{}", wrapping::message(said, columns));
    }
    text
}

/// A path, with `~` in the place of the home directory.
fn shown(path: &Path) -> String {
    let short =
        home("").and_then(|home| path.strip_prefix(home).ok().map(|below| Path::new("~").join(below)));
    let path: PathBuf = short.as_deref().unwrap_or(path).components().collect();
    printable(&path.to_string_lossy()).into_owned()
}

/// The next command; none if the path is no text.
fn next(look: &Look) -> String {
    if look.path.to_str().is_none() { String::new() } else { look.next.join(" ") }
}

/// What the command needs beside the path.
fn format_of(look: &Look) -> String {
    if look.kind == "dotenv" { String::new() } else { format!(" --format {}", look.kind) }
}

#[derive(Serialize)]
struct Row<'a> {
    path: std::borrow::Cow<'a, str>,
    format: &'a str,
    secrets: Option<usize>,
    mode: String,
    uid: u32,
    git: bool,
    problem: Option<&'a str>,
    next: String,
    instead: &'a [String],
}

#[derive(Serialize)]
struct All<'a> {
    files: Vec<Row<'a>>,
    complete: bool,
}

/// The same, as one JSON object.
pub(crate) fn json(looks: &[Look], complete: bool) -> String {
    let files = looks.iter().map(row).collect();
    serde_json::to_string(&All { files, complete }).map(|json| json + "\n").unwrap_or_default()
}

fn row(look: &Look) -> Row<'_> {
    Row {
        path: look.path.to_string_lossy(),
        format: look.kind,
        secrets: look.count,
        mode: format!("{:04o}", look.mode),
        uid: look.owner,
        git: look.in_git,
        problem: look.trouble.as_deref(),
        next: next(look),
        instead: &look.instead,
    }
}
