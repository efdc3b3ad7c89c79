//! `sync include`, `exclude`, `keep-local` and `share`: which secrets travel, and which stay on this machine.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::fleet::{ChangeFilter, FilterList, FleetDisplaced, FleetStatus, KeptLocal, SetLocal};
use secrets_proto::secret::SecretDetail;
use secrets_proto::{Glob, SecretName, Uuid};

use crate::failure::{Exit, Failure};
use crate::mover;
use crate::output::{self, Output};
use crate::project::{self, flags::NameArgs};
use crate::session::Session;

/// Globs of names.
#[derive(Debug, Args)]
pub(crate) struct GlobArgs {
    /// Names like this, such as 'DEV_*'; without it, the globs are listed
    #[arg(value_name = "GLOB")]
    pub(crate) globs: Vec<String>,
    /// Take it back
    #[arg(long, requires = "globs")]
    pub(crate) remove: bool,
}

/// One secret.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

pub(super) fn include(session: &Session, output: Output, args: &GlobArgs) -> Result<(), Failure> {
    let globs = parsed(args)?;
    let before = status(session)?;
    if globs.is_empty() {
        return list(output, &before.include, "every name travels that is not excluded");
    }
    let mut after = before.clone();
    for glob in globs {
        let is_in = |all: &[String]| all.iter().any(|other| other == glob.as_str());
        // Who excludes a glob, and includes it later, wants it to be as before, and not that nothing else travels.
        if !args.remove && is_in(&after.exclude) {
            after = change(session, FilterList::Exclude, &glob, true)?;
            if after.include.is_empty() {
                continue;
            }
        }
        after = change(session, FilterList::Include, &glob, args.remove)?;
    }
    mover::run_if_used()?;
    output::say(&included(&after));
    say_what_stays(&after);
    Ok(())
}

pub(super) fn exclude(session: &Session, output: Output, args: &GlobArgs) -> Result<(), Failure> {
    let globs = parsed(args)?;
    let mut after = status(session)?;
    if globs.is_empty() {
        return list(output, &after.exclude, "nothing is excluded");
    }
    for glob in &globs {
        after = change(session, FilterList::Exclude, glob, args.remove)?;
    }
    mover::run_if_used()?;
    let shown = shown(globs.iter().map(Glob::as_str));
    output::say(&if args.remove {
        format!("no longer excluded: {shown}; {}", included(&after))
    } else {
        format!("names like these no longer travel: {shown}")
    });
    say_what_stays(&after);
    Ok(())
}

fn parsed(args: &GlobArgs) -> Result<Vec<Glob>, Failure> {
    args.globs.iter().map(|glob| Ok(Glob::parse(glob)?)).collect()
}

fn status(session: &Session) -> Result<FleetStatus, Failure> {
    let status: FleetStatus = session.fetch(&Call::get("/fleet"))?;
    if status.member {
        return Ok(status);
    }
    Err(Failure::new(Exit::NotFound, super::ALONE))
}

fn change(session: &Session, list: FilterList, glob: &Glob, remove: bool) -> Result<FleetStatus, Failure> {
    let request = |proof| {
        let change = ChangeFilter { list, glob: glob.clone(), remove, proof };
        Ok(Call::new(Method::POST, "/fleet/filter").json(&change)?)
    };
    Ok(session.call_proven(&request)?.parse()?)
}

fn list(output: Output, globs: &[String], none: &str) -> Result<(), Failure> {
    if output.json {
        return output::answer_json_line(&serde_json::to_vec(globs).unwrap_or_default());
    }
    if globs.is_empty() {
        output::say(none);
        return Ok(());
    }
    let lines: String = globs.iter().map(|glob| format!("{}\n", output::in_one_line(glob))).collect();
    output::answer(lines.as_bytes())
}

fn included(status: &FleetStatus) -> String {
    match (status.include.as_slice(), status.exclude.as_slice()) {
        ([], []) => "every secret travels that is not kept local".to_owned(),
        ([], _) => "every name travels that is not excluded".to_owned(),
        (include, _) => {
            format!("only names like these travel: {}", shown(include.iter().map(String::as_str)))
        }
    }
}

fn shown<'a>(globs: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = globs.map(|glob| format!("'{}'", output::in_one_line(glob))).collect();
    quoted.join(", ")
}

/// What it means for the secrets that are here.
fn say_what_stays(status: &FleetStatus) {
    if status.excluded.is_empty() {
        return;
    }
    output::say(&format!(
        "of what is here these stay: {}. Machines that have them keep them, and hear of no change. That is for order, not for secrecy: what was sent before can be read on every machine",
        few(&status.excluded)
    ));
}

/// The most names that are told.
const TOLD: usize = 10;

/// Some of these names, and how many more there are.
pub(super) fn few(names: &[SecretName]) -> String {
    let told: Vec<&str> = names.iter().take(TOLD).map(SecretName::as_str).collect();
    match names.len().saturating_sub(TOLD) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

pub(super) fn keep_local(session: &Session, output: Output, args: &OneArgs) -> Result<(), Failure> {
    let secret = project::wanted(&args.name, &args.project)?.get(session)?;
    let is_new = !secret.local;
    let kept = keep(session, secret.secret.id)?;
    if output.json {
        return output::answer_json_line(&serde_json::to_vec(&kept).unwrap_or_default());
    }
    if is_new {
        output::say(&told(&kept));
    } else {
        output::say(&format!("{} stays on this machine already", kept.name));
    }
    Ok(())
}

/// Keeps a secret on this machine.
pub(crate) fn keep(session: &Session, id: Uuid) -> Result<KeptLocal, Failure> {
    let call = Call::new(Method::PUT, &format!("/user/secrets/{id}/local"));
    session.fetch(&call.json(&SetLocal { local: true, proof: None })?)
}

/// What it means that a secret is kept on this machine.
pub(crate) fn told(kept: &KeptLocal) -> String {
    let KeptLocal { name, machines, .. } = kept;
    if machines.is_empty() {
        return format!("{name} stays on this machine");
    }
    let machines = machines.join(", ");
    let machines = output::in_one_line(&machines);
    format!(
        "{name} stays on this machine from now on. What was sent before is still on {machines}, and neither hears of the other's changes; to be rid of it there: secretctl rm {name} on one of them"
    )
}

pub(super) fn share(session: &Session, output: Output, args: &OneArgs) -> Result<(), Failure> {
    let wanted = project::wanted(&args.name, &args.project)?;
    let (id, is_local) = match wanted.find(session)? {
        Some(SecretDetail { secret, local, .. }) => (secret.id, local),
        None => (
            aside(session, &args.name)?
                .map_or_else(|| wanted.get(session).map(|found| found.secret.id), Ok)?,
            true,
        ),
    };
    let request = |proof| {
        let call = Call::new(Method::PUT, &format!("/user/secrets/{id}/local"));
        Ok(call.json(&SetLocal { local: false, proof })?)
    };
    let answer = session.call_proven(&request)?;
    let KeptLocal { name, machines, .. } = answer.parse()?;
    mover::run_if_used()?;
    let status: FleetStatus = session.fetch(&Call::get("/fleet"))?;
    output::say(&if status.excluded.contains(&name) {
        format!("the name of {name} does not travel, so it stays here; see: secretctl sync status")
    } else if !is_local {
        format!("{name} is not kept local")
    } else if machines.is_empty() {
        format!("{name} goes to all machines")
    } else {
        format!(
            "{name} is the same on all machines again; where two have stored a value meanwhile, the later one is used, and the other is kept beside it"
        )
    });
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

/// The secret of the other machines of this name that this one does not take.
fn aside(session: &Session, name: &str) -> Result<Option<Uuid>, Failure> {
    let FleetStatus { aside, .. } = session.fetch(&Call::get("/fleet"))?;
    let Ok(name) = SecretName::parse(name) else { return Ok(None) };
    Ok(aside.iter().find(|secret| secret.name == name).map(|secret| secret.id))
}

/// Says of secrets that were kept on this machine alone and have lost their names to those of other machines, of all or of this one.
/// Who may not ask is told nothing.
pub(crate) fn say_of_displaced(session: &Session, name: Option<&SecretName>) {
    let Ok(FleetStatus { displaced, .. }) = session.fetch(&Call::get("/fleet")) else { return };
    let is_meant = |displaced: &&FleetDisplaced| name.is_none_or(|name| displaced.name == *name);
    displaced.iter().filter(is_meant).for_each(|displaced| output::say(&told_of_displaced(displaced)));
}

pub(super) fn told_of_displaced(displaced: &FleetDisplaced) -> String {
    let FleetDisplaced { name, by, .. } = displaced;
    let by = output::in_one_line(by);
    format!(
        "{name} was kept on this machine alone; the one of {by} has the name now, and goes to all machines; yours is in the trash. To have it back, give theirs another name: secretctl rename {name} NEW; then: secretctl restore {name}"
    )
}
