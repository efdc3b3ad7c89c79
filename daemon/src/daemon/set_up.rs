//! Putting the stages together: what they need is taken from the settings, from systemd, or from the image before.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use secrets_local::{lock, places};

use super::Error;
use crate::auth::{Auth, OwnerToken, TokenFile};
use crate::config::{self, Config, Limits};
use crate::listener::{self, Bound, Handed, Standing};
use crate::reach::Lost;
use crate::relaunch::{HandoffReplies, Handover, Socket};
use crate::router::Api;
use crate::server::Server;
use crate::systemd_credentials::{CredentialSocket, Policy};
use crate::triggers::Triggers;
use crate::vault::{KdfCost, KeySources, Settings, Vault};

/// The stages, put together and not serving yet.
pub(super) struct Stages {
    pub(super) vault: Vault,
    pub(super) triggers: Arc<Triggers>,
    pub(super) uid: u32,
    /// Whether this image goes on after a lock.
    pub(super) resumed: bool,
    pub(super) server: Server<Api>,
    pub(super) credential_socket: CredentialSocket,
    /// Units that the image before had no time to refuse.
    pub(super) refused: Vec<OwnedFd>,
    pub(super) use_server: Server<Api>,
    pub(super) names: Names,
    pub(super) lost: Arc<Lost>,
}

/// What leads to the daemon in the file system.
pub(super) struct Names {
    pub(super) api: Standing,
    pub(super) credentials: Option<Standing>,
    pub(super) uses: Option<Standing>,
    /// The owner's token, and the one for items.
    pub(super) tokens: [TokenFile; 2],
}

/// Takes possession of the vault, the sockets and the owner token, newly or from the image before. Returns the stages and
/// the answers that are to be sent once they are ready.
pub(super) fn set_up(
    config: &Config,
    handed: Handed,
    handover: Option<Handover>,
) -> Result<(Stages, HandoffReplies), Error> {
    let settings = vault_settings(config);
    let (triggers, lost) = (Arc::clone(&settings.triggers), Arc::clone(&settings.lost));
    let (before, vault, refused, answers) = match handover {
        Some(Handover { api, credentials, uses, lock, unwritten, refused, answers }) => {
            let vault = Vault::resume(settings, lock, &unwritten.read())?;
            (Some((api, credentials, uses)), vault, refused, answers)
        }
        None => (None, Vault::start(settings, None)?, Vec::new(), HandoffReplies::default()),
    };
    let resumed = before.is_some();
    // Only now: the vault's lock says that a socket which nobody answers on belongs to nobody.
    let (bound, units, uses) = match before {
        Some((api, units, uses)) => {
            let resumed = |socket: Option<Socket>| socket.map(Bound::from_relaunch).transpose();
            (Bound::from_relaunch(api)?, resumed(units)?, resumed(uses)?)
        }
        None => bind(config, handed)?,
    };
    if !resumed {
        sweep(bound.path());
    }
    let token_path = config.token_path(bound.path());
    let (token, token_file) =
        if resumed { OwnerToken::resume(&token_path)? } else { OwnerToken::create(&token_path)? };
    let items_path = token_path.with_file_name(places::ITEMS_TOKEN);
    let (items, items_file) =
        if resumed { OwnerToken::resume(&items_path)? } else { OwnerToken::create(&items_path)? };
    let uid = rustix::process::geteuid().as_raw();
    let limits = affordable(config.limits);
    let auth = Auth::new(token, items, vault.clone(), limits.wrong_tokens);
    let config::CredentialSettings { socket: on, system_manager } = config.credentials;
    let policy = Policy { on, uid, system_manager };
    let credential_socket = CredentialSocket::new(vault.clone(), policy, limits.connections / UNITS);
    let server = Server::new(auth, Api::new(vault.clone()), vault.clone(), limits, uid);
    let use_server = server.of_use(Api::of_use(vault.clone()));
    let listen = |bound: Option<Bound>| bound.map(Bound::listen).transpose();
    let api = bound.listen()?;
    let names =
        Names { api, credentials: listen(units)?, uses: listen(uses)?, tokens: [token_file, items_file] };
    if let Err(error) = vault.lock_file().and_then(|lock| lock::announce(&File::from(lock), names.api.path()))
    {
        // It helps others alone.
        tracing::warn!(%error, "the vault's lock does not tell where the daemon listens");
    }
    let stages =
        Stages { vault, triggers, uid, resumed, server, credential_socket, refused, use_server, names, lost };
    Ok((stages, answers))
}

/// The API's socket, and the ones that units load credentials from and over which values are taken: those that systemd
/// handed over, or our own.
fn bind(config: &Config, handed: Handed) -> Result<(Bound, Option<Bound>, Option<Bound>), Error> {
    let api = handed.api.map_or_else(|| Bound::new(&config.socket), Ok)?;
    let units = match handed.credentials {
        Some(units) => Some(units),
        None if config.credentials.socket => {
            unless_too_long(api.credentials_beside(), "units cannot load credentials")?
        }
        None => None,
    };
    let uses = match handed.uses {
        Some(uses) => Some(uses),
        None => unless_too_long(api.use_beside(), "values cannot be used without being seen")?,
    };
    Ok((api, units, uses))
}

/// The socket beside the API's; none if only its name is too long, since what was chosen is that of the API's.
fn unless_too_long(bound: Result<Bound, listener::Error>, lacking: &str) -> Result<Option<Bound>, Error> {
    match bound {
        Err(error @ listener::Error::TooLong(_)) => {
            tracing::warn!(%error, "{lacking}");
            Ok(None)
        }
        bound => Ok(Some(bound?)),
    }
}

/// Removes the files of runs whose `secretctl` was killed. What stays is no reason not to start.
fn sweep(socket: &Path) {
    match socket.parent().map(run_files::sweep) {
        Some(Ok(0)) | None => {}
        Some(Ok(runs)) => tracing::info!(runs, "removed files with values left over from killed runs"),
        Some(Err(error)) => tracing::warn!(%error, "cannot remove files left over from killed runs"),
    }
}

fn vault_settings(config: &Config) -> Settings {
    Settings {
        data_dir: config.data_dir.clone(),
        state_dir: config.state_dir.clone(),
        kdf: KdfCost {
            memory_kib: config.kdf.memory_kib,
            passes: config.kdf.passes,
            lanes: config.kdf.lanes,
        },
        idle_lock: config.auto_lock.idle,
        max_lock: config.auto_lock.max,
        lock_is_final: true,
        triggers: Arc::new(Triggers::new(config.lock_on.suspend, config.lock_on.session_lock)),
        lost: Arc::default(),
        keys: KeySources { credential: config.credential.clone(), providers: config.key_providers.clone() },
    }
}

/// Never so many connections that the vault is left without descriptors for its own files.
fn affordable(limits: Limits) -> Limits {
    let files = usize::try_from(secrets_local::descriptors::raise_limit()).unwrap_or(usize::MAX);
    // Each takes two while nothing is written about its peer.
    let most = (files.saturating_sub(OWN_FILES) / 8).saturating_mul(3).max(1);
    if most < limits.connections {
        tracing::warn!(most, "the limit on open files reduces the number of connections");
    }
    Limits { connections: limits.connections.min(most), ..limits }
}

/// For each so many connections to the API there may be one of a unit: it is there for a moment.
const UNITS: usize = 8;

/// How many files the daemon itself may need at once.
const OWN_FILES: usize = 32;
