//! `sync`: says to the other machines what is new here, and takes what they have said.

pub(crate) mod conflicts;
pub(crate) mod kept;

use clap::{Args, Subcommand};
use secrets_client::Call;
use secrets_proto::SecretName;
use secrets_proto::fleet::{FleetConflict, FleetMerge, FleetStatus};

use crate::failure::Failure;
use crate::mover::{self, StoreStatus};
use crate::output::{self, Output};
use crate::session::Session;

/// Exchange changes with the other machines of the vault
#[derive(Debug, Args)]
#[command(after_help = "\
Where one secret was given two values, the later one is used and the other is kept
beside it until one of them is stored again.

Where the machines meet in a store, secretctl-sync moves the files to it and from
there, and so does secretsd-sync.timer. It takes the store's credential from the
vault (machine init --credential), from systemd's credential `store`, or from the
environment. It ends with 4 without a store, 5 if the store refuses the credential
or this machine was removed, 6 if the store holds another vault's files, 9 if it
does not answer, is full, or this machine's clock is too far off.

Example:
  secretctl sync
  secretctl sync status")]
pub(crate) struct SyncArgs {
    #[command(subcommand)]
    command: Option<SyncCommand>,
}

/// The commands on what is exchanged.
#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Show the machines, and secrets with several values
    #[command(after_help = "Example:\n  secretctl sync status")]
    Status,
    /// List secrets that several machines gave different values
    #[command(after_help = "Example:\n  secretctl sync conflicts")]
    Conflicts,
    /// Settle on one of the values of a secret
    #[command(after_help = "\
The value is stored again, as a new version, and the others stay in the history.
Prints no value.

Example:
  secretctl sync resolve OPENAI_API_KEY
  secretctl sync resolve OPENAI_API_KEY 3")]
    Resolve(conflicts::ResolveArgs),
    /// Let only names like these travel, for all machines
    #[command(after_help = "\
Without GLOB, list the globs that are included. Once there is one, other names do
not travel. For a glob that is excluded, this only ends that, unless others are
included.

Example:
  secretctl sync include 'APP_*'
  secretctl sync include
  secretctl sync include --remove 'APP_*'")]
    Include(kept::GlobArgs),
    /// Keep names like these from travelling, for all machines
    #[command(after_help = "\
Without GLOB, list the globs that are excluded. Machines that have such secrets
keep them, and hear of no change until the glob is removed. This is for order,
not for secrecy: what was sent before can be read on every machine.

Example:
  secretctl sync exclude 'DEV_*'
  secretctl sync exclude
  secretctl sync exclude --remove 'DEV_*'")]
    Exclude(kept::GlobArgs),
    /// Keep a secret on this machine
    #[command(after_help = "\
No other machine is told of it from then on. Where it was sent before, the others
keep what they have, and go on by themselves. To store a new one that is never
sent: secretctl set --local NAME. The way back: secretctl sync share NAME

Example:
  secretctl sync keep-local DATABASE_URL")]
    KeepLocal(kept::OneArgs),
    /// Let a secret that was kept local go to all machines
    #[command(after_help = "\
It takes the passphrase if the secret is guarded. If only the other machines have a
secret of this name, because this one kept its own, it is taken again.

Example:
  secretctl sync share DATABASE_URL")]
    Share(kept::OneArgs),
}

/// What there is to say of a vault that has no other machine.
pub(crate) const ALONE: &str =
    "the vault is on this machine alone; to have it on several: secretctl machine init --store STORE";

/// What may be done about files that are not the vault's.
const FOREIGN: &str = "that no machine of the vault has written, or that were changed since; they are not read. See who else can write to the store";

pub(crate) fn run(session: &Session, output: Output, args: &SyncArgs) -> Result<(), Failure> {
    match &args.command {
        Some(SyncCommand::Conflicts) => return conflicts::list(session, output),
        Some(SyncCommand::Resolve(args)) => return conflicts::resolve(session, output, args),
        Some(SyncCommand::Include(args)) => return kept::include(session, output, args),
        Some(SyncCommand::Exclude(args)) => return kept::exclude(session, output, args),
        Some(SyncCommand::KeepLocal(args)) => return kept::keep_local(session, output, args),
        Some(SyncCommand::Share(args)) => return kept::share(session, output, args),
        Some(SyncCommand::Status) | None => {}
    }
    if args.command.is_some() {
        let answer = session.call(&Call::get("/fleet"))?;
        let store = mover::status()?;
        if output.json {
            return match &store {
                Some(store) => output::answer_json_line(&store.beside(answer.bytes())?),
                None => output::answer_json_line(answer.bytes()),
            };
        }
        return show(&answer.parse()?, store.as_ref());
    }
    let merge = mover::sync(session)?;
    if output.json {
        return output::answer_json_line(&serde_json::to_vec(&merge).unwrap_or_default());
    }
    let FleetMerge { merged, written, fleet } = merge;
    let names: Vec<&str> = merged.iter().map(SecretName::as_str).collect();
    match (names.is_empty(), written) {
        (true, 0) => output::say("nothing new"),
        (true, _) => output::say("the other machines can have what is new here"),
        (false, _) => output::say(&format!("changed by other machines: {}", names.join(", "))),
    }
    fleet.conflicts.iter().for_each(|conflict| output::say(&told(conflict)));
    fleet.displaced.iter().for_each(|displaced| output::say(&kept::told_of_displaced(displaced)));
    Ok(())
}

/// What there is to say on a machine that was removed: what others write it cannot read, and need not count.
const REMOVED: &str = "this machine was removed by another one: nothing goes out or comes in any more, and its secrets stay here. To come back, run secretctl machine invite on another machine, and here: secretctl machine join --store STORE";

/// How wide the titles are.
const TITLE: usize = 8;

fn show(status: &FleetStatus, store: Option<&StoreStatus>) -> Result<(), Failure> {
    if !status.member {
        output::say(ALONE);
        return Ok(());
    }
    if status.is_removed() {
        return output::answer(output::titled("removed", TITLE, REMOVED).as_bytes());
    }
    let members = status.machines.iter().filter(|machine| !machine.removed).count();
    let place = match (store, status.directory.as_deref()) {
        (Some(store), _) => store.line(),
        (None, Some(directory)) => format!("dir:{}", output::in_one_line(directory)),
        (None, None) => "a directory".to_owned(),
    };
    let mut lines = vec![("machines", format!("{members}, {place}"))];
    lines.extend(store.and_then(StoreStatus::failure).map(|failure| ("store", failure)));
    for (title, count, what) in [
        ("waiting", status.waiting, "that another one must come before"),
        ("missing", status.missing, "not to be had; the other machines are asked: run there: secretctl sync"),
        ("refused", status.refused, FOREIGN),
    ] {
        if count > 0 {
            let files = if count == 1 { "file" } else { "files" };
            lines.push((title, format!("{count} {files} {what}")));
        }
    }
    if status.crowded {
        lines.push(("crowded", "the directory has more files than are looked at".to_owned()));
    }
    for (title, globs) in [("include", &status.include), ("exclude", &status.exclude)] {
        lines.extend(globs.iter().map(|glob| (title, output::in_one_line(glob).into_owned())));
    }
    for (title, what, names) in
        [("local", "on this machine alone", &status.local), ("stays", "by its name", &status.excluded)]
    {
        if !names.is_empty() {
            lines.push((title, format!("{what}: {}", kept::few(names))));
        }
    }
    lines.extend(status.aside.iter().map(|aside| {
        let name = &aside.name;
        ("aside", format!("{name} of the other machines; to take it: secretctl sync share {name}"))
    }));
    lines.extend(status.displaced.iter().map(|displaced| ("trash", kept::told_of_displaced(displaced))));
    lines.extend(status.conflicts.iter().map(|conflict| ("conflict", values(conflict))));
    let text: String = lines.iter().map(|(title, text)| output::titled(title, TITLE, text)).collect();
    output::answer(text.as_bytes())
}

fn told(conflict: &FleetConflict) -> String {
    format!("conflict {}", values(conflict))
}

fn values(conflict: &FleetConflict) -> String {
    let others = conflict.others.join(", ");
    format!(
        "{0}: {1} (in use), {2}; see: secretctl history {0}",
        conflict.name,
        output::in_one_line(&conflict.in_use),
        output::in_one_line(&others)
    )
}
