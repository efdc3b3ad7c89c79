//! Putting the stages together: what they need is taken from the settings, from systemd, or from the image before.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixListener;

use super::Error;
use crate::auth::{Auth, OwnerToken, TokenFile};
use crate::config::{self, Config, Limits};
use crate::listener::{self, Bound, Handed, Listener, SocketFile};
use crate::process;
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
    pub(super) socket: UnixListener,
    pub(super) unit_socket: Option<UnixListener>,
    pub(super) inherited: InheritedSockets,
    pub(super) files: Files,
}

/// What is removed from the file system at the end.
pub(super) struct Files {
    pub(super) token: TokenFile,
    pub(super) socket: SocketFile,
    pub(super) unit_socket: Option<SocketFile>,
}

/// Takes possession of the vault, the sockets and the owner token, anew or from the image before. Returns the stages and
/// the answers that are to be sent once they are ready.
pub(super) fn set_up(
    config: &Config,
    handed: Handed,
    handover: Option<Handover>,
) -> Result<(Stages, HandoffReplies), Error> {
    let settings = vault_settings(config);
    let triggers = Arc::clone(&settings.triggers);
    let (before, vault, refused, answers) = match handover {
        Some(Handover { api, credentials, lock, unwritten, refused, answers }) => {
            let vault = Vault::resume(settings, lock, &unwritten.read())?;
            (Some((api, credentials)), vault, refused, answers)
        }
        None => (None, Vault::start(settings, None)?, Vec::new(), HandoffReplies::default()),
    };
    let resumed = before.is_some();
    // Only now: the vault's lock says that a socket which nobody answers on belongs to nobody.
    let (bound, units) = match before {
        Some((api, units)) => (Bound::from_relaunch(api)?, units.map(Bound::from_relaunch).transpose()?),
        None => bind(config, handed)?,
    };
    if !resumed {
        sweep(bound.path());
    }
    let token_path = config.token_path(bound.path());
    let (token, token_file) =
        if resumed { OwnerToken::resume(&token_path)? } else { OwnerToken::create(&token_path)? };
    let uid = rustix::process::geteuid().as_raw();
    let limits = affordable(config.limits);
    let auth = Auth::new(token, vault.clone(), limits.wrong_tokens);
    let config::CredentialSettings { socket: on, system_manager } = config.credentials;
    let policy = Policy { on, uid, system_manager };
    let credential_socket = CredentialSocket::new(vault.clone(), policy, limits.connections / UNITS);
    let server = Server::new(auth, Api::new(vault.clone()), vault.clone(), limits, uid);
    let (api, units) = (bound.listen()?, units.map(Bound::listen).transpose()?);
    let inherited = InheritedSockets { api: keep(&api)?, credentials: units.as_ref().map(keep).transpose()? };
    let socket = UnixListener::from_std(api.socket)?;
    let (unit_socket, unit_file) = match units {
        Some(Listener { socket, file }) => (Some(UnixListener::from_std(socket)?), Some(file)),
        None => (None, None),
    };
    let files = Files { token: token_file, socket: api.file, unit_socket: unit_file };
    let stages = Stages {
        vault,
        triggers,
        uid,
        resumed,
        server,
        credential_socket,
        refused,
        socket,
        unit_socket,
        inherited,
        files,
    };
    Ok((stages, answers))
}

/// The API's socket, and the one that units load credentials from: those that systemd handed over, or our own.
fn bind(config: &Config, handed: Handed) -> Result<(Bound, Option<Bound>), Error> {
    let api = handed.api.map_or_else(|| Bound::new(&config.socket), Ok)?;
    let units = match handed.credentials {
        Some(units) => Some(units),
        None if config.credentials.socket => match api.credentials_beside() {
            // Its name is longer than that of the API's, which is what was chosen.
            Err(error @ listener::Error::TooLong(_)) => {
                tracing::warn!(%error, "units cannot load credentials");
                None
            }
            bound => Some(bound?),
        },
        None => None,
    };
    Ok((api, units))
}

/// What the next image needs of the sockets.
pub(super) struct InheritedSockets {
    pub(super) api: Socket,
    pub(super) credentials: Option<Socket>,
}

fn keep(listener: &Listener) -> io::Result<Socket> {
    Ok(Socket { listener: listener.socket.try_clone()?.into(), made: listener.file.is_ours() })
}

/// Removes the files of runs whose `secretctl` was killed. What stays is no reason not to start.
fn sweep(socket: &Path) {
    match socket.parent().map(run_files::sweep) {
        Some(Ok(0)) | None => {}
        Some(Ok(runs)) => tracing::info!(runs, "removed files with values that killed runs have left"),
        Some(Err(error)) => tracing::warn!(%error, "cannot remove the files that killed runs may have left"),
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
        keys: KeySources { credential: config.credential.clone(), providers: config.key_providers.clone() },
    }
}

/// Never so many connections that the vault is left without descriptors for its own files.
fn affordable(limits: Limits) -> Limits {
    let files = usize::try_from(process::raise_file_limit()).unwrap_or(usize::MAX);
    // Each takes two while nothing is written about its peer.
    let most = (files.saturating_sub(OWN_FILES) / 8).saturating_mul(3).max(1);
    if most < limits.connections {
        tracing::warn!(most, "the limit of open files allows only so many connections");
    }
    Limits { connections: limits.connections.min(most), ..limits }
}

/// For each so many connections to the API there may be one of a unit: it is there for a moment.
const UNITS: usize = 8;

/// How many files the daemon itself may need at once.
const OWN_FILES: usize = 32;
