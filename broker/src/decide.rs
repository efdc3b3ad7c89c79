//! The one place that asks the daemon: whether a value may go into a request, and for the value. What is refused is told to
//! it, too.

mod leases;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use secrets_client::{Answer, Call, Client, Error, Limits, Method as HttpMethod, TokenSource};
use secrets_proto::rule::decide::{Refused, Request, Verdict, decide};
use secrets_proto::rule::{Host, Method, RequestPath, Rule, Site};
use secrets_proto::session::{
    RefusedRequest, RefusedUse, ReturnedLease, Session, TakeReply, TakeRequest, Use, WhyRefused,
};
use secrets_proto::{ErrorType, SecretName};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep_until, timeout};

use crate::denial::Denial;
use crate::grants::{Granted, Target};

use leases::{Kind, Leases, Next};

/// How long a value may be waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many connections to the daemon ask at a time; they are kept. It lets a process have 16 and turns others away, and the
/// values that it opens together are soon there.
const MOST: usize = 8;

/// What was read from a kept connection lies in its buffer.
const KEPT_FOR: Duration = Duration::from_millis(300);

/// Asks the daemon on behalf of one session.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    uses: Client,
    main: Client,
    session: Arc<str>,
    turns: Arc<Semaphore>,
    seen: Arc<Seen>,
    leases: Arc<Leases>,
    /// Whether the daemon knows no leases: it is an older one, which was not restarted yet.
    is_older: Arc<AtomicBool>,
}

/// What was seen of a session.
#[derive(Debug, Default)]
struct Seen {
    /// How many requests have carried a value.
    uses: AtomicU64,
    /// Told when the daemon does not know the session any more.
    over: Notify,
    /// Whether the vault was locked when it was asked last.
    locked: AtomicBool,
}

/// What the daemon has answered, value and all.
#[derive(Debug, Clone)]
pub(crate) struct Taken(Arc<TakeReply>);

impl Taken {
    /// Whether both are one answer.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Taken {
    type Target = TakeReply;

    fn deref(&self) -> &TakeReply {
        &self.0
    }
}

/// A request that a value may go into, as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    method: Method,
    host: Host,
    port: u16,
    path: RequestPath,
}

impl Asked {
    /// What rules see of a request; `None` if no rule could be for it.
    pub(crate) fn new(method: &str, target: &Target, path: &str) -> Option<Self> {
        let (method, path) = (Method::parse(method).ok()?, RequestPath::parse(path).ok()?);
        Some(Self { method, host: target.name()?.clone(), port: target.port, path })
    }

    fn wanted(&self) -> Use {
        let Self { method, host, port, path } = self.clone();
        Use { method, host, port, path }
    }
}

/// What the audit log is told of a request that is refused.
pub(crate) fn told_of(method: &str, target: &Target, path: &str) -> Option<RefusedRequest> {
    RefusedRequest::new(method, &target.host, target.port, path)
}

/// The rule of the session that allows a request.
pub(crate) fn rule_for<'a>(granted: &'a Granted, asked: &Asked, site: &Site) -> Result<&'a Rule, Denial> {
    let Asked { method, host, port, path } = asked;
    let request = Request { method, host, port: *port, path: path.as_str(), site: Some(site) };
    match decide(&granted.rules, request) {
        Verdict::Allowed(_, rule) => Ok(rule),
        Verdict::Refused(why) => Err(refused(&granted.name, why)),
    }
}

/// Why no rule allows it, and the command that would change that.
fn refused(name: &SecretName, why: Refused) -> Denial {
    let set = format!("secretctl proxy rule set {name} --host HOST");
    let (why, message, rule) = match why {
        Refused::NoRules | Refused::Host => (
            WhyRefused::HostNotAllowed,
            format!("no rule of {name} is for this host; add one with: {set}"),
            None,
        ),
        Refused::Site => (
            WhyRefused::PlaceholderMisplaced,
            format!("no rule of {name} for this host puts the value there; add one with: {set} --site SITE"),
            None,
        ),
        Refused::Method => (
            WhyRefused::RuleMismatch,
            format!("no rule of {name} for this host is for this method; add one with: {set} --method METHOD"),
            None,
        ),
        Refused::Path => (
            WhyRefused::RuleMismatch,
            format!("no rule of {name} for this host is for this path; add one with: {set} --path PATTERN"),
            None,
        ),
        Refused::Excepted(number) => (
            WhyRefused::RuleMismatch,
            format!("this rule excepts the path; set it again without that: {set}"),
            Some(number),
        ),
        Refused::AmbiguousPath(number) => (
            WhyRefused::AmbiguousPath,
            "this rule asks about the path, which can be read in two ways; leave out dot segments, doubled slashes and needless percent-encoding".to_owned(),
            Some(number),
        ),
    };
    Denial::refusal(why, again(why, message)).about(name, rule)
}

/// A new rule does not reach a session that has begun.
fn again(why: WhyRefused, message: String) -> String {
    if why == WhyRefused::AmbiguousPath { message } else { message + ", then start the program again" }
}

impl Daemon {
    /// Asks with a session's token at these sockets.
    pub(crate) fn new(session: &Session, uses: std::path::PathBuf, main: std::path::PathBuf) -> Self {
        let limits = Limits { connect: PATIENCE, answer: PATIENCE, body: 1 << 20 };
        let token = TokenSource::Given(session.token.clone());
        Self {
            uses: Client::new(uses, token.clone(), limits).keeping(MOST),
            main: Client::new(main, token, limits),
            session: session.id.to_string().into(),
            turns: Arc::new(Semaphore::new(MOST)),
            seen: Arc::default(),
            leases: Arc::default(),
            is_older: Arc::default(),
        }
    }

    /// Takes a value for one request. The daemon has matched the rule again, and the use is in its audit log, or it has
    /// lent the value for such requests a moment ago.
    pub(crate) async fn take(&self, name: &SecretName, asked: &Asked, site: &Site) -> Result<Taken, Denial> {
        let taken = self.lent_or_asked(Kind { secret: name, asked, site }).await;
        if taken.is_ok() {
            self.seen.uses.fetch_add(1, Ordering::Relaxed);
        }
        taken.map_err(|error| not_taken(&error).about(name, None))
    }

    async fn lent_or_asked(&self, kind: Kind<'_>) -> Result<Taken, Error> {
        match self.leases.next(kind) {
            Next::Use(taken) => Ok(taken),
            Next::AskForLease(turn) if !self.is_older.load(Ordering::Relaxed) => {
                let _turn = timeout(PATIENCE, turn.lock()).await.map_err(|_| Error::Timeout)?;
                match self.leases.got(kind) {
                    Some(taken) => Ok(taken),
                    None => self.take_with_lease(kind).await,
                }
            }
            Next::Ask | Next::AskForLease(_) => self.take_once(kind, false).await,
        }
    }

    async fn take_once(&self, kind: Kind<'_>, lease: bool) -> Result<Taken, Error> {
        let Kind { secret, asked, site } = kind;
        let (secret, site) = (secret.clone(), Some(site.clone()));
        let request = TakeRequest { secret, wanted: asked.wanted(), site, lease };
        let call = Call::new(HttpMethod::POST, "/use/take").json(&request)?;
        let taken = self.ask(&call).await.and_then(|answer| answer.parse());
        self.note(&taken);
        taken.map(|reply| Taken(Arc::new(reply)))
    }

    async fn take_with_lease(&self, kind: Kind<'_>) -> Result<Taken, Error> {
        // The daemon counts from when it is asked, which is not before this.
        let start = Instant::now();
        let taken = match self.take_once(kind, true).await {
            Err(Error::Refused(body)) if body.kind == ErrorType::ValidationError => {
                self.is_older.store(true, Ordering::Relaxed);
                self.take_once(kind, false).await?
            }
            taken => taken?,
        };
        if let Some(lease) = taken.lease {
            let until = start + Duration::from_millis(lease.milliseconds);
            if let Some(before) = self.leases.keep(kind, taken.clone(), lease, until) {
                tokio::spawn(self.clone().give_back(before));
            }
            let daemon = self.clone();
            tokio::spawn(async move {
                sleep_until(until.into()).await;
                if let Some(over) = daemon.leases.end(lease.id) {
                    daemon.give_back(over).await;
                }
            });
        }
        Ok(taken)
    }

    /// Tells the daemon that a lease is over. If it cannot be told, it counts the most that the lease allowed.
    async fn give_back(self, lease: ReturnedLease) {
        let returned = match Call::new(HttpMethod::POST, "/use/returns").json(&lease) {
            Ok(call) => self.ask(&call).await.map(drop),
            Err(error) => Err(error),
        };
        self.note(&returned);
        if let Err(error) = returned {
            tracing::warn!(%error, "how often a value was used is not known exactly in the audit log");
        }
    }

    /// How many requests have carried a value.
    pub(crate) fn uses(&self) -> u64 {
        self.seen.uses.load(Ordering::Relaxed)
    }

    /// Waits until the daemon has said that the session is over.
    pub(crate) async fn over(&self) {
        self.seen.over.notified().await;
    }

    /// Asks the daemon whether the session is still one; [`Daemon::over`] tells if not.
    pub(crate) async fn ask_whether_over(&self) {
        let outcome = self.main.send(&Call::status()).await;
        self.note(&outcome);
    }

    /// Whether the vault was locked when the daemon was asked last.
    pub(crate) fn was_locked(&self) -> bool {
        self.seen.locked.load(Ordering::Relaxed)
    }

    /// Learns from an answer whether the session is over, and whether the vault is locked.
    fn note<T>(&self, outcome: &Result<T, Error>) {
        let kind = match outcome {
            Ok(_) => None,
            Err(Error::Refused(body)) => Some(body.kind),
            Err(_) => return,
        };
        self.seen.locked.store(kind == Some(ErrorType::VaultLockedError), Ordering::Relaxed);
        if matches!(kind, Some(ErrorType::AuthenticationError | ErrorType::ExpiredTokenError)) {
            self.seen.over.notify_one();
        }
    }

    /// Asks where values are taken, when it is this request's turn.
    async fn ask(&self, call: &Call) -> Result<Answer, Error> {
        let turn = timeout(PATIENCE, self.turns.acquire()).await.map_err(|_| Error::Timeout)?;
        let answer = self.uses.send(call).await;
        drop(turn);
        answer
    }

    /// Tells the daemon of a request that got no value. That it cannot be told changes nothing for the program.
    pub(crate) fn tell(&self, why: WhyRefused, secret: Option<SecretName>, refused: RefusedRequest) {
        let refused = RefusedUse { secret, refused, why };
        let Ok(call) = Call::new(HttpMethod::POST, "/use/refusals").json(&refused) else { return };
        let daemon = self.clone();
        tokio::spawn(async move {
            if let Err(error) = daemon.ask(&call).await {
                tracing::warn!(%error, "a refusal is missing in the audit log");
            }
        });
    }

    /// Ends the session: nothing is taken with its token from now on. Says whether that is so; while the vault is locked,
    /// and while nobody listens, it cannot be.
    pub(crate) async fn end(&self) -> bool {
        for lease in self.leases.end_all() {
            self.clone().give_back(lease).await;
        }
        let call = Call::new(HttpMethod::DELETE, &format!("/use/sessions/{}", self.session));
        match self.main.send(&call).await {
            Ok(_) => true,
            // It has ended already.
            Err(Error::Refused(body)) => body.kind != ErrorType::VaultLockedError,
            Err(_) => false,
        }
    }

    /// Whether somebody listens where values are taken.
    pub(crate) async fn is_there(&self) -> bool {
        self.uses.probe().await.is_ok()
    }

    /// Forgets what was read a moment ago. Says whether something was read since.
    pub(crate) fn forget(&self) -> bool {
        self.uses.close_kept(KEPT_FOR)
    }
}

/// Why the daemon gave no value.
fn not_taken(error: &Error) -> Denial {
    let failure = |kind, item, message| Denial::failure(kind, item, message);
    match error {
        Error::Refused(body) => match body.kind {
            ErrorType::VaultLockedError => failure(
                ErrorType::VaultLockedError,
                "vault_locked",
                "the vault is locked; run: secretctl unlock",
            ),
            ErrorType::AuthenticationError | ErrorType::ExpiredTokenError => failure(
                body.kind,
                "session_ended",
                "the session has ended; start the program again with: secretctl proxy run",
            ),
            ErrorType::RateLimitError => failure(
                ErrorType::RateLimitError,
                "rate_limit",
                "the session's token has used up its requests for this minute; wait",
            )
            .retry_after(Some(60)),
            ErrorType::ForbiddenError => Denial::refusal(
                WhyRefused::RuleMismatch,
                "the daemon has no rule for this request any more; see: secretctl proxy rule show NAME",
            )
            .told_already(),
            ErrorType::NotFoundError => failure(
                ErrorType::ForbiddenError,
                "rule_mismatch",
                "the secret is gone or was renamed; start the program again with: secretctl proxy run",
            ),
            ErrorType::GatewayTimeoutError => too_slow(),
            ErrorType::InvalidRequestError
            | ErrorType::WrongKeyError
            | ErrorType::ApprovalRequiredError
            | ErrorType::ApprovalDeniedError
            | ErrorType::AlreadyExistsError
            | ErrorType::ConflictError
            | ErrorType::ValidationError
            | ErrorType::LimitExceededError
            | ErrorType::UpgradeRequiredError
            | ErrorType::InternalError
            | ErrorType::StorageError
            | ErrorType::VaultCorruptError
            | ErrorType::BadGatewayError => failure(
                ErrorType::BadGatewayError,
                "daemon",
                "the daemon could not write this use to its audit log, so that no value is handed over; see: secretctl doctor",
            ),
        },
        Error::Timeout => too_slow(),
        Error::NotListening(_)
        | Error::TooLong(_)
        | Error::Connect { .. }
        | Error::ForeignServer(..)
        | Error::Token(_)
        | Error::Broken
        | Error::NotUnderstood(_) => failure(
            ErrorType::BadGatewayError,
            "daemon",
            "the daemon cannot be reached, so that no value is handed over; see: secretctl doctor",
        ),
    }
}

fn too_slow() -> Denial {
    Denial::failure(
        ErrorType::GatewayTimeoutError,
        "take",
        "the daemon did not hand the value over in time; try again",
    )
}
