//! `project list`: the manifests that were allowed, and what became of them.

use std::path::Path;

use serde::Serialize;

use crate::command::audit::eyes::short;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::consent::{Book, Record};
use crate::project::{find, load};
use crate::{environment, table};

/// A project, for programs.
#[derive(Serialize)]
struct Known<'r> {
    project: &'r str,
    prefix: &'r str,
    manifest: &'r Path,
    /// `allowed`, `changed`, `gone` or `unusable`.
    state: &'static str,
    shared: Vec<&'r str>,
    allowed_at: secrets_proto::Timestamp,
}

pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let book = Book::read()?;
    let known: Vec<Known<'_>> = book.records().iter().map(Known::of).collect();
    if output.json {
        let text = serde_json::to_vec(&known)
            .map_err(|_| Failure::new(Exit::Other, "the projects cannot be written as JSON"))?;
        return output::answer_json_line(&text);
    }
    if known.is_empty() {
        output::say("no project is allowed yet; allow one with: secretctl project allow");
        return Ok(());
    }
    let home = environment::home();
    let home = home.as_ref().and_then(|home| home.to_str());
    let rows: Vec<[String; 5]> = known
        .iter()
        .map(|known| {
            let shared = if known.shared.is_empty() { "-".to_owned() } else { known.shared.join(", ") };
            let manifest = short(&known.manifest.to_string_lossy(), home);
            [
                known.project.to_owned(),
                format!("{}__*", known.prefix),
                known.state.to_owned(),
                shared,
                manifest,
            ]
        })
        .collect();
    let header = ["PROJECT", "NAMES", "STATE", "SHARED", "MANIFEST"];
    output::answer(table::render(header, &rows, output.colour).as_bytes())
}

impl<'r> Known<'r> {
    fn of(record: &'r Record) -> Self {
        Self {
            project: &record.project,
            prefix: &record.prefix,
            manifest: &record.manifest,
            state: state(record),
            shared: record.shared.iter().map(String::as_str).collect(),
            allowed_at: record.allowed_at,
        }
    }
}

fn state(record: &Record) -> &'static str {
    if !record.manifest.exists() {
        return "gone";
    }
    let located = find::locate(Some(&record.manifest)).ok().flatten();
    match located.and_then(|located| load(&located).ok()) {
        Some((_, manifest)) if record.is_of(&manifest) => "allowed",
        Some(_) => "changed",
        None => "unusable",
    }
}
