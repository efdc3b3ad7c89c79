//! `uses`: which projects ask for a secret, by what was allowed.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use secrets_project::names::Names;
use secrets_proto::SecretName;
use serde::Serialize;

use super::audit::eyes::short;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::consent::{Book, Record};
use crate::{environment, table};

/// Show which allowed projects ask for a secret
#[derive(Debug, Args)]
#[command(after_help = "\
By the projects as they were allowed. `where` shows which programs got the
secret, by the audit log.

Example:
  secretctl uses OPENAI_API_KEY")]
pub(crate) struct UsesArgs {
    /// The secret's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// A project that asks for the secret.
#[derive(Debug, Serialize)]
struct Use<'r> {
    project: &'r str,
    /// The secret's name there, which is the variable's.
    key: &'r str,
    /// In which profiles.
    profiles: Vec<&'r str>,
    manifest: &'r Path,
}

pub(crate) fn run(output: Output, args: &UsesArgs) -> Result<(), Failure> {
    let name = SecretName::parse(&args.name)?;
    let book = Book::read()?;
    let uses: Vec<Use<'_>> = book.records().iter().flat_map(|record| uses(record, &name)).collect();
    if output.json {
        let text = serde_json::to_vec(&uses)
            .map_err(|_| Failure::new(Exit::Other, "the projects cannot be written as JSON"))?;
        return output::answer_json_line(&text);
    }
    if uses.is_empty() {
        output::say("no allowed project asks for it");
        return Ok(());
    }
    let home = environment::home();
    let home = home.as_ref().and_then(|home| home.to_str());
    let row = |one: &Use<'_>| {
        let manifest = short(&one.manifest.to_string_lossy(), home);
        [one.project.to_owned(), one.key.to_owned(), one.profiles.join(", "), manifest]
    };
    let rows: Vec<[String; 4]> = uses.iter().map(row).collect();
    output::answer(table::render(["PROJECT", "AS", "PROFILES", "MANIFEST"], &rows, output.colour).as_bytes())
}

/// The secrets of a project that may be this one, each with its profiles.
fn uses<'r>(record: &'r Record, name: &SecretName) -> Vec<Use<'r>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (profile, keys) in &record.asks {
        for key in keys.keys() {
            let names = Names::of(&record.prefix, profile, key);
            let may_share = record.shared.contains(&names.shared);
            if names.candidates(may_share).any(|candidate| candidate == name.as_str()) {
                found.entry(key).or_default().push(profile);
            }
        }
    }
    let of = |(key, profiles)| Use { project: &record.project, key, profiles, manifest: &record.manifest };
    found.into_iter().map(of).collect()
}
