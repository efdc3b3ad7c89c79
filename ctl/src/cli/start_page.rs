//! What a person sees who types `secretctl` alone: how the vault is, what to do now, and the commands of every day. It
//! starts no daemon and asks nothing.

use std::fmt::Write;
use std::time::Duration;

use clap::CommandFactory;
use secrets_client::{Call, Error};
use secrets_local::places;
use secrets_proto::Timestamp;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::vault::{VaultState, VaultStatus};

use super::Cli;
use super::groups::DAILY;
use crate::environment;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::session::{Session, no_vault};

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// A secret is named as due so long before it expires.
const SOON: i64 = 30 * 86_400;

/// At most twelve lines.
pub(crate) fn text() -> String {
    let state = state().unwrap_or_else(|failure| failure.to_string());
    let mut text = format!("{state}\n\n");
    let root = Cli::command();
    for command in DAILY.iter().filter_map(|name| root.find_subcommand(name)) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  secretctl {:8}{about}", command.get_name());
    }
    text.push_str("\nall commands: secretctl help\n");
    text
}

/// The vault's state and what to do about it, in one line or two.
fn state() -> Result<String, Failure> {
    let session = Session::new(environment::paths(&Globals::default())?, false)?;
    let status = match session.glance::<VaultStatus>(&Call::status(), PATIENCE) {
        Ok(status) => status,
        Err(Error::NotListening(_)) => {
            let has_vault = environment::data_dir(None).is_ok_and(|dir| dir.join(places::VAULT).exists());
            return Ok(if has_vault { LOCKED.to_owned() } else { no_vault() });
        }
        Err(error) => return Err(error.into()),
    };
    if status.rolled_back {
        return Ok("ROLLBACK DETECTED; see: secretctl status".to_owned());
    }
    Ok(match status.state {
        VaultState::Uninitialized => no_vault(),
        VaultState::Locked => LOCKED.to_owned(),
        VaultState::Unlocked => {
            let count = match status.secrets {
                Some(0) => {
                    "; it is empty, begin with: secretctl import .env, or: secretctl set NAME".to_owned()
                }
                Some(1) => ", with 1 secret".to_owned(),
                Some(count) => format!(", with {count} secrets"),
                None => String::new(),
            };
            format!("the vault is unlocked{count}{}", due(&session))
        }
    })
}

const LOCKED: &str = "the vault is locked; unlock it with: secretctl unlock";

/// What expires, as far as this token may know.
fn due(session: &Session) -> String {
    let call = Call::list().query("view", "full");
    let Ok(list) = session.glance::<SecretList<SecretDetail>>(&call, PATIENCE) else { return String::new() };
    let now = Timestamp::now();
    let times = || list.secrets.iter().filter_map(|detail| detail.expires_at);
    let expired = times().filter(|time| *time <= now).count();
    let soon = times().filter(|time| *time <= now.saturating_add_seconds(SOON)).count() - expired;
    let of = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let parts: Vec<String> =
        [of(expired, "expired"), of(soon, "to be replaced within 30 days")].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!("\n{}; see: secretctl status", parts.join(", ")) }
}
