//! The vault's facade: every operation takes a [`Caller`], and checks, acts and audits in that order,
//! so that no handler can forget one. It knows nothing of HTTP.

mod error;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use secrets_proto::audit::AuditList;
use secrets_proto::reveal::{RevealReply, RevealRequest};
use secrets_proto::secret::{
    CreateFromPreset, CreateSecret, PatchSecret, PresetList, Secret, SecretDetail, SecretList, UpdateSecret,
};
use secrets_proto::vault::{InitReply, VaultStatus};
use secrets_proto::{Glob, Provider, SecretName, SensitiveString, Timestamp, Uuid};

use crate::caller::Caller;
pub(crate) use error::{Error, KeyField};

/// What the vault needs to know of the settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where `vault.db` and `vault.lock` lie; made 0700 if absent.
    pub(crate) data_dir: PathBuf,
    /// Where the anchor lies; made 0700 if absent.
    pub(crate) state_dir: PathBuf,
    /// The cost of passphrase slots made from now on.
    pub(crate) kdf: KdfCost,
    /// Lock after this long without a reveal or write; zero is never.
    pub(crate) idle_lock: Duration,
    /// Lock this long after unlock; zero is never.
    pub(crate) max_lock: Duration,
}

/// Argon2id's cost. Floor 19,456 KiB and 2 passes, ceiling 2 GiB, 16 passes and 8 lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KdfCost {
    /// Memory in KiB.
    pub(crate) memory_kib: u32,
    /// Passes over it.
    pub(crate) passes: u32,
    /// Lanes.
    pub(crate) lanes: u32,
}

/// A key that a caller offers.
#[derive(Debug)]
pub(crate) enum Key {
    /// A passphrase.
    Passphrase(SensitiveString),
    /// The path of a key file.
    File(PathBuf),
    /// A recovery key as text.
    Recovery(SensitiveString),
}

/// Which secrets a listing shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListFilter {
    /// Only this provider's.
    pub(crate) provider: Option<Provider>,
    /// Only names that match.
    pub(crate) name: Option<Glob>,
}

/// Which audit entries to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditQuery {
    /// Not older than this.
    pub(crate) since: Option<Timestamp>,
    /// Only those that concern this secret.
    pub(crate) name: Option<SecretName>,
    /// At most the newest this many.
    pub(crate) limit: Option<usize>,
}

/// The whole list as the router rendered it, and a tag that changes with it.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    /// The body.
    pub(crate) body: Bytes,
    /// An opaque tag, without quotes.
    pub(crate) tag: String,
}

/// Why the vault could not be opened for business at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Another daemon has it; its pid if it could be read.
    #[error("another secretsd (pid {0}) uses this vault")]
    Running(u32),
    /// A file or directory cannot be used.
    #[error(transparent)]
    Files(#[from] crate::files::Error),
}

/// A handle on the vault; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Vault {}

impl Vault {
    /// Takes the vault's lock and starts its thread. The vault stays locked.
    pub(crate) fn start(_settings: Settings) -> Result<Self, StartError> {
        Ok(Self {})
    }

    /// State, limits and counts. Any scope.
    pub(crate) fn status(&self, _caller: &Caller) -> Result<VaultStatus, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Makes the vault and leaves it unlocked. Scope `admin`.
    pub(crate) async fn init(&self, _caller: &Caller, _key: Key) -> Result<InitReply, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Opens and verifies the vault. A wrong key is answered late. Scope `admin`.
    pub(crate) async fn unlock(&self, _caller: &Caller, _key: Key) -> Result<VaultStatus, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Wipes keys and values from memory; done when this returns. Scope `admin`.
    pub(crate) async fn lock(&self, _caller: &Caller) -> Result<VaultStatus, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// The secrets that match, by name. Scope `list`.
    pub(crate) fn list(&self, _caller: &Caller, _filter: &ListFilter) -> Result<Vec<SecretDetail>, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// All secrets, as `render` wrote them; it is called only when the list has changed since. Scope `list`.
    pub(crate) fn rendered_list(
        &self,
        _caller: &Caller,
        _render: fn(&SecretList<Secret>) -> Bytes,
    ) -> Result<Rendered, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// One secret. Scope `list`.
    pub(crate) fn secret(&self, _caller: &Caller, _id: Uuid) -> Result<SecretDetail, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// The presets, with whether each is configured. Scope `list`.
    pub(crate) fn presets(&self, _caller: &Caller) -> Result<PresetList, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Stores a new secret; durable when this returns. Scope `write`.
    pub(crate) async fn create(&self, _caller: &Caller, _new: CreateSecret) -> Result<SecretDetail, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Stores a new secret under its preset's name. Scope `write`.
    pub(crate) async fn create_from_preset(
        &self,
        _caller: &Caller,
        _new: CreateFromPreset,
    ) -> Result<SecretDetail, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Gives a secret a new value. `expected` is the version that `If-Match` names. Scope `write`.
    pub(crate) async fn update(
        &self,
        _caller: &Caller,
        _id: Uuid,
        _new: UpdateSecret,
        _expected: Option<u64>,
    ) -> Result<SecretDetail, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Changes a secret's metadata. Scope `write`.
    pub(crate) async fn edit(
        &self,
        _caller: &Caller,
        _id: Uuid,
        _patch: PatchSecret,
        _expected: Option<u64>,
    ) -> Result<SecretDetail, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Moves a secret to the trash, or destroys it with all its versions. Scope `write`.
    pub(crate) async fn delete(
        &self,
        _caller: &Caller,
        _id: Uuid,
        _expected: Option<u64>,
        _purge: bool,
    ) -> Result<(), Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Hands values over, after the audit entry is durable. Scope `reveal`.
    pub(crate) async fn reveal(
        &self,
        _caller: &Caller,
        _request: RevealRequest,
    ) -> Result<RevealReply, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// The audit log. Scope `admin`.
    pub(crate) async fn audit(&self, _caller: &Caller, _query: AuditQuery) -> Result<AuditList, Error> {
        Err(Error::Internal("not built yet"))
    }

    /// Completes what is in flight, checkpoints and wipes; for the end of the process.
    pub(crate) async fn shutdown(&self) {}
}
