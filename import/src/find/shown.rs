//! What was found, for eyes and for programs.

use std::fmt::Write;

use secrets_proto::printable::printable;
use serde::Serialize;

use super::look::Look;

/// A block for each file: what it is, and what to do with it.
pub(crate) fn text(looks: &[Look], complete: bool) -> String {
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
        text.push_str("nothing found: looked where programs keep credentials, and for dotenv files below your home and here\n");
    }
    if !complete {
        text.push_str("not all of it was looked at: some directories are deeper than 6 levels, or there are too many files\n");
    }
    text
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
