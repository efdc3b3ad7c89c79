//! `sync`: says to the other machines what is new here, and takes what they have said.

pub(crate) mod conflicts;

use clap::{Args, Subcommand};
use secrets_client::{Call, Method};
use secrets_proto::SecretName;
use secrets_proto::fleet::{FleetConflict, FleetMerge, FleetStatus};

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::session::Session;

/// Exchange changes with the other machines of the vault
#[derive(Debug, Args)]
#[command(after_help = "\
Where one secret was given two values, the later one is used and the other is kept
beside it until one of them is stored again.

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
}

pub(crate) fn run(session: &Session, output: Output, args: &SyncArgs) -> Result<(), Failure> {
    match &args.command {
        Some(SyncCommand::Conflicts) => return conflicts::list(session, output),
        Some(SyncCommand::Resolve(args)) => return conflicts::resolve(session, output, args),
        Some(SyncCommand::Status) | None => {}
    }
    if args.command.is_some() {
        let answer = session.call(&Call::get("/fleet"))?;
        if output.json {
            return output::answer_json_line(answer.bytes());
        }
        return show(&answer.parse()?);
    }
    let answer = session.call(&Call::new(Method::POST, "/fleet/merge"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let FleetMerge { merged, written, fleet } = answer.parse()?;
    let names: Vec<&str> = merged.iter().map(SecretName::as_str).collect();
    match (names.is_empty(), written) {
        (true, 0) => output::say("nothing new"),
        (true, _) => output::say("the other machines can have what is new here"),
        (false, _) => output::say(&format!("changed by other machines: {}", names.join(", "))),
    }
    fleet.conflicts.iter().for_each(|conflict| output::say(&told(conflict)));
    Ok(())
}

fn show(status: &FleetStatus) -> Result<(), Failure> {
    if !status.member {
        output::say("the vault is on this machine alone; to have it on several: secretctl machine init");
        return Ok(());
    }
    let members = status.machines.iter().filter(|machine| !machine.removed).count();
    let place = status.directory.as_deref().unwrap_or("a directory");
    let mut text = format!("fleet    {members} machines, dir:{}\n", output::in_one_line(place));
    for (count, what) in [
        (status.waiting, "waiting  objects that need another one first"),
        (status.missing, "missing  objects that are not to be had; the other machines are asked for them"),
        (status.refused, "refused  objects that no machine of the fleet has written"),
    ] {
        if count > 0 {
            text.push_str(&format!("{what}: {count}\n"));
        }
    }
    if status.crowded {
        text.push_str("crowded  the directory has more files than are looked at\n");
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
