//! What waits for a person, and what a person has answered that is not kept in the vault. All of it is in memory: a lock
//! ends it, and so does a new start.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrets_local::clock::{Clock, Moment};
use secrets_local::peer::lineage::ProcessKey;
use secrets_proto::approval::{Approval, ApprovalScope, ApprovalState, Effect, GuardedRight};
use secrets_proto::{Timestamp, Uuid};
use tokio::sync::watch;

use crate::client::Client;
use crate::guarded::{self, Subject};
use crate::vault::format::approval_rule::{ApprovalRule, Pattern};

use super::rights::{self, MemoryRule, Verdict};

mod asker;

pub(in crate::vault) use asker::Asked;
use asker::{Asker, Request};

/// The most asks that are open, and the most of one asker.
const MOST: usize = 32;
const OF_AN_ASKER: usize = 4;

/// The most asks that are remembered, settled ones too.
const MOST_KEPT: usize = 256;

/// The most processes that are told apart in one ask.
const PROCESSES: usize = 1_024;

/// How long an ask waits.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long nobody is asked again for what was denied, how long an answer for once is good, and how long it can be seen how
/// an ask was settled.
const COOL_DOWN: Duration = Duration::from_mins(1);

/// How long somebody counts as waiting who has just waited.
const BETWEEN_WAITS: Duration = Duration::from_secs(2);

/// What waits for a person, and what a person has answered.
pub(in crate::vault) struct Approvals {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    asks: Vec<Ask>,
    allowed: Vec<MemoryRule>,
    once: Vec<Once>,
    denied: Vec<Denied>,
    approvers: Vec<Approver>,
}

/// A request that no rule settles.
#[derive(Debug, Clone)]
pub(in crate::vault) struct Ask {
    pub(in crate::vault) id: Uuid,
    pub(in crate::vault) state: ApprovalState,
    pub(in crate::vault) right: GuardedRight,
    /// By id, and by the names that they had.
    pub(in crate::vault) secrets: Vec<(Uuid, Subject)>,
    pub(in crate::vault) client: Client,
    request: Request,
    count: u64,
    processes: Vec<Waiting>,
    created_at: Timestamp,
    begun: Moment,
    settled: Option<Moment>,
}

/// One of the processes of an ask, and what is shown of it alone.
#[derive(Debug, Clone)]
struct Waiting {
    process: ProcessKey,
    pid: i32,
    chain: Vec<String>,
}

/// One request of one process that is allowed.
struct Once {
    id: Uuid,
    process: ProcessKey,
    request: Request,
    until: Moment,
}

/// What was denied, to whom.
struct Denied {
    asker: Asker,
    right: GuardedRight,
    secrets: BTreeSet<Uuid>,
    until: Moment,
}

struct Approver {
    pid: i32,
    waiting: usize,
    last: Moment,
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) enum Answer {
    /// It is allowed, by these rules and answers.
    Allowed(Vec<Uuid>),
    /// A rule has denied it, or else a person within the last minute.
    Denied {
        /// The rule.
        rule: Option<Uuid>,
        /// Which of the secrets.
        secrets: Vec<Uuid>,
    },
    /// A person is asked.
    Asked {
        id: Uuid,
        /// Whether nobody has asked this before.
        is_new: bool,
    },
    /// Too much waits for a person.
    TooMany,
}

/// How an ask is settled.
#[derive(Debug, Clone)]
pub(in crate::vault) struct Settled {
    pub(in crate::vault) effect: Effect,
    pub(in crate::vault) scope: Option<ApprovalScope>,
    pub(in crate::vault) clients: Pattern,
    pub(in crate::vault) seconds: u64,
    /// The process that has answered: a person who answers at the asker's own terminal was shown that one.
    pub(in crate::vault) by: Option<ProcessKey>,
}

impl Approvals {
    /// Nothing waits yet.
    pub(in crate::vault) fn new() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// Its lock is held for moments.
    fn state(&self, now: Moment) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.tend(now) {
            self.changed.send_modify(|changes| *changes += 1);
        }
        state
    }

    fn has_changed(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Told of every change.
    pub(in crate::vault) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether this request is allowed; if nothing says so, a person is asked by an ask with this id, or by the one that there
    /// is.
    pub(in crate::vault) fn ask<'a>(
        &self,
        id: Uuid,
        asked: &Asked<'_>,
        rules: impl Fn(Uuid) -> &'a [Arc<ApprovalRule>],
        now: Moment,
    ) -> Answer {
        let state = self.state(now);
        let ids: Vec<Uuid> = asked.secrets.iter().map(|(id, _)| *id).collect();
        match rights::judge(asked.client, asked.right, &ids, &rules, &state.allowed, now) {
            Verdict::Denied(rule) => {
                let is_of = |secret: &Uuid| rules(*secret).iter().any(|kept| kept.id == rule);
                let secrets = ids.into_iter().filter(is_of).collect();
                return Answer::Denied { rule: Some(rule), secrets };
            }
            Verdict::Allowed(rules) => return Answer::Allowed(rules),
            Verdict::Unsettled => {}
        }
        self.ask_in(state, id, asked, now)
    }

    /// Whether such a request would be allowed now, without asking anybody.
    pub(in crate::vault) fn would_allow<'a>(
        &self,
        client: &Client,
        right: GuardedRight,
        id: Uuid,
        rules: impl Fn(Uuid) -> &'a [Arc<ApprovalRule>],
        now: Moment,
    ) -> bool {
        let state = self.state(now);
        match rights::judge(client, right, &[id], &rules, &state.allowed, now) {
            Verdict::Denied(_) => false,
            Verdict::Allowed(_) => true,
            Verdict::Unsettled => state.once.iter().any(|once| {
                Some(once.process) == client.process
                    && once.request.right == right
                    && once.request.secrets.contains(&id)
            }),
        }
    }

    /// Asks a person about what no rule can settle.
    pub(in crate::vault) fn ask_a_person(&self, id: Uuid, asked: &Asked<'_>, now: Moment) -> Answer {
        self.ask_in(self.state(now), id, asked, now)
    }

    fn ask_in(&self, mut state: MutexGuard<'_, State>, id: Uuid, asked: &Asked<'_>, now: Moment) -> Answer {
        let (asker, request) = (Asker::of(asked.client), Request::of(asked));
        let is_it = |once: &Once| Some(once.process) == asked.client.process && once.request == request;
        if let Some(at) = state.once.iter().position(is_it) {
            return Answer::Allowed(vec![state.once.swap_remove(at).id]);
        }
        let was_denied = |denied: &&Denied| denied.covers(&asker, &request);
        if let Some(denied) = state.denied.iter().find(was_denied) {
            let secrets = denied.secrets.intersection(&request.secrets).copied().collect();
            return Answer::Denied { rule: None, secrets };
        }
        let is_same = |ask: &&mut Ask| ask.is_open() && ask.request == request && ask.takes(asked.client);
        if let Some(ask) = state.asks.iter_mut().find(is_same) {
            ask.count = ask.count.saturating_add(1);
            ask.add_process(asked.client);
            let id = ask.id;
            drop(state);
            self.has_changed();
            return Answer::Asked { id, is_new: false };
        }
        let open = || state.asks.iter().filter(|ask| ask.is_open());
        let of_asker = open().filter(|ask| Asker::of(&ask.client).is(&asker)).count();
        if open().count() >= MOST || of_asker >= OF_AN_ASKER {
            return Answer::TooMany;
        }
        if state.asks.len() >= MOST_KEPT {
            state.asks.retain(Ask::is_open);
        }
        let mut ask = Ask {
            id,
            state: ApprovalState::Pending,
            right: asked.right,
            secrets: asked.secrets.to_vec(),
            client: asked.client.clone(),
            request,
            count: 1,
            processes: Vec::new(),
            created_at: Timestamp::now(),
            begun: now,
            settled: None,
        };
        ask.add_process(asked.client);
        state.asks.push(ask);
        drop(state);
        self.has_changed();
        Answer::Asked { id, is_new: true }
    }

    /// The ask with this id, as long as it is known.
    pub(in crate::vault) fn find(&self, id: Uuid, now: Moment) -> Option<Ask> {
        self.state(now).asks.iter().find(|ask| ask.id == id).cloned()
    }

    /// What is told of an ask: to a process that has asked it itself, of that process; to others, of the first.
    pub(in crate::vault) fn to_wire(&self, ask: &Ask, to: Option<ProcessKey>, now: Moment) -> Approval {
        ask.to_wire(to, self.state(now).waiting(now))
    }

    /// The asks that are open, the oldest first, and how many wait to answer them.
    pub(in crate::vault) fn open(&self, now: Moment) -> (Vec<Approval>, usize) {
        let state = self.state(now);
        let approvers = state.waiting(now);
        let asks = state.asks.iter().filter(|ask| ask.is_open());
        (asks.map(|ask| ask.to_wire(None, approvers)).collect(), approvers)
    }

    /// How long until the next ask goes without an answer.
    pub(in crate::vault) fn next_end(&self, now: Moment) -> Option<Duration> {
        let state = self.state(now);
        state.asks.iter().filter(|ask| ask.is_open()).map(|ask| (ask.begun + PATIENCE).since(now)).min()
    }

    /// Settles an open ask, and every other that is settled by that too. `false` if it is not open any more.
    pub(in crate::vault) fn settle<'a>(
        &self,
        id: Uuid,
        settled: &Settled,
        rules: impl Fn(Uuid) -> &'a [Arc<ApprovalRule>] + Copy,
        now: Moment,
    ) -> bool {
        let mut state = self.state(now);
        let is_it = |ask: &&mut Ask| ask.id == id && ask.is_open();
        let Some(ask) = state.asks.iter_mut().find(is_it) else { return false };
        ask.settled = Some(now);
        ask.state = match settled.effect {
            Effect::Allow => ApprovalState::Allowed,
            Effect::Deny => ApprovalState::Denied,
        };
        let ask = ask.clone();
        match (settled.effect, settled.scope) {
            (Effect::Deny, _) => state.denied.push(Denied {
                asker: Asker::of(&ask.client),
                right: ask.right,
                secrets: ask.request.secrets.clone(),
                until: now + COOL_DOWN,
            }),
            (Effect::Allow, Some(ApprovalScope::Once)) => {
                // That one alone which a person was shown. Others that ask the same are asked for by themselves.
                let once = ask.shown(settled.by).map(|waiting| Once {
                    id,
                    process: waiting.process,
                    request: ask.request.clone(),
                    until: now + COOL_DOWN,
                });
                state.once.extend(once);
            }
            (Effect::Allow, Some(scope @ (ApprovalScope::Session | ApprovalScope::Time))) => {
                let is_session = scope == ApprovalScope::Session;
                let session = ask.client.session_key().filter(|_| is_session).cloned();
                let until = (!is_session).then(|| now + Duration::from_secs(settled.seconds));
                let allowed = ask.secrets.iter().map(|(secret, _)| MemoryRule {
                    id,
                    secret: *secret,
                    right: ask.right,
                    clients: settled.clients.clone(),
                    session: session.clone(),
                    until,
                });
                state.allowed.extend(allowed.collect::<Vec<_>>());
            }
            // It is in the vault.
            (Effect::Allow, Some(ApprovalScope::Always | ApprovalScope::Never) | None) => {}
        }
        state.settle_others(rules, now);
        drop(state);
        self.has_changed();
        true
    }

    /// Settles the open asks that rules settle now, after one was made.
    pub(in crate::vault) fn settle_by_rules<'a>(
        &self,
        rules: impl Fn(Uuid) -> &'a [Arc<ApprovalRule>] + Copy,
        now: Moment,
    ) {
        self.state(now).settle_others(rules, now);
        self.has_changed();
    }

    /// The vault was opened: the client that asked for that has it.
    pub(in crate::vault) fn opened(&self, now: Moment) {
        let mut state = self.state(now);
        for ask in state.asks.iter_mut().filter(|ask| ask.is_open() && ask.right == GuardedRight::Unlock) {
            (ask.state, ask.settled) = (ApprovalState::Allowed, Some(now));
        }
        drop(state);
        self.has_changed();
    }

    /// Forgets everything, but who waits: the vault is locked.
    pub(in crate::vault) fn forget(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let approvers = std::mem::take(&mut state.approvers);
        *state = State { approvers, ..State::default() };
        drop(state);
        self.has_changed();
    }

    /// Forgets what was allowed of a secret that is gone.
    pub(in crate::vault) fn forget_secret(&self, secret: Uuid) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.allowed.retain(|rule| rule.secret != secret);
        state.once.retain(|once| !once.request.secrets.contains(&secret));
    }

    /// Counts this process among those who wait to answer asks, until what is returned is dropped.
    pub(in crate::vault) fn waits<'a>(&'a self, pid: i32, clock: &'a Clock) -> Waits<'a> {
        let now = clock.now();
        let mut state = self.state(now);
        match state.approvers.iter_mut().find(|approver| approver.pid == pid) {
            Some(approver) => approver.waiting += 1,
            None => state.approvers.push(Approver { pid, waiting: 1, last: now }),
        }
        Waits { approvals: self, pid, clock }
    }
}

/// Somebody waits to answer asks, until it is dropped.
pub(in crate::vault) struct Waits<'a> {
    approvals: &'a Approvals,
    pid: i32,
    clock: &'a Clock,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let now = self.clock.now();
        let mut state = self.approvals.state(now);
        if let Some(approver) = state.approvers.iter_mut().find(|approver| approver.pid == self.pid) {
            (approver.waiting, approver.last) = (approver.waiting.saturating_sub(1), now);
        }
    }
}

impl State {
    /// Ends what is over by now. Says whether an ask was.
    fn tend(&mut self, now: Moment) -> bool {
        let mut has_ended = false;
        for ask in self.asks.iter_mut().filter(|ask| ask.is_open() && ask.begun + PATIENCE <= now) {
            (ask.state, ask.settled, has_ended) = (ApprovalState::Expired, Some(now), true);
        }
        self.asks.retain(|ask| ask.settled.is_none_or(|settled| now < settled + COOL_DOWN));
        self.allowed.retain(|rule| rule.until.is_none_or(|until| now < until));
        self.once.retain(|once| now < once.until);
        self.denied.retain(|denied| now < denied.until);
        self.approvers.retain(|approver| approver.counts(now));
        has_ended
    }

    fn waiting(&self, now: Moment) -> usize {
        self.approvers.iter().filter(|approver| approver.counts(now)).count()
    }

    fn settle_others<'a>(&mut self, rules: impl Fn(Uuid) -> &'a [Arc<ApprovalRule>] + Copy, now: Moment) {
        let Self { asks, allowed, .. } = self;
        for ask in asks.iter_mut().filter(|ask| ask.is_open() && !ask.secrets.is_empty()) {
            let ids: Vec<Uuid> = ask.secrets.iter().map(|(id, _)| *id).collect();
            let state = match rights::judge(&ask.client, ask.right, &ids, rules, allowed, now) {
                Verdict::Allowed(_) => ApprovalState::Allowed,
                Verdict::Denied(_) => ApprovalState::Denied,
                Verdict::Unsettled => continue,
            };
            (ask.state, ask.settled) = (state, Some(now));
        }
    }
}

impl Denied {
    /// Whether this was denied: all of it or a part, or nobody would have peace.
    fn covers(&self, asker: &Asker, request: &Request) -> bool {
        self.right == request.right
            && (self.secrets == request.secrets || !self.secrets.is_disjoint(&request.secrets))
            && self.asker.is(asker)
    }
}

impl Approver {
    fn counts(&self, now: Moment) -> bool {
        self.waiting > 0 || now < self.last + BETWEEN_WAITS
    }
}

impl Ask {
    fn is_open(&self) -> bool {
        self.state == ApprovalState::Pending
    }

    /// Whether an equal request of this client is this ask: one of the very same process, or of another in the same
    /// session. What cannot be seen at all is its token alone, and no answer to it is about a process.
    fn takes(&self, client: &Client) -> bool {
        let is_in = |process| self.processes.iter().any(|waiting| waiting.process == process);
        client.session.is_some() || client.process.map_or(self.processes.is_empty(), is_in)
    }

    /// The process that is shown to people: its own if it has asked this itself, else the first that did.
    fn shown(&self, to: Option<ProcessKey>) -> Option<&Waiting> {
        let own = self.processes.iter().find(|waiting| Some(waiting.process) == to);
        own.or_else(|| self.processes.first())
    }

    fn add_process(&mut self, client: &Client) {
        if let Some(process) = client.process
            && self.processes.len() < PROCESSES
            && self.processes.iter().all(|waiting| waiting.process != process)
        {
            self.processes.push(Waiting { process, pid: client.pid, chain: client.chain.clone() });
        }
    }

    fn to_wire(&self, to: Option<ProcessKey>, approvers: usize) -> Approval {
        let mut client = self.client.to_wire();
        if let Some(shown) = self.shown(to) {
            (client.pid, client.chain) = (shown.pid, shown.chain.clone());
        }
        let expires_at =
            self.created_at.saturating_add_seconds(i64::try_from(PATIENCE.as_secs()).unwrap_or(0));
        let (secrets, items) = guarded::split(self.secrets.iter().map(|(_, subject)| subject.clone()));
        let offers =
            if self.right == GuardedRight::Unlock { Vec::new() } else { rights::scopes(&self.client) };
        Approval {
            id: self.id,
            state: self.state,
            created_at: self.created_at,
            expires_at,
            count: self.count,
            processes: self.processes.len(),
            approvers,
            right: self.right,
            secrets,
            items,
            purpose: self.request.purpose.clone(),
            reason: self.request.reason.clone(),
            client,
            offers,
        }
    }
}

#[cfg(test)]
mod tests;
