//! What a vault operation can end in, without a word of HTTP. `router` maps each to one answer.

use secrets_local::{file_system, files};
use secrets_proto::audit::Refusal;
use secrets_proto::rule::decide::Refused;
use secrets_proto::{Invalid, Uuid};

use crate::caller::Scope;
use crate::guarded::Subject;
use crate::{crypto, key_provider, store};

/// Why an operation was not done. Nothing here holds what a caller sent; causes go to the log.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// The vault was not made yet.
    #[error("there is no vault yet")]
    Uninitialized,
    /// The vault is locked: no keys are in memory.
    #[error("the vault is locked")]
    Locked,
    /// `init` on a vault that exists.
    #[error("the vault already exists")]
    AlreadyInitialized,
    /// No key slot opens with this key.
    #[error("the key does not open the vault")]
    WrongKey,
    /// The given key cannot be used at all: empty, too long, or its file cannot be read.
    #[error("the key cannot be used: {0}")]
    UnusableKey(KeyField, Invalid),
    /// A key provider command gave no key.
    #[error(transparent)]
    NoKey(key_provider::Failure),
    /// More unlocks wait than the daemon will queue.
    #[error("too many unlocks are waiting")]
    TooManyUnlocks,
    /// The caller's token lacks this right.
    #[error("the token lacks the scope {0}")]
    Forbidden(Scope),
    /// The caller's token is bound to names, and this concerns the whole vault.
    #[error("the token is limited to names")]
    BoundToNames,
    /// The secret would have a name that the caller's token does not cover.
    #[error("the name is outside the token's names")]
    OutsideNames,
    /// The change would bring other rules, and the caller's token may not set those.
    #[error("the change would bring other rules")]
    ChangesRules,
    /// A token would give more than the one it is made with.
    #[error("a token cannot have more rights than its creator")]
    BeyondMaker,
    /// The caller's token was never made here, or was revoked.
    #[error("the token is unknown")]
    UnknownToken,
    /// The caller's token was good until its time was over.
    #[error("the token has expired")]
    TokenExpired,
    /// The caller's token was made at a time that is yet to come, by the present clock.
    #[error("the clock is behind the token")]
    TokenAhead,
    /// The caller's token is used more often than it may; so many seconds to wait.
    #[error("too many requests with the token")]
    TooManyRequests(u32),
    /// Another token has this name.
    #[error("the token's name is taken")]
    TokenNameTaken,
    /// The vault has as many tokens as it can.
    #[error("there are too many tokens")]
    TooManyTokens,
    /// The caller has begun as many sessions as it may, or there are as many as there can be.
    #[error("there are too many sessions")]
    TooManySessions,
    /// No secret of this id, as far as the caller can tell.
    #[error("no such secret")]
    NotFound,
    /// A reveal's selectors at these positions name nothing.
    #[error("{} selectors match nothing", .0.len())]
    Missing(Vec<usize>),
    /// No rule allows the value to be used in this request.
    #[error("no rule allows it")]
    NoRule(Refused),
    /// Values are used in sessions alone.
    #[error("the token is of no session")]
    NoSession,
    /// The values of the secrets at these positions cannot be used.
    #[error("{} secrets cannot be used", .0.len())]
    Unusable(Vec<(usize, Unusable)>),
    /// A secret is guarded, and nobody has allowed this yet: the id of the ask that waits for a person.
    #[error("a person must allow it")]
    ApprovalRequired(Uuid),
    /// Secrets are guarded, and a rule has denied this, or a person within the last minute.
    #[error("a person or a rule has denied it")]
    ApprovalDenied {
        /// Which secrets; none if it was to open the vault.
        names: Vec<Subject>,
        /// Whether it was a rule.
        by_rule: bool,
    },
    /// Too much waits for a person already.
    #[error("too many asks are open")]
    TooManyAsks,
    /// The ask was answered before, or is over.
    #[error("the ask is not open any more")]
    Settled,
    /// The caller's token, or one that was made with it, has asked for this itself.
    #[error("a token cannot answer what it has asked for")]
    OwnAsk,
    /// An answer or rule that cannot be: which field, and why.
    #[error("the answer cannot be: {0}")]
    UnfitAnswer(&'static str, Invalid),
    /// It takes a proof, and there was none.
    #[error("a proof is needed")]
    Unproven,
    /// The vault has no passphrase that could be asked for.
    #[error("there is no passphrase")]
    NoPassphrase,
    /// The vault has as many approval rules as it can.
    #[error("there are too many approval rules")]
    TooManyApprovalRules,
    /// A unit may load a secret of this name, and the secret that is to get it is guarded.
    #[error("a unit may load the name")]
    NameGranted,
    /// The vault is open already.
    #[error("the vault is open")]
    AlreadyOpen,
    /// The unit may not load this.
    #[error("not granted")]
    NotGranted,
    /// Something about the fleet.
    #[error("the fleet: {0}")]
    Fleet(FleetError),
    /// Another secret has this name.
    #[error("the name is taken")]
    NameTaken,
    /// Secrets at these positions have a name that another has.
    #[error("{} names are taken", .0.len())]
    NamesTaken(Vec<usize>),
    /// Half done when somebody wanted to lock: nothing of the transaction counts, and the vault will be locked.
    #[error("given up for a lock")]
    GivenUp,
    /// There are as many items as there can be, or they have as many bytes of attributes together.
    #[error("there are too many items")]
    TooManyItems,
    /// `If-Match` names a version that is not the present one.
    #[error("the secret has changed in the meantime")]
    Stale,
    /// The value is the present one, which is not dropped from the history.
    #[error("the value is the present one")]
    PresentValue,
    /// The key slots are not what they were when the operation began.
    #[error("the key slots have changed in the meantime")]
    KeysChanged,
    /// `init` where the rollback guard or log of a vault lies, but no vault.
    #[error("the vault's file is gone")]
    VaultMissing,
    /// The vault's file is not the one that was opened any more: it was removed, replaced or cut. Nothing more is stored.
    #[error("the vault's file was replaced while it was in use")]
    Replaced,
    /// A file of the vault is not a private regular file.
    #[error("a file of the vault is not safe: {0}")]
    UnsafeFile(String),
    /// The vault has as many key slots as it can.
    #[error("there are too many key slots")]
    TooManyKeys,
    /// The key slot is the last one.
    #[error("the last key slot")]
    LastKey,
    /// No preset for this provider.
    #[error("unknown preset")]
    UnknownPreset,
    /// The disk is full. Nothing was reported done; reads, deleting and locking go on.
    #[error("the disk is full")]
    DiskFull,
    /// No file can be opened, because there are too many open. Nothing was changed.
    #[error("there are no file descriptors left")]
    NoDescriptors,
    /// There is no memory for deriving a key. Nothing was changed.
    #[error("there is no memory for key derivation")]
    NoMemory,
    /// Deriving a key needs more memory, in MiB, than a limit leaves. Nothing was changed.
    #[error("key derivation needs {needed} MiB of memory, and {limit} leaves {left} MiB")]
    MemoryLimit {
        /// What it needs.
        needed: u64,
        /// What is left.
        left: u64,
        /// What the limit is called.
        limit: &'static str,
    },
    /// The disk is failing. Nothing was reported done; reads go on.
    #[error("storage: {0}")]
    Storage(String),
    /// The file system cannot do what a vault needs: what that is, and its name.
    #[error("{1} cannot {0}")]
    Unfit(&'static str, String),
    /// Damage or tampering was found: what, in words for the owner.
    #[error("damage: {0}")]
    Corrupt(&'static str),
    /// The audit log's entry, by number, that is not as it was written, and how it is not.
    #[error("damage: the audit log is broken at entry {0}: {1}")]
    AuditBroken(u64, &'static str),
    /// The rollback guard is not as it was written.
    #[error("damage: the rollback guard was changed")]
    AnchorDamaged,
    /// The vault is older than its rollback guard, so nothing is written to it.
    #[error("rollback detected: the vault is older than its rollback guard")]
    RolledBack,
    /// The vault was written by a newer program.
    #[error("the vault has format {found}, this program reads format {known}")]
    NewerFormat {
        /// What the file says.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// The vault requires something that only a newer program knows. Nothing was touched.
    #[error("the vault was made by a newer program")]
    NewerVault,
    /// A request's globs would have to be compared with more names than it may ask for.
    #[error("too many globs for so many names")]
    TooMuchWork,
    /// A reveal would hand over more bytes than one answer may hold.
    #[error("too many bytes for one answer")]
    TooMuchToReveal,
    /// The vault did not answer within its deadline.
    #[error("the vault did not answer in time")]
    Timeout,
    /// A bug.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl Error {
    /// Whether something is wrong with the vault or the program, not with what was asked.
    pub(super) const fn is_fault(&self) -> bool {
        match self {
            Self::DiskFull
            | Self::NoDescriptors
            | Self::NoMemory
            | Self::MemoryLimit { .. }
            | Self::Storage(_)
            | Self::Unfit(..)
            | Self::UnsafeFile(_)
            | Self::Corrupt(_)
            | Self::AuditBroken(..)
            | Self::AnchorDamaged
            | Self::NewerFormat { .. }
            | Self::NewerVault
            | Self::Timeout
            | Self::GivenUp
            | Self::Internal(_) => true,
            Self::Uninitialized
            | Self::Locked
            | Self::AlreadyInitialized
            | Self::WrongKey
            | Self::UnusableKey(..)
            | Self::NoKey(_)
            | Self::TooManyUnlocks
            | Self::Forbidden(_)
            | Self::BoundToNames
            | Self::OutsideNames
            | Self::ChangesRules
            | Self::BeyondMaker
            | Self::UnknownToken
            | Self::TokenExpired
            | Self::TokenAhead
            | Self::TooManyRequests(_)
            | Self::TokenNameTaken
            | Self::TooManyTokens
            | Self::TooManySessions
            | Self::NotFound
            | Self::Missing(_)
            | Self::Unusable(_)
            | Self::NoRule(_)
            | Self::NoSession
            | Self::TooMuchWork
            | Self::TooMuchToReveal
            | Self::ApprovalRequired(_)
            | Self::ApprovalDenied { .. }
            | Self::TooManyAsks
            | Self::Settled
            | Self::OwnAsk
            | Self::UnfitAnswer(..)
            | Self::Unproven
            | Self::NoPassphrase
            | Self::TooManyApprovalRules
            | Self::AlreadyOpen
            | Self::NameGranted
            | Self::NotGranted
            | Self::Fleet(_)
            | Self::NameTaken
            | Self::NamesTaken(_)
            | Self::Stale
            | Self::TooManyItems
            | Self::PresentValue
            | Self::KeysChanged
            | Self::VaultMissing
            | Self::Replaced
            | Self::TooManyKeys
            | Self::LastKey
            | Self::RolledBack
            | Self::UnknownPreset => false,
        }
    }

    /// What the audit log says of it, if it is about a right that the caller does not have.
    pub(crate) const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Forbidden(_) | Self::BoundToNames | Self::BeyondMaker | Self::NoSession | Self::OwnAsk => {
                Some(Refusal::Scope)
            }
            Self::WrongKey | Self::Unproven => Some(Refusal::WrongKey),
            Self::UnknownToken => Some(Refusal::UnknownToken),
            Self::TokenExpired | Self::TokenAhead => Some(Refusal::ExpiredToken),
            Self::TooManyUnlocks | Self::TooManyRequests(_) | Self::TooManyAsks => Some(Refusal::Throttled),
            Self::DiskFull
            | Self::NoDescriptors
            | Self::NoMemory
            | Self::MemoryLimit { .. }
            | Self::Storage(_)
            | Self::Unfit(..)
            | Self::UnsafeFile(_)
            | Self::Corrupt(_)
            | Self::AuditBroken(..)
            | Self::AnchorDamaged
            | Self::NewerFormat { .. }
            | Self::NewerVault
            | Self::Timeout
            | Self::Internal(_)
            | Self::Uninitialized
            | Self::Locked
            | Self::AlreadyInitialized
            | Self::UnusableKey(..)
            | Self::NoKey(_)
            | Self::OutsideNames
            | Self::ChangesRules
            | Self::TokenNameTaken
            | Self::TooManyTokens
            | Self::TooManySessions
            | Self::NotFound
            | Self::Missing(_)
            | Self::Unusable(_)
            | Self::NoRule(_)
            | Self::TooMuchWork
            | Self::TooMuchToReveal
            | Self::ApprovalRequired(_)
            | Self::ApprovalDenied { .. }
            | Self::Settled
            | Self::UnfitAnswer(..)
            | Self::NoPassphrase
            | Self::TooManyApprovalRules
            | Self::AlreadyOpen
            | Self::NameGranted
            | Self::NotGranted
            | Self::Fleet(_)
            | Self::NameTaken
            | Self::NamesTaken(_)
            | Self::GivenUp
            | Self::Stale
            | Self::TooManyItems
            | Self::PresentValue
            | Self::KeysChanged
            | Self::VaultMissing
            | Self::Replaced
            | Self::TooManyKeys
            | Self::LastKey
            | Self::RolledBack
            | Self::UnknownPreset => None,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Full => Self::DiskFull,
            store::Error::NoDescriptors => Self::NoDescriptors,
            store::Error::Io(_) => Self::Storage(error.to_string()),
            store::Error::NotAVault => Self::Corrupt("the file is not a vault"),
            store::Error::Damaged(what) => Self::Corrupt(what),
            store::Error::NewerFormat(found) => Self::NewerFormat { found, known: store::FORMAT },
        }
    }
}

impl From<key_provider::Failure> for Error {
    fn from(failure: key_provider::Failure) -> Self {
        if failure.fault == key_provider::Fault::NoDescriptors {
            Self::NoDescriptors
        } else {
            Self::NoKey(failure)
        }
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        match error {
            files::Error::Io(_, ref cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
                Self::DiskFull
            }
            files::Error::Io(_, ref cause) if files::lacks_descriptors(cause) => Self::NoDescriptors,
            files::Error::Io(ref path, ref cause) if file_system::is_lacking(cause) => {
                Self::Unfit("hold a vault", file_system::name(path))
            }
            files::Error::Io(ref path, ref cause)
                if cause.kind() == std::io::ErrorKind::ReadOnlyFilesystem =>
            {
                Self::Unfit("be written to", file_system::name(path))
            }
            files::Error::Io(..) => Self::Storage(error.to_string()),
            files::Error::Unfit(_, lacks, name) => Self::Unfit(lacks, name),
            files::Error::Relative(_)
            | files::Error::Symlink(_)
            | files::Error::WrongKind(..)
            | files::Error::ForeignOwner(..)
            | files::Error::TooOpen { .. }
            | files::Error::ForeignPlace { .. }
            | files::Error::TooLarge(..) => Self::UnsafeFile(error.to_string()),
        }
    }
}

impl From<crypto::Error> for Error {
    fn from(error: crypto::Error) -> Self {
        match error {
            crypto::Error::Random => Self::Internal("the system has no random numbers"),
            crypto::Error::NoMemory => Self::NoMemory,
            crypto::Error::Derivation => Self::Internal("key derivation failed"),
            crypto::Error::NotAuthentic | crypto::Error::Malformed => {
                Self::Corrupt("something is not authentic")
            }
            crypto::Error::CostOutOfBounds => Self::Corrupt("a key slot asks for more work than is allowed"),
        }
    }
}

/// What is wrong about a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FleetError {
    /// The vault belongs to none.
    #[error("the vault belongs to none")]
    None,
    /// The vault belongs to one already.
    #[error("the vault belongs to one already")]
    Exists,
    /// The directory is not one that can be used.
    #[error("the directory cannot be used")]
    Directory,
    /// The directory is not there any more.
    #[error("the exchange is not there")]
    Gone,
    /// The daemon may not read or write the directory.
    #[error("the exchange may not be read or written")]
    Forbidden,
    /// The directory cannot be read or written.
    #[error("the exchange cannot be read or written")]
    Unreadable,
    /// The directory's disk is full.
    #[error("the exchange is full")]
    Full,
    /// The directory has the objects of another fleet.
    #[error("the directory is another fleet's")]
    Other,
    /// There is no such invitation, or not any more.
    #[error("no such invitation")]
    NoInvitation,
    /// The code is mistyped, or was never given out.
    #[error("wrong code")]
    WrongCode,
    /// The exchange knows no such key.
    #[error("no such key")]
    WrongKey,
    /// The key is for something else.
    #[error("the key is for something else")]
    OtherRole,
    /// The other machine has not answered yet.
    #[error("the other machine has not answered")]
    Unanswered,
    /// No machine of this name.
    #[error("no such machine")]
    NoMachine,
    /// A machine of this name is there already.
    #[error("the machine's name is taken")]
    NameTaken,
    /// Two machines have removed each other.
    #[error("two machines have removed each other")]
    Disputed,
    /// No two machines have removed each other, of which this is one.
    #[error("the machine's place is not disputed")]
    NoDispute,
    /// This machine reads alone.
    #[error("this machine reads alone")]
    Reader,
    /// There are as many machines as a fleet can have.
    #[error("there are too many machines")]
    TooMany,
    /// The secret has one value.
    #[error("the secret has no values beside the present one")]
    NoConflict,
    /// This machine was removed.
    #[error("this machine was removed")]
    Removed,
    /// The key is no machine of the fleet any more.
    #[error("the key was ended")]
    KeyEnded,
    /// No such glob is included, or excluded.
    #[error("no such glob")]
    NoGlob,
    /// There are as many globs as a fleet can have.
    #[error("there are too many globs")]
    TooManyGlobs,
    /// There were as many globs as a fleet can ever have.
    #[error("there were too many globs")]
    TooManyGlobsEver,
    /// The keys that are machines have no more room in a list of machines.
    #[error("there are too many keys that are machines")]
    TooManyKeys,
}

/// Why a value cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The secret has no rule.
    NoRule,
    /// The value cannot stand at any site of its rules.
    Value,
}

/// Which field of an init or unlock request held the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyField {
    /// `passphrase`
    Passphrase,
    /// `key_file`
    KeyFile,
    /// `recovery_key`
    RecoveryKey,
    /// `credential`
    Credential,
    /// `key_provider`
    KeyProvider,
}

impl KeyField {
    /// The field's name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key_file",
            Self::RecoveryKey => "recovery_key",
            Self::Credential => "credential",
            Self::KeyProvider => "key_provider",
        }
    }
}

impl std::fmt::Display for KeyField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
