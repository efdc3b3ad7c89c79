//! Machines that are a key alone: one on paper, and one for a CI. The key is the answer, and shown once.

use std::path::{Path, PathBuf};

use clap::Args;
use secrets_client::{Answer, Call, Method};
use secrets_proto::SensitiveString;
use secrets_proto::approval::Proof;
use secrets_proto::fleet::{
    CreateMachineKey, FleetMerge, FleetStatus, JoinByKey, KeyRole, MachineKey, MachineName,
};
use secrets_proto::vault::InitRequest;

use crate::command::stop;
use crate::failure::Failure;
use crate::mover::{self, Store};
use crate::once::{self, Once};
use crate::output::{self, Output};
use crate::session::Session;
use crate::{input, passphrase, throw_away};

#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// Print a key to be written down: with the store it is enough for a new machine to have everything
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "paper", conflicts_with = "runner")]
    pub(crate) paper: Option<String>,
    /// Print a key for a CI: who has it and the store reads everything, and changes nothing
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "runner")]
    pub(crate) runner: Option<String>,
}

/// By which key a machine joins, if by one.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// Join by the key on paper, with no other machine: read it from this file (`-`: stdin, or a terminal)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["code", "runner_key_file"])]
    pub(crate) paper_key_file: Option<PathBuf>,
    /// Read what a CI's runner may: by the key in this file (`-`: stdin, or a terminal)
    #[arg(long, value_name = "FILE", conflicts_with = "code", requires = "ephemeral")]
    pub(crate) runner_key_file: Option<PathBuf>,
    /// Into a throw-away vault in $XDG_RUNTIME_DIR, which is gone with `secretctl stop`
    #[arg(long, requires = "runner_key_file")]
    pub(crate) ephemeral: bool,
}

const PAPER: Once = Once {
    what: "the invitation",
    holds: "key",
    cure: "see secretctl machine list, and remove what it has made with: secretctl machine remove NAME",
};

/// Makes a key and prints it.
pub(super) fn create(session: &Session, output: Output, name: &str, role: KeyRole) -> Result<(), Failure> {
    let name = MachineName::parse(name)?;
    once::check_stdout()?;
    mover::sync(session)?;
    let request = |proof: Option<Proof>| {
        let request = CreateMachineKey { name: name.clone(), role, proof };
        Ok(Call::new(Method::POST, "/fleet/keys").json(&request)?)
    };
    let answer = PAPER.ask(|| session.call_proven(&request))?;
    let shown = name.as_str();
    output::say(&match role {
        KeyRole::Paper => format!(
            "{shown} is a machine of the vault: with this key and the store everything can be read and changed. Write it down, it is shown only once; to use it: secretctl machine join --paper-key-file -"
        ),
        KeyRole::Runner => format!(
            "{shown} is a machine that reads: with this key and the store every secret can be read. It is shown only once; put it into the CI's own store of secrets, for: secretctl machine join --runner-key-file - --ephemeral"
        ),
    });
    let MachineKey { key, .. } = answer.parse()?;
    PAPER.show(output, &answer, &key)?;
    if once::others_can_read_stdout() {
        output::say("others could read the file that the key went to; chmod 600 it");
    }
    mover::run_if_used()
}

/// Joins by a key on paper.
pub(super) fn join_by_paper(
    open: impl FnOnce() -> Result<Session, Failure>,
    path: &Path,
    name: MachineName,
    store: Store,
) -> Result<(), Failure> {
    let session = open()?;
    session.open_vault()?;
    super::refuse_member(&session)?;
    let key = input::key(path, "--paper-key-file")?;
    let place = store.begin(&session, false)?;
    mover::run_if_used()?;
    enter(&session, key, KeyRole::Paper, name, &place.directory)?;
    place.keep();
    let FleetMerge { fleet, .. } = mover::sync(&session)?;
    say_joined(&fleet, "this machine has the vault now; see: secretctl list");
    Ok(())
}

/// Says that a machine has joined; but not that it has all, if the store has not what was there when it was let in.
pub(super) fn say_joined(fleet: &FleetStatus, text: &str) {
    if fleet.missing == 0 && fleet.waiting == 0 {
        output::say(text);
        return;
    }
    output::say(
        "this machine has joined, and not all secrets are here: the store lacks some of what was written there. They come once another machine has put them there again; see: secretctl sync status",
    );
}

/// Makes a throw-away vault that has what a CI's runner may read.
pub(super) fn join_by_runner(
    open: impl FnOnce() -> Result<Session, Failure>,
    path: &Path,
    name: MachineName,
    store: Store,
) -> Result<(), Failure> {
    let key = input::key(path, "--runner-key-file")?;
    let _making = throw_away::place()?;
    let session = match open() {
        Ok(session) => session,
        Err(failure) => {
            throw_away::remove()?;
            return Err(failure);
        }
    };
    let outcome = fill(&session, key, name, store);
    if outcome.is_err() {
        // Why it failed is what counts.
        let _ = stop::run(session.paths());
    }
    outcome
}

fn fill(session: &Session, key: SensitiveString, name: MachineName, store: Store) -> Result<(), Failure> {
    let request = InitRequest { passphrase: Some(passphrase::make()?), ..InitRequest::default() };
    let call = Call::new(Method::POST, "/vault/init").json(&request)?;
    // Nobody needs its recovery key.
    session.call_slowly(&call, "making a throw-away vault…")?;
    let place = store.begin(session, false)?;
    mover::run_if_used()?;
    enter(session, key, KeyRole::Runner, name, &place.directory)?;
    place.keep_quietly();
    let FleetMerge { fleet, .. } = mover::sync(session)?;
    say_joined(&fleet, "the secrets are here until: secretctl stop");
    Ok(())
}

fn enter(
    session: &Session,
    key: SensitiveString,
    role: KeyRole,
    name: MachineName,
    directory: &str,
) -> Result<Answer, Failure> {
    let request = |proof| {
        let (key, name, directory) = (key.clone(), name.clone(), directory.to_owned());
        let request = JoinByKey { key, role, name, directory, proof };
        Ok(Call::new(Method::POST, "/fleet/keys/join").json(&request)?)
    };
    let answer = session.call_proven_noted(&request, "joining…");
    answer.map_err(|failure| mover::naming(failure, directory))
}
