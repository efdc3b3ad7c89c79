//! Who asks. Every vault operation takes a [`Caller`], so that none can forget to check; only `auth`
//! makes one from a request.

use std::sync::Arc;

use secrets_local::peer::{Facts, Process};
use secrets_proto::audit::AuditCaller;
use secrets_proto::{Glob, Matcher, SecretName, Timestamp, Uuid, token};

pub(crate) use secrets_proto::token::Scope;

use crate::client::{Client, Said};

/// The process at the other end of a connection, as the kernel named it when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The user that the process runs as: the gate.
    pub(crate) uid: u32,
    /// The process id: for the audit log only, since it can be reused after the peer died.
    pub(crate) pid: i32,
}

/// Among whom is divided what there is little of: a token's holders are one, however many processes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum QuotaKey {
    /// A process that has shown no access token.
    Process(i32),
    /// The holder of this access token.
    Token(Uuid),
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scopes(u8);

impl Scopes {
    /// Whether the set holds this right.
    pub(crate) const fn contains(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }

    /// The rights in it, in their order.
    pub(crate) fn to_vec(self) -> Vec<Scope> {
        Scope::ALL.into_iter().filter(|scope| self.contains(*scope)).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | bit(scope)))
    }
}

const fn bit(scope: Scope) -> u8 {
    match scope {
        Scope::List => 1,
        Scope::Write => 2,
        Scope::Reveal => 4,
        Scope::Admin => 8,
        Scope::Use => 16,
        Scope::Items => 32,
    }
}

/// What an access token gives to who holds it.
#[derive(Debug)]
pub(crate) struct TokenRights {
    /// The token's id.
    pub(crate) id: Uuid,
    /// The token's name.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) scopes: Scopes,
    /// The names it may see; `None` is all of them.
    pub(crate) names: Option<Names>,
    /// When it ends; `None` is never.
    pub(crate) expires_at: Option<Timestamp>,
    /// How many requests a minute it may make; `None` is any number.
    pub(crate) rate_per_minute: Option<u64>,
}

impl TokenRights {
    /// Whether a secret of this name exists as far as who holds the token can tell.
    pub(crate) fn sees(&self, name: &SecretName) -> bool {
        self.names.as_ref().is_none_or(|names| names.matchers.iter().any(|matcher| matcher.matches(name)))
    }
}

/// The names that a token sees. They are held against every name there is, so what that takes is made once.
#[derive(Debug)]
pub(crate) struct Names {
    matchers: Vec<Matcher>,
}

impl Names {
    /// The names that one of the globs matches.
    pub(crate) fn new(globs: &[Glob]) -> Self {
        Self { matchers: globs.iter().map(Glob::matcher).collect() }
    }
}

/// An authenticated caller with its rights.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    peer: Peer,
    /// The peer as the audit log describes it; none for the daemon itself.
    process: Option<Arc<Process>>,
    /// What was known of the peer when it asked.
    facts: Option<Arc<Facts>>,
    holder: Holder,
    /// What it says of itself, for approvals.
    said: Option<Arc<Said>>,
    /// Whether a person has shown that it is the owner who asks, by the passphrase or the recovery key.
    is_proven: bool,
}

/// What a caller has shown.
#[derive(Debug, Clone)]
enum Holder {
    /// The owner or the daemon itself, under this name in the audit log: all rights, and no allocation.
    Master(&'static str),
    /// An access token.
    Token(Arc<TokenRights>),
    /// What serves the Secret Service: it has the scope `items`, also of a vault that is locked.
    Items,
    /// A service manager that starts a unit: it may receive the one value that the unit asks for.
    Unit(Option<SecretName>),
    /// The holder of nothing that is known: no right.
    Stranger,
}

/// The owner's name in the audit log.
const OWNER: &str = "owner";

/// What the items token is called in the audit log.
const ITEMS: &str = token::ITEMS_NAME;

/// What the items token is known by where access tokens have their ids, in approval rules above all. No access token has
/// it: theirs are random, and say so.
pub(crate) const ITEMS_TOKEN: Uuid = Uuid::from_u128(1);

impl Caller {
    const fn with(peer: Peer, process: Option<Arc<Process>>, holder: Holder) -> Self {
        Self { peer, process, facts: None, holder, said: None, is_proven: false }
    }

    /// The holder of the owner token.
    pub(crate) const fn owner(peer: Peer) -> Self {
        Self::with(peer, None, Holder::Master(OWNER))
    }

    /// The holder of an access token.
    pub(crate) const fn holding(peer: Peer, rights: Arc<TokenRights>) -> Self {
        Self::with(peer, None, Holder::Token(rights))
    }

    /// The holder of the items token.
    pub(crate) const fn items(peer: Peer) -> Self {
        Self::with(peer, None, Holder::Items)
    }

    /// A service manager that starts a unit: may have this one value, if the unit was granted it.
    pub(crate) fn unit(peer: Peer, process: &Arc<Process>, name: Option<&SecretName>) -> Self {
        Self::with(peer, Some(Arc::clone(process)), Holder::Unit(name.cloned()))
    }

    /// The daemon itself, acting on a signal or a timer.
    pub(crate) fn daemon(why: &'static str) -> Self {
        let peer = Peer {
            uid: rustix::process::geteuid().as_raw(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
        };
        Self::with(peer, None, Holder::Master(why))
    }

    /// Somebody without a token that is known: may do nothing, and can be written about.
    pub(crate) const fn stranger(peer: Peer) -> Self {
        Self::with(peer, None, Holder::Stranger)
    }

    /// Says which process the caller is, for the audit log, and returns the caller.
    pub(crate) fn being(self, process: &Arc<Process>) -> Self {
        Self { process: Some(Arc::clone(process)), ..self }
    }

    /// Reads the peer's `/proc` facts now, while the process is alive, and returns the caller with them.
    pub(crate) fn witnessed(&self) -> Self {
        Self { facts: self.process.as_deref().map(Process::facts), ..self.clone() }
    }

    /// Notes what the caller says of itself, and returns the caller.
    pub(crate) fn saying(self, said: Said) -> Self {
        Self { said: Some(Arc::new(said)), ..self }
    }

    /// The caller after a person has shown to be the owner.
    pub(crate) fn proven(&self) -> Self {
        Self { is_proven: true, ..self.clone() }
    }

    /// Whether a person has shown to be the owner, for this one request.
    pub(crate) const fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether it is the daemon itself, which asks nobody.
    pub(crate) fn is_daemon(&self) -> bool {
        matches!(&self.holder, Holder::Master(name) if *name != OWNER)
    }

    /// What it runs for now. It is asked for only when a guarded secret is concerned.
    pub(crate) fn client(&self) -> Client {
        let token = self.token_id();
        if matches!(self.holder, Holder::Items) {
            // Whom it speaks for is what counts, and not what it is itself.
            return Client::attested(token, self.token_name().to_owned(), self.said.as_deref());
        }
        let lineage = self.process.as_deref().and_then(Process::lineage);
        let said = self.said.as_deref().map(Said::existing).unwrap_or_default();
        Client::new(token, self.token_name().to_owned(), self.peer.pid, lineage.as_ref(), &said)
    }

    /// Whose share of what there is little of it uses.
    pub(crate) fn quota_key(&self) -> QuotaKey {
        self.rights().map_or(QuotaKey::Process(self.peer.pid), |rights| QuotaKey::Token(rights.id))
    }

    /// Its process, for people and for counting those who wait.
    pub(crate) const fn pid(&self) -> i32 {
        self.peer.pid
    }

    /// The access token it holds, if any.
    pub(crate) fn rights(&self) -> Option<&TokenRights> {
        match &self.holder {
            Holder::Token(rights) => Some(rights),
            Holder::Master(_) | Holder::Items | Holder::Unit(_) | Holder::Stranger => None,
        }
    }

    /// What its token is known by; none is the owner's.
    pub(crate) fn token_id(&self) -> Option<Uuid> {
        match &self.holder {
            Holder::Items => Some(ITEMS_TOKEN),
            Holder::Master(_) | Holder::Token(_) | Holder::Unit(_) | Holder::Stranger => {
                self.rights().map(|rights| rights.id)
            }
        }
    }

    /// Whether it is the owner, or the daemon itself.
    pub(crate) const fn is_master(&self) -> bool {
        matches!(self.holder, Holder::Master(_))
    }

    /// Whether it has this right.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        match &self.holder {
            Holder::Master(_) => true,
            Holder::Token(rights) => rights.scopes.contains(scope),
            Holder::Items => scope == Scope::Items,
            Holder::Unit(_) => scope == Scope::Reveal,
            Holder::Stranger => false,
        }
    }

    /// Whether a secret of this name exists as far as this caller can tell.
    pub(crate) fn sees(&self, name: &SecretName) -> bool {
        match &self.holder {
            Holder::Master(_) => true,
            Holder::Token(rights) => rights.sees(name),
            Holder::Unit(wanted) => wanted.as_ref() == Some(name),
            // Of what has a name it sees nothing.
            Holder::Items | Holder::Stranger => false,
        }
    }

    /// Whether items exist as far as this caller can tell, given the scope.
    pub(crate) fn sees_items(&self) -> bool {
        self.sees_all() || matches!(self.holder, Holder::Items)
    }

    /// Whether it sees every name, so that an answer for all callers serves it too.
    pub(crate) fn sees_all(&self) -> bool {
        match &self.holder {
            Holder::Master(_) => true,
            Holder::Token(rights) => rights.names.is_none(),
            Holder::Items | Holder::Unit(_) | Holder::Stranger => false,
        }
    }

    /// What the audit log keeps of it.
    pub(crate) fn for_audit(&self) -> AuditCaller {
        let attested = match (&self.holder, &self.said) {
            (Holder::Items, Some(said)) => said.sender(),
            _ => None,
        };
        let now = || self.process.as_deref().map(Process::facts);
        let own = || {
            let facts = self.facts.clone().or_else(now).unwrap_or_default();
            (self.peer.pid, Facts::clone(&facts))
        };
        let (pid, Facts { comm, exe, unit }) = attested.unwrap_or_else(own);
        AuditCaller { uid: self.peer.uid, pid, comm, exe, unit, token: self.token_name().to_owned() }
    }

    fn token_name(&self) -> &str {
        match &self.holder {
            Holder::Master(name) => name,
            Holder::Token(rights) => &rights.name,
            Holder::Items => ITEMS,
            Holder::Unit(_) => "credential",
            Holder::Stranger => "",
        }
    }
}
