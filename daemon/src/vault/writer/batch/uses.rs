//! Handing over one value, to be used in one request that its rules allow, inside a batch.

use std::fmt::Display;
use std::time::Instant;

use secrets_local::clock::Moment;
use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::{AuditAction, AuditUse, Refusal};
use secrets_proto::rule::decide::{Refused, Request, Verdict, decide};
use secrets_proto::rule::{Method, RequestPath, Rule, host};
use secrets_proto::session::{TakeReply, TakeRequest};
use secrets_proto::{Timestamp, Uuid};

use crate::audit::{Denial, Event};
use crate::caller::Caller;
use crate::crypto;
use crate::vault::Error;
use crate::vault::format::record::Record;
use crate::vault::format::token::Session;
use crate::vault::writer::leases::{Given, Key};
use crate::vault::writer::uses::{Taken, Uses};

use super::Batch;

impl Batch<'_> {
    /// Opens a value for a request that a rule allows. It may leave only after the commit: the audit entry is part of it,
    /// unless the use is one of a minute that has an entry already.
    pub(in crate::vault) fn take(
        &mut self,
        caller: &Caller,
        request: &TakeRequest,
        rules: fn(&Record) -> Vec<Rule>,
        uses: &Uses,
        now: Moment,
    ) -> Result<TakeReply, Error> {
        let TakeRequest { secret, wanted, site, lease } = request;
        let (id, session) = self.session_of(caller)?;
        let mut event = Event {
            purpose: Some(session.purpose.clone()),
            command: session.command.clone(),
            used: Some(told_of(&wanted.method, &wanted.host, wanted.port, &wanted.path)),
            ..Event::done(AuditAction::Use, vec![secret.clone()])
        };
        // Another secret may have got the name since the session began.
        let record =
            self.catalog.of(caller).by_name(secret).filter(|record| session.secrets.contains(&record.id));
        let Some(record) = record.cloned() else {
            self.refuse(caller, Event { refusal: Some(Refusal::Missing), ..event });
            return Err(Error::NotFound);
        };
        let rules = rules(&record);
        let asked = Request {
            method: &wanted.method,
            host: &wanted.host,
            port: wanted.port,
            path: wanted.path.as_str(),
            site: site.as_ref(),
        };
        let (number, rule) = match decide(&rules, asked) {
            Verdict::Allowed(number, rule) => (number, rule),
            Verdict::Refused(why) => {
                self.refuse(caller, Event { refusal: Some(Refusal::Rule), ..event });
                return Err(Error::NoRule(why));
            }
        };
        // The person who has begun the session was asked for it.
        self.allowed_before(&record, GuardedRight::Use);
        let value = self.open_value(&record)?;
        if !rule.site.can_hold(value.expose()) {
            // It has another value since the session began.
            self.refuse(caller, Event { refusal: Some(Refusal::Rule), ..event });
            return Err(Error::NoRule(Refused::Site));
        }
        if let Some(used) = &mut event.used {
            used.rule = Some(number);
        }
        let key = Key {
            session: id,
            secret: record.id,
            rule: number,
            host: event.used.as_ref().map(|used| used.host.clone()).unwrap_or_default(),
        };
        let entry = Denial::now(caller, event.clone());
        let left = uses.left(&key, now);
        let is_written =
            left.is_none() && !self.done.uses.iter().any(|taken| taken.is_written && taken.key == key);
        let given = match left {
            Some(left) if *lease && uses.may_lease() && self.may_lease(caller) => {
                let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
                Given::new(id, record.version, left, Instant::now())
            }
            _ => None,
        };
        if is_written {
            self.touch(&record)?;
            self.audit(caller, event)?;
        }
        self.done.uses.push(Taken { key, entry, is_written, lease: given });
        let lease = given.map(|given| given.lease);
        Ok(TakeReply { rule: number, site: rule.site.clone(), private: rule.private, value, lease })
    }

    /// Whether the caller's uses need not be asked for one by one: no rate counts them, and its time is not over soon.
    fn may_lease(&self, caller: &Caller) -> bool {
        let Some(rights) = caller.rights() else { return false };
        let own = self.catalog.tokens.by_id(rights.id);
        let mut all = std::iter::successors(own, |token| self.catalog.tokens.by_id(token.made_by()?));
        let soon = Timestamp::now().saturating_add_seconds(2);
        all.all(|token| {
            token.rights.rate_per_minute.is_none() && token.rights.expires_at.is_none_or(|end| end > soon)
        })
    }

    /// The session that the caller holds, by the id of its token.
    pub(super) fn session_of(&self, caller: &Caller) -> Result<(Uuid, Session), Error> {
        let token = caller.rights().and_then(|rights| self.catalog.tokens.by_id(rights.id));
        let session = token.and_then(|token| Some((token.rights.id, token.session()?.clone())));
        session.ok_or(Error::NoSession)
    }
}

/// What the audit log is told of a request.
pub(in crate::vault) fn told_of(
    method: &Method,
    host: &impl Display,
    port: u16,
    path: &RequestPath,
) -> AuditUse {
    let host = if port == host::HTTPS { host.to_string() } else { format!("{host}:{port}") };
    let path = path.as_str();
    AuditUse {
        rule: None,
        host,
        methods: vec![method.to_string()],
        paths: vec![path.get(..AuditUse::MAX_PATH).unwrap_or(path).to_owned()],
    }
}
