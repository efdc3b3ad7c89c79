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
    Ok(())
}

/// What there is to say on a machine that was removed: what others write it cannot read, and need not count.
const REMOVED: &str = "\
removed  this machine was removed by another one: nothing goes out or comes in any more
         its secrets stay here. To come back, run on another machine: secretctl machine invite
         and here: secretctl machine join
";

fn show(status: &FleetStatus, store: Option<&StoreStatus>) -> Result<(), Failure> {
    if !status.member {
        output::say("the vault is on this machine alone; to have it on several: secretctl machine init");
        return Ok(());
    }
    if status.machines.iter().any(|machine| machine.this && machine.removed && !machine.disputed) {
        return output::answer(REMOVED.as_bytes());
    }
    let members = status.machines.iter().filter(|machine| !machine.removed).count();
    let place = match (store, status.directory.as_deref()) {
        (Some(store), _) => store.line(),
        (None, Some(directory)) => format!("dir:{}", output::in_one_line(directory)),
        (None, None) => "a directory".to_owned(),
    };
    let mut text = format!("machines {members}, {place}\n");
    if let Some(failure) = store.and_then(StoreStatus::failure) {
        text.push_str(&format!("store    {failure}\n"));
    }
    for (count, what) in [
        (status.waiting, "waiting  objects that need another one first"),
        (status.missing, "missing  objects that are not to be had; the other machines are asked for them"),
        (status.refused, "refused  objects that no machine of the vault has written"),
    ] {
        if count > 0 {
            text.push_str(&format!("{what}: {count}\n"));
        }
    }
    if status.crowded {
        text.push_str("crowded  the directory has more files than are looked at\n");
    }
    for (title, globs) in [("include", &status.include), ("exclude", &status.exclude)] {
        for glob in globs {
            text.push_str(&format!("{title}  {}\n", output::in_one_line(glob)));
        }
    }
    for (title, names) in
        [("local    on this machine alone", &status.local), ("stays    by its name", &status.excluded)]
    {
        if !names.is_empty() {
            text.push_str(&format!("{title}: {}\n", kept::few(names)));
        }
    }
    for aside in &status.aside {
        text.push_str(&format!(
            "aside    {0}: the other machines' own; secretctl sync share {0}\n",
            aside.name
        ));
    }
    for conflict in &status.conflicts {
        text.push_str(&format!("{}\n", told(conflict)));
    }
    output::answer(text.as_bytes())
}

fn told(conflict: &FleetConflict) -> String {
    let others = conflict.others.join(", ");
    let others = output::in_one_line(&others);
    format!(
        "conflict {}: {} (in use), {others}; secretctl history {}",
        conflict.name,
        output::in_one_line(&conflict.in_use),
        conflict.name
    )
}
