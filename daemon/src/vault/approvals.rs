//! The facade's operations on guards, and on what waits for a person. Whether a request needs one is asked in its
//! transaction (`writer/batch/approvals`); here a person looks at the asks and answers them.

use std::sync::Arc;
use std::time::Duration;

use secrets_proto::approval::{
    Approval, ApprovalList, ApprovalScope, ApprovalState, Effect, Guard, GuardedRight, Narrowing,
};
use secrets_proto::audit::AuditAction;
use secrets_proto::reveal::Remark;
use secrets_proto::vault::{KeyInfo, KeyKind};
use secrets_proto::{FieldErrorType, Invalid, Timestamp, UnitName, Uuid};
use tokio::time::{Instant, timeout};

use crate::audit::Event;
use crate::caller::{Caller, Scope};
use crate::crypto;
use crate::guarded;

use super::format::approval_rule::{Meta, Pattern};
use super::writer::approvals::{Answer, Ask, Asked, Settled};
use super::writer::rights;
use super::writer::shared::Published;
use super::{Error, Key, Vault};

/// How a person answers an ask.
#[derive(Debug)]
pub(crate) struct AnswerTo {
    /// Whether it is allowed.
    pub(crate) effect: Effect,
    /// For how long.
    pub(crate) scope: Option<ApprovalScope>,
    /// For how many seconds, if that is for a time.
    pub(crate) seconds: u64,
    /// What narrows the pattern that is offered.
    pub(crate) narrowing: Narrowing,
    /// What shows that it is the owner.
    pub(crate) proof: Option<Key>,
}

impl Vault {
    /// Turns a guard on, or off with a proof. Scope `admin`, on all names.
    pub(crate) async fn set_guard(
        &self,
        caller: &Caller,
        id: Uuid,
        guarded: bool,
        proof: Option<Key>,
    ) -> Result<Guard, Error> {
        let action = if guarded { AuditAction::Guard } else { AuditAction::Unguard };
        self.check_whole(caller, action)?;
        let is_guarded = self.shared.read().view()?.catalog.of(caller).by_id(id).map(|old| old.meta.guarded);
        let is_guarded = is_guarded.ok_or(Error::NotFound)?;
        let caller =
            if is_guarded && !guarded { self.prove(caller, proof, action).await? } else { caller.clone() };
        let weakened_by = self.guards_weakened_by(&caller, guarded).await?;
        let record = self.write(&caller, move |batch, caller| batch.set_guard(caller, id, guarded)).await?;
        let published = self.shared.read();
        let grants = published.view()?.catalog.grants().filter(|grant| grant.covers(&record.meta.name));
        let units: Vec<UnitName> = grants.map(|grant| grant.meta.unit.clone()).collect();
        let machines = published.view()?.catalog.fleet.as_ref().map(|fleet| fleet.names_of_others());
        let machines = machines.unwrap_or_default();
        Ok(Guard { guarded: record.meta.guarded, weakened_by, units, machines })
    }

    /// What else opens the vault than a person's own key. To guard something there must be a passphrase.
    pub(super) async fn guards_weakened_by(
        &self,
        caller: &Caller,
        guarded: bool,
    ) -> Result<Vec<KeyKind>, Error> {
        let keys: Vec<KeyInfo> = self.read(caller, |reading| reading.key_slots()).await?;
        if guarded && keys.iter().all(|key| key.kind != KeyKind::Passphrase) {
            return Err(Error::NoPassphrase);
        }
        let mut weakened_by: Vec<KeyKind> = Vec::new();
        for key in keys {
            let is_proof = matches!(key.kind, KeyKind::Passphrase | KeyKind::Recovery);
            if !is_proof && !weakened_by.contains(&key.kind) {
                weakened_by.push(key.kind);
            }
        }
        Ok(weakened_by)
    }

    /// The asks that are open, and how many wait to answer them. With `wait`, the caller is one of these, and is answered as
    /// soon as something has changed `after` that state; without, after the one now. Scope `admin`, on all names.
    pub(crate) async fn approvals(
        &self,
        caller: &Caller,
        wait: Duration,
        after: Option<u64>,
    ) -> Result<ApprovalList, Error> {
        self.check_whole(caller, AuditAction::Approve)?;
        self.check_made()?;
        let (approvals, clock) = (&self.shared.approvals, &self.shared.clock);
        let mut changes = approvals.changes();
        if !wait.is_zero() {
            let _waits = approvals.waits(caller.pid(), clock);
            let before = after.unwrap_or(*changes.borrow());
            let deadline = Instant::now() + wait;
            while *changes.borrow_and_update() == before {
                let left = deadline.saturating_duration_since(Instant::now());
                let next = approvals.next_end(clock.now()).map_or(left, |end| end.min(left));
                if left.is_zero() {
                    break;
                }
                // Either something has changed, or it is time to look.
                let _ = timeout(next.max(Duration::from_millis(1)), changes.changed()).await;
            }
            self.check_whole(caller, AuditAction::Approve)?;
        }
        let changes = *changes.borrow();
        let (asks, approvers) = approvals.open(clock.now());
        Ok(ApprovalList { approvals: asks, approvers, changes })
    }

    /// One ask, for the token that has asked it, or with scope `admin` on all names. With `wait`, as soon as it is settled.
    pub(crate) async fn approval(
        &self,
        caller: &Caller,
        id: Uuid,
        wait: Duration,
    ) -> Result<Approval, Error> {
        self.check_token(caller, AuditAction::Ask)?;
        self.check_made()?;
        let (approvals, clock) = (&self.shared.approvals, &self.shared.clock);
        let mut changes = approvals.changes();
        let deadline = Instant::now() + wait;
        loop {
            changes.borrow_and_update();
            let ask = approvals.find(id, clock.now()).filter(|ask| may_see(caller, ask));
            let Some(ask) = ask else {
                // A lock ends them all, and that is what is to be told.
                self.shared.read().view()?;
                return Err(Error::NotFound);
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if ask.state != ApprovalState::Pending || left.is_zero() {
                return Ok(approvals.to_wire(&ask, caller.client().process, clock.now()));
            }
            let next = approvals.next_end(clock.now()).map_or(left, |end| end.min(left));
            let _ = timeout(next.max(Duration::from_millis(1)), changes.changed()).await;
            self.check_token(caller, AuditAction::Ask)?;
        }
    }

    /// Asks those who answer asks to open the vault. Scope `admin` or `items`.
    pub(crate) fn ask_unlock(&self, caller: &Caller) -> Result<Approval, Error> {
        self.check_either(caller, AuditAction::Ask)?;
        self.check_made()?;
        if matches!(*self.shared.read(), Published::Unlocked(_)) {
            return Err(Error::AlreadyOpen);
        }
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let client = caller.client();
        let asked =
            Asked { client: &client, right: GuardedRight::Unlock, secrets: &[], purpose: None, reason: None };
        let now = self.shared.clock.now();
        match self.shared.approvals.ask_a_person(id, &asked, now) {
            Answer::Asked { id, .. } => {
                let ask = self.shared.approvals.find(id, now).ok_or(Error::NotFound)?;
                Ok(self.shared.approvals.to_wire(&ask, client.process, now))
            }
            Answer::TooMany => Err(Error::TooManyAsks),
            Answer::Denied { rule, .. } => {
                Err(Error::ApprovalDenied { names: Vec::new(), by_rule: rule.is_some() })
            }
            Answer::Allowed(_) => Err(Error::Internal("nobody was asked to open the vault")),
        }
    }

    /// Answers an ask. To allow takes a proof, to deny takes none. Scope `admin`, on all names, and not the token that has
    /// asked.
    pub(crate) async fn decide(
        &self,
        caller: &Caller,
        id: Uuid,
        answer: AnswerTo,
    ) -> Result<Approval, Error> {
        let action = match answer.effect {
            Effect::Allow => AuditAction::Approve,
            Effect::Deny => AuditAction::Deny,
        };
        self.check_whole(caller, action)?;
        let (approvals, clock) = (&self.shared.approvals, &self.shared.clock);
        let ask = approvals.find(id, clock.now());
        let Some(ask) = ask else {
            self.shared.read().view()?;
            return Err(Error::NotFound);
        };
        self.note_refusal(caller, action, self.check_other(caller, &ask))?;
        if ask.state != ApprovalState::Pending {
            return Err(Error::Settled);
        }
        let AnswerTo { effect, scope, seconds, narrowing, proof } = answer;
        let by = caller.client().process;
        let clients = clients_of(&ask, effect, scope, &narrowing)?;
        if ask.right == GuardedRight::Unlock {
            if effect == Effect::Deny {
                let settled = Settled { effect, scope: None, clients, seconds, by };
                approvals.settle(id, &settled, |_| &[], clock.now());
            }
            let ask = approvals.find(id, clock.now()).ok_or(Error::NotFound)?;
            return Ok(approvals.to_wire(&ask, by, clock.now()));
        }
        let caller = match effect {
            Effect::Allow => self.prove(caller, proof, action).await?,
            Effect::Deny => caller.clone(),
        };
        let settled = Settled { effect, scope, clients, seconds, by };
        let (shared, asked, wanted) = (Arc::clone(&self.shared), ask.clone(), settled.clone());
        self.write(&caller, move |batch, caller| {
            // Somebody else may have answered it while the proof was checked.
            let open = shared.approvals.find(id, shared.clock.now());
            if open.is_none_or(|ask| ask.state != ApprovalState::Pending) {
                return Err(Error::Settled);
            }
            let mut about = vec![id];
            if let Some(ApprovalScope::Always | ApprovalScope::Never) = wanted.scope {
                for (secret, subject) in &asked.secrets {
                    let meta = Meta {
                        secret: *secret,
                        effect,
                        rights: vec![asked.right],
                        clients: wanted.clients.clone(),
                        created_at: Timestamp::now(),
                    };
                    about.push(batch.add_approval_rule(caller, meta, subject)?.id);
                }
            }
            let subjects = asked.secrets.iter().map(|(_, subject)| subject.clone());
            let (names, items) = guarded::split(subjects);
            let reason = Remark::parse(&told_of(&asked, &wanted)).ok();
            batch.audit(caller, Event { approvals: about, items, reason, ..Event::done(action, names) })
        })
        .await?;
        // Only what is in the audit log holds.
        let published = self.shared.read();
        let catalog = &published.view()?.catalog;
        if !approvals.settle(id, &settled, |secret| catalog.approval_rules_of(secret), clock.now()) {
            return Err(Error::Settled);
        }
        // An item may be open to somebody from now on.
        self.shared.items_changed();
        let ask = approvals.find(id, clock.now()).ok_or(Error::NotFound)?;
        Ok(approvals.to_wire(&ask, by, clock.now()))
    }

    /// Ends the waiting for answers and changes: the daemon ends. Scope `admin`.
    pub(crate) fn end_waiting(&self, caller: &Caller) -> Result<(), Error> {
        self.check(caller, Scope::Admin, AuditAction::Lock)?;
        self.shared.approvals.forget();
        self.shared.items_changed();
        Ok(())
    }

    /// Whether there is a vault, open or not.
    fn check_made(&self) -> Result<(), Error> {
        match *self.shared.read() {
            Published::Uninitialized => Err(Error::Uninitialized),
            Published::Locked | Published::Unlocked(_) => Ok(()),
        }
    }

    /// Whether somebody else has asked this, and not the caller or what was made with its token. The owner may answer all.
    fn check_other(&self, caller: &Caller, ask: &Ask) -> Result<(), Error> {
        let Some(rights) = caller.rights() else { return Ok(()) };
        let published = self.shared.read();
        let tokens = &published.view()?.catalog.tokens;
        let is_own = ask
            .client
            .token
            .is_some_and(|token| token == rights.id || tokens.descendants(rights.id).contains(&token));
        if is_own { Err(Error::OwnAsk) } else { Ok(()) }
    }
}

/// Whether this caller may know of the ask.
fn may_see(caller: &Caller, ask: &Ask) -> bool {
    let is_own = ask.client.token == caller.token_id();
    is_own || caller.may(Scope::Admin) && caller.sees_all()
}

/// The clients that are meant by an answer, if there can be such an answer.
fn clients_of(
    ask: &Ask,
    effect: Effect,
    scope: Option<ApprovalScope>,
    narrowing: &Narrowing,
) -> Result<Pattern, Error> {
    let unfit =
        |field, message| Err(Error::UnfitAnswer(field, Invalid::new(FieldErrorType::ValueError, message)));
    if ask.right == GuardedRight::Unlock {
        return match effect {
            Effect::Deny if scope.is_none() => Ok(Pattern::default()),
            Effect::Deny => unfit("scope", "to open the vault is denied this once; leave the scope out"),
            Effect::Allow => unfit("decision", "unlock the vault instead, with: secretctl unlock"),
        };
    }
    let pattern = match (effect, scope) {
        (Effect::Allow, Some(ApprovalScope::Never)) => {
            return unfit("scope", "to allow has one of the scopes once, session, time and always");
        }
        (Effect::Allow, None) => {
            return Err(Error::UnfitAnswer(
                "scope",
                Invalid::new(FieldErrorType::Missing, "this field is required"),
            ));
        }
        (Effect::Allow, Some(_)) => rights::offered(&ask.client),
        (Effect::Deny, None | Some(ApprovalScope::Never)) => rights::denied(&ask.client),
        (Effect::Deny, Some(_)) => {
            return unfit("scope", "to deny has the scope never, or none for this ask and a minute");
        }
    };
    let Some(pattern) = rights::narrowed(&pattern, narrowing, &ask.client) else {
        return unfit("client", "this is not true of who asks, or would widen what is offered");
    };
    let offers = rights::scopes(&ask.client);
    let fits = match scope {
        None => true,
        // What is narrowed further may be enough where what is offered is not.
        Some(ApprovalScope::Time | ApprovalScope::Always) => rights::may_be_allowed(&pattern),
        Some(scope) => offers.contains(&scope),
    };
    if fits {
        return Ok(pattern);
    }
    unfit(
        "scope",
        "this cannot be told apart from other programs for so long; choose a scope that is offered, or narrow it",
    )
}

/// What the audit log says of an answer.
fn told_of(ask: &Ask, settled: &Settled) -> String {
    let scope = settled.scope.map_or("this once", ApprovalScope::as_str);
    let Pattern { unit, program, script, directory, command, .. } = &settled.clients;
    let facts = [
        ("unit", unit),
        ("program", program),
        ("script", script),
        ("command", command),
        ("directory", directory),
    ];
    let mut text = format!("{} {scope}, token {}", ask.right, ask.client.token_name);
    for (name, fact) in facts {
        if let Some(fact) = fact {
            text.push_str(&format!(", {name} {fact}"));
        }
    }
    // A remark's length.
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at > 990).unwrap_or(text.len());
    text.truncate(end);
    text
}
