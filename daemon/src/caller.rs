//! Who asks. Every vault operation takes a [`Caller`], so that none can forget to check; only `auth`
//! makes one from a request.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use secrets_proto::audit::AuditCaller;
use secrets_proto::{Glob, SecretName};

use crate::peer::{Facts, Process};

/// The process at the other end of a connection, as the kernel named it when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its user: the gate.
    pub(crate) uid: u32,
    /// Its process id: for the audit log only, since it can be reused after the peer died.
    pub(crate) pid: i32,
}

/// A right that a token carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Read metadata.
    List,
    /// Store, change and delete.
    Write,
    /// Receive values.
    Reveal,
    /// Manage the vault, its keys and tokens.
    Admin,
}

impl Scope {
    /// The scope's name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Write => "write",
            Self::Reveal => "reveal",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::List => 1,
            Self::Write => 2,
            Self::Reveal => 4,
            Self::Admin => 8,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scopes(u8);

impl Scopes {
    /// No right.
    const NONE: Self = Self(0);
    /// Every right.
    pub(crate) const ALL: Self = Self(15);

    /// Whether the set holds this right.
    pub(crate) const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

/// An authenticated caller with its rights.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    peer: Peer,
    /// The peer as the audit log describes it; none for the daemon itself.
    process: Option<Arc<Process>>,
    /// The token's name; the owner's costs no allocation.
    token: Cow<'static, str>,
    scopes: Scopes,
    /// The names it may see; `None` is all of them.
    names: Option<Vec<Glob>>,
}

impl Caller {
    /// The holder of the owner token.
    pub(crate) fn owner(peer: Peer) -> Self {
        Self { peer, process: None, token: Cow::Borrowed("owner"), scopes: Scopes::ALL, names: None }
    }

    /// The daemon itself, acting on a signal or a timer.
    pub(crate) fn daemon(why: &'static str) -> Self {
        let peer = Peer {
            uid: rustix::process::geteuid().as_raw(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
        };
        Self { peer, process: None, token: Cow::Borrowed(why), scopes: Scopes::ALL, names: None }
    }

    /// Somebody without a token that is known: may do nothing, and can be written about.
    pub(crate) fn stranger(peer: Peer) -> Self {
        Self { peer, process: None, token: Cow::Borrowed(""), scopes: Scopes::NONE, names: Some(Vec::new()) }
    }

    /// The same caller, being this process.
    pub(crate) fn being(self, process: &Arc<Process>) -> Self {
        Self { process: Some(Arc::clone(process)), ..self }
    }

    /// The same caller, with what the audit log says of its process read by now: later it may have ended.
    pub(crate) fn witnessed(&self) -> Self {
        if let Some(process) = &self.process {
            process.facts();
        }
        self.clone()
    }

    /// Whether it has this right.
    pub(crate) const fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Whether a secret of this name exists as far as this caller can tell.
    pub(crate) fn sees(&self, name: &SecretName) -> bool {
        self.names
            .as_ref()
            .is_none_or(|globs| globs.iter().any(|glob| fast_glob::glob_match(glob.as_str(), name.as_str())))
    }

    /// Whether it sees every name, so that an answer for all callers serves it too.
    pub(crate) const fn sees_all(&self) -> bool {
        self.names.is_none()
    }

    /// What the audit log keeps of it.
    pub(crate) fn for_audit(&self) -> AuditCaller {
        let facts = self.process.as_deref().map(Process::facts).cloned();
        let Facts { comm, exe, unit } = facts.unwrap_or_default();
        AuditCaller {
            uid: self.peer.uid,
            pid: self.peer.pid,
            comm,
            exe,
            unit,
            token: self.token.clone().into_owned(),
        }
    }
}
