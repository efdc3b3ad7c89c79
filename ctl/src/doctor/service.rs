//! What the daemon itself says, if it can be asked without starting it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use secrets_client::{Call, Error};
use secrets_proto::credential::CredentialList;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::vault::{KeyKind, KeyList, VaultState, VaultStatus};
use secrets_proto::{ErrorBody, ErrorType};
use serde::de::DeserializeOwned;

use super::setup::{SOCKET, Setup, find_unit};
use crate::session::Session;
use crate::unconfirmed;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of asking.
#[derive(Debug)]
pub(super) enum Service {
    /// The daemon answers.
    Up(Box<VaultStatus>),
    /// There is nothing to connect to.
    Absent,
    /// There is a socket that nobody listens on.
    Stale,
    /// systemd listens, and would start it.
    Waiting,
    /// Somebody else's process listens.
    Foreign(u32),
    /// The daemon listens and does not answer.
    Silent,
    /// The daemon does not know our token.
    Stranger,
    /// The daemon answers, and does not serve our token, for this reason.
    Declined(Box<ErrorBody>),
    /// The daemon cannot be asked, for a reason that shows elsewhere or in these words.
    Unknown(String),
}

impl Service {
    /// What it said of itself.
    pub(super) fn status(&self) -> Option<&VaultStatus> {
        match self {
            Self::Up(status) => Some(status),
            Self::Absent
            | Self::Stale
            | Self::Waiting
            | Self::Foreign(_)
            | Self::Silent
            | Self::Stranger
            | Self::Declined(_)
            | Self::Unknown(_) => None,
        }
    }

    /// Whether it knows of units that may load secrets, as far as our token may know.
    pub(super) fn has_grants(&self, setup: &Setup) -> bool {
        if !self.status().is_some_and(|status| status.state == VaultState::Unlocked) {
            return false;
        }
        let session = Session::new(setup.paths.clone(), false);
        let list = session
            .ok()
            .and_then(|session| session.glance::<CredentialList>(&Call::get("/credentials"), PATIENCE).ok());
        list.is_some_and(|list| !list.credentials.is_empty())
    }

    /// How many secrets are guarded, and what opens the vault that a program could read; as far as our token may know.
    pub(super) fn guarded(&self, setup: &Setup) -> Option<(usize, Vec<KeyKind>)> {
        self.status().filter(|status| status.state == VaultState::Unlocked)?;
        let session = Session::new(setup.paths.clone(), false).ok()?;
        let call = Call::list().query("view", "full");
        let list = session.glance::<SecretList<SecretDetail>>(&call, PATIENCE).ok()?;
        let guarded = list.secrets.iter().filter(|secret| secret.guarded).count();
        let KeyList { keys } = session.glance(&Call::get("/vault/keys"), PATIENCE).ok()?;
        let mut kinds = Vec::new();
        for key in keys {
            let is_proof = matches!(key.kind, KeyKind::Passphrase | KeyKind::Recovery);
            if !is_proof && !kinds.contains(&key.kind) {
                kinds.push(key.kind);
            }
        }
        Some((guarded, kinds))
    }

    /// What it answers to this about the open vault, as far as our token may know.
    pub(super) fn open_vault<T: DeserializeOwned>(&self, setup: &Setup, call: &Call) -> Option<T> {
        self.status().filter(|status| status.state == VaultState::Unlocked)?;
        Session::new(setup.paths.clone(), false).ok()?.glance(call, PATIENCE).ok()
    }

    /// That there are recovery keys which perhaps nobody has, as far as our token may know.
    pub(super) fn unconfirmed(&self, setup: &Setup) -> Option<String> {
        self.status().filter(|status| status.state == VaultState::Unlocked)?;
        let session = Session::new(setup.paths.clone(), false).ok()?;
        let list = session.glance::<KeyList>(&Call::get("/vault/keys"), PATIENCE).ok()?;
        unconfirmed::notice(&list.keys)
    }

    /// Asks.
    pub(super) fn ask(setup: &Setup) -> Self {
        let socket = &setup.paths.socket;
        if fs::symlink_metadata(socket).is_err() {
            return Self::Absent;
        }
        let by_systemd = find_unit(&setup.unit_dirs, SOCKET).is_some();
        if setup.reached().is_none() && by_systemd && is_listened_on(socket) {
            return Self::Waiting;
        }
        let Ok(session) = Session::new(setup.paths.clone(), false) else {
            return Self::Unknown("the system has no room for a connection".to_owned());
        };
        match session.glance::<VaultStatus>(&Call::status(), PATIENCE) {
            Ok(status) => Self::Up(Box::new(status)),
            Err(Error::NotListening(_)) => Self::Stale,
            Err(Error::ForeignServer(_, uid)) => Self::Foreign(uid),
            Err(Error::Timeout) => Self::Silent,
            Err(Error::Refused(body)) if body.kind == ErrorType::AuthenticationError => Self::Stranger,
            Err(Error::Refused(body)) => Self::Declined(body),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// Told without connecting, which would start what systemd listens for. The flag is that of a socket that
/// listens, `__SO_ACCEPTCON`.
fn is_listened_on(socket: &Path) -> bool {
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    String::from_utf8_lossy(&table).lines().any(|line| {
        let mut words = line.split_whitespace();
        words.nth(3) == Some("00010000") && words.nth(3).is_some_and(|path| Path::new(path) == socket)
    })
}
