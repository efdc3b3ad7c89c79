//! `stop`: ends the daemon, for machines where no service manager does.

use clap::Args;
use secrets_client::Paths;
use secrets_local::lock::{self, Locking};
use secrets_local::places;

use crate::failure::{Exit, Failure};
use crate::output::{self, Waiting};
use crate::{environment, holder, shell, throw_away, vault_file};

/// Stop the daemon, which locks the vault
#[derive(Debug, Args)]
#[command(after_help = "\
Requests under way are still answered. The next command starts the daemon again,
with the vault locked; `lock` locks it and leaves the daemon running.

Example:
  secretctl stop")]
pub(crate) struct StopArgs {}

pub(crate) fn run(paths: &Paths) -> Result<(), Failure> {
    let data_dir = environment::data_dir(None)?;
    let Some(noted) = holder::of(&data_dir) else {
        output::say("secretsd is not running");
        return if throw_away::is_used() { throw_away::remove() } else { Ok(()) };
    };
    if noted.is_elsewhere() {
        return Err(Failure::new(Exit::Conflict, format!("stop it there: secretsd runs{noted}")));
    }
    if let Some(socket) = noted.socket().filter(|socket| !holder::is_same_socket(socket, &paths.socket)) {
        let text = format!("secretsd runs{noted}; to stop that one, name its socket");
        let socket = shell::quoted(socket);
        return Err(Failure::new(Exit::Conflict, format!("{text}: secretctl --socket {socket} stop")));
    }
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::DaemonFailed, format!("cannot stop secretsd{noted}: {error}"))
    };
    let _waiting = Waiting::start("stopping secretsd…");
    if let Locking::Held(holder) = lock::take(&data_dir.join(places::LOCK)).map_err(|error| failed(&error))? {
        vault_file::stop(holder).map_err(|error| failed(&error))?;
    }
    if throw_away::is_used() {
        throw_away::remove()?;
        output::say("secretsd stopped; the throw-away vault is gone");
        return Ok(());
    }
    output::say("secretsd stopped; the vault is locked");
    Ok(())
}
