//! `project allow`: the owner sees what a manifest would get, and says yes or no to that.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use secrets_client::Call;
use secrets_proto::SecretName;
use secrets_proto::secret::{Secret, SecretList};

use crate::failure::{Exit, Failure};
use crate::project::consent::{Book, Record};
use crate::project::flags::ManifestArgs;
use crate::project::{Consent, Project, shown};
use crate::session::Session;
use crate::{helper, output, prompt, variables};

#[derive(Debug, Args)]
pub(crate) struct AllowArgs {
    /// This manifest [default: secretspec.toml here or above]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Give it none of the vault's names that are not the project's own
    #[arg(long)]
    pub(crate) no_shared: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to do where nobody can be asked.
const UNASKED: &str = "look at it, then say: secretctl project allow --yes";

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &AllowArgs) -> Result<(), Failure> {
    let manifest = ManifestArgs { manifest: args.manifest.clone(), ..ManifestArgs::default() };
    let project = Project::needed(&manifest)?;
    let book = Book::read()?;
    let prefix = project.manifest.prefix();
    if helper::PREFIXES.iter().any(|taken| taken.trim_end_matches('_') == prefix) {
        let text = format!(
            "{prefix}__* are the logins of secretctl's credential helpers, which no project gets; give the project another name"
        );
        return Err(Failure::new(Exit::NotAllowed, text));
    }
    let alike = book.alike(&prefix, &project.file);
    let stored = stored(open)?;
    let own: Vec<&str> = stored
        .iter()
        .map(String::as_str)
        .filter(|name| name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with("__")))
        .collect();
    let shared = if args.no_shared { BTreeSet::new() } else { shared(&stored, &project) };
    output::answer(told(&project, &own, &shared, &alike).as_bytes())?;
    let names = project.manifest.keys();
    let names: Vec<SecretName> = names.into_iter().filter_map(|key| SecretName::parse(key).ok()).collect();
    variables::warn(&names);
    let shared = if args.yes { shared } else { confirmed(&project, shared, &alike)? };
    let record = Record::of(&project.file, &project.manifest, shared);
    Book::change(|book| book.allow(record))?;
    output::say(&format!(
        "allowed {}; see what it has with: secretctl check",
        output::printable(project.manifest.name())
    ));
    Ok(())
}

/// The names that the vault has.
fn stored(open: impl FnOnce() -> Result<Session, Failure>) -> Result<BTreeSet<String>, Failure> {
    let list = open().and_then(|session| session.fetch::<SecretList<Secret>>(&Call::list()));
    match list {
        Ok(list) => Ok(list.secrets.into_iter().map(|secret| secret.name.as_str().to_owned()).collect()),
        // A vault that is not there, or cannot be asked, shares nothing; the project's own names need no look.
        Err(failure) if !prompt::can_ask() || failure.exit() != Exit::Other => {
            output::say(&format!(
                "no name is shared with the project, because the vault cannot be asked: {failure}"
            ));
            Ok(BTreeSet::new())
        }
        Err(failure) => Err(failure),
    }
}

/// The names that the project asks for and that the vault has without the project's prefix.
fn shared(stored: &BTreeSet<String>, project: &Project) -> BTreeSet<String> {
    let keys = project.manifest.looked_for().into_iter().map(str::to_ascii_uppercase);
    keys.filter(|key| stored.contains(key)).collect()
}

/// What the project is and gets.
fn told(project: &Project, own: &[&str], shared: &BTreeSet<String>, alike: &[&Record]) -> String {
    let manifest = &project.manifest;
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        text.push_str(&output::titled(what, 9, &output::in_one_line(value)));
    };
    line("project", manifest.name());
    line("manifest", &shown(&project.file));
    manifest
        .files()
        .iter()
        .filter(|file| **file != project.file)
        .for_each(|file| line("extends", &shown(file)));
    line("names", &format!("{}__*", manifest.prefix()));
    line("asks for", &manifest.keys().join(", "));
    // It may have been stored for something else.
    if !own.is_empty() {
        line("has now", &own.join(", "));
    }
    let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
    line("shared", &if shared.is_empty() { "nothing".to_owned() } else { shared.join(", ") });
    match &project.consent {
        Consent::Before(difference) => line("changed", difference),
        Consent::Elsewhere(before) => line("before", &before.display().to_string()),
        Consent::Given(_) | Consent::Never => {}
    }
    for record in alike {
        line("same names", &format!("{}, {}", record.project, record.manifest.display()));
    }
    text
}

/// Asks for each thing that is a decision of its own; gives the shared names that it may have.
fn confirmed(
    project: &Project,
    shared: BTreeSet<String>,
    alike: &[&Record],
) -> Result<BTreeSet<String>, Failure> {
    let asked = |question: &str| {
        prompt::confirm(question).map_err(|error| {
            if matches!(error, prompt::Error::NoTerminal) {
                return Failure::new(Exit::Usage, format!("there is no terminal to ask on; {UNASKED}"));
            }
            Failure::new(Exit::Other, error.told("nothing was allowed", UNASKED))
        })
    };
    let _turn = prompt::alone();
    let prefix = project.manifest.prefix();
    let question = if alike.is_empty() {
        format!("give programs that you run here {prefix}__*?")
    } else {
        format!("give programs that you run here {prefix}__*, which the other project has, too?")
    };
    if !asked(&question)? {
        return Err(Failure::new(Exit::Other, "nothing was allowed"));
    }
    if shared.is_empty() {
        return Ok(shared);
    }
    let names = shared.iter().cloned().collect::<Vec<_>>().join(", ");
    let question = format!("may it also use these of yours, where it has none of its own: {names}?");
    Ok(if asked(&question)? { shared } else { BTreeSet::new() })
}
