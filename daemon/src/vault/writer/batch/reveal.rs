//! Handing values over, inside a batch: all that were asked for or none, and not before the audit entry.

use std::collections::HashSet;
use std::sync::Arc;

use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::{AuditAction, Refusal};
use secrets_proto::reveal::{RevealReply, RevealRequest, RevealedSecret};
use secrets_proto::secret::Secret;
use secrets_proto::{Selector, Timestamp, Uuid};

use crate::audit::Event;
use crate::caller::Caller;
use crate::vault::Error;
use crate::vault::format::record::Record;
use crate::vault::writer::effort::Effort;

use super::Batch;
use super::approvals::Why;

/// `last_used_at` is kept to this many seconds, so that a busy secret is not written on each reveal.
const LAST_USED_STEP: i64 = 60;

/// The most bytes of values in one answer: they are in memory at once, some of them several times, and the holders of many
/// tokens may ask at once.
const ANSWER: u64 = 64 << 20;
const ANSWER_TO_TOKEN: u64 = 8 << 20;

/// What those ask for who have just stored a value and compare it with what they meant to store,
const CHECK: &str = "import";

/// within so many seconds. That is no use of the value; it is in the audit log all the same.
const CHECK_SECONDS: i64 = 600;

/// What those ask for who look for values where they must not be. That is no use of a value either.
const SCAN: &str = "scan";

impl Batch<'_> {
    /// Opens the values that the request selects. They may leave only after the commit: the audit entry is part of it.
    /// What it refuses, also for its `effort`, it has not touched.
    pub(in crate::vault) fn reveal(
        &mut self,
        caller: &Caller,
        request: RevealRequest,
        mut effort: Effort<'_>,
    ) -> Result<RevealReply, Error> {
        let (records, missing) = self.select(caller, &request.secrets, &mut effort)?;
        let is_check = request.purpose.as_str() == CHECK;
        let is_scan = request.purpose.as_str() == SCAN;
        let mut event = Event {
            purpose: Some(request.purpose),
            command: request.command,
            reason: request.reason,
            directory: request.directory,
            ..Event::done(
                AuditAction::Reveal,
                records.iter().map(|record| record.meta.name.clone()).collect(),
            )
        };
        if !missing.is_empty() {
            event.refusal = Some(Refusal::Missing);
            // First what is missing: a denial has room for some names only.
            let there = std::mem::take(&mut event.names);
            let absent =
                request.secrets.into_iter().enumerate().filter_map(|(at, selector)| match selector {
                    Selector::Name(name) if missing.contains(&at) => Some(name),
                    Selector::Name(_) | Selector::Id(_) | Selector::Glob(_) => None,
                });
            event.names = absent.chain(there).collect();
            self.refuse(caller, event);
            return Err(Error::Missing(missing));
        }
        let most = if caller.is_master() { ANSWER } else { ANSWER_TO_TOKEN };
        if records.iter().map(|record| record.meta.size).sum::<u64>() > most {
            return Err(Error::TooMuchToReveal);
        }
        let why = Why { purpose: event.purpose.as_ref(), reason: event.reason.as_ref() };
        self.approve(caller, GuardedRight::Reveal, AuditAction::Reveal, &records, why)?;
        event.approvals = self.approved_by();
        let secrets = records
            .iter()
            .map(|record| {
                effort.give_way()?;
                let value = self.open_value(record)?;
                let (name, expires_at) = (record.meta.name.clone(), record.meta.expires_at);
                let conflict = record.has_conflict();
                Ok(RevealedSecret { id: record.id, name, value, expires_at, conflict })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        for record in records.iter().filter(|record| !(is_scan || is_check && is_fresh(record))) {
            self.touch(record)?;
        }
        self.audit(caller, event)?;
        Ok(RevealReply { secrets })
    }

    /// The other secrets with the value of this one, among those that the caller sees. Whether two values are equal tells
    /// about both, so it takes the right to have them, and the log has it before the answer leaves. Only those of its mask
    /// and size are opened.
    pub(in crate::vault) fn same(
        &mut self,
        caller: &Caller,
        id: Uuid,
        mut effort: Effort<'_>,
    ) -> Result<Vec<Secret>, Error> {
        let record = self.find(caller, id, None)?;
        let mut alike = Vec::new();
        for other in self.catalog.of(caller).live() {
            effort.step()?;
            let fits = (&other.meta.mask, other.meta.size) == (&record.meta.mask, record.meta.size);
            if fits && other.id != id {
                alike.push(Arc::clone(other));
            }
        }
        let compared = alike.iter().chain([&record]);
        self.approve(caller, GuardedRight::Reveal, AuditAction::Compare, compared, Why::default())?;
        let value = self.open_value(&record)?;
        let mut same = Vec::new();
        for other in &alike {
            effort.give_way()?;
            if self.open_value(other)? == value {
                same.push(other.to_secret());
            }
        }
        let names = std::iter::once(record.meta.name.clone());
        let names = names.chain(same.iter().map(|secret| secret.name.clone())).collect();
        let event = Event { approvals: self.approved_by(), ..Event::done(AuditAction::Compare, names) };
        self.audit(caller, event)?;
        Ok(same)
    }

    /// The secrets selected, in order of first appearance and each once, and the positions of selectors without any.
    fn select(
        &self,
        caller: &Caller,
        selectors: &[Selector],
        effort: &mut Effort<'_>,
    ) -> Result<(Vec<Arc<Record>>, Vec<usize>), Error> {
        let secrets = self.catalog.of(caller);
        let mut selected: Vec<Arc<Record>> = Vec::new();
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        for (at, selector) in selectors.iter().enumerate() {
            let matches: Vec<&Arc<Record>> = match selector {
                Selector::Id(id) => secrets.by_id(*id).into_iter().collect(),
                Selector::Name(name) => secrets.by_name(name).into_iter().collect(),
                Selector::Glob(glob) => secrets.live_like(glob, effort)?,
            };
            if matches.is_empty() {
                missing.push(at);
            }
            for record in matches {
                if seen.insert(record.id) {
                    selected.push(Arc::clone(record));
                }
            }
        }
        Ok((selected, missing))
    }

    /// Notes that a value was handed over. The version stays: nothing that `If-Match` guards has changed.
    pub(super) fn touch(&mut self, record: &Arc<Record>) -> Result<(), Error> {
        let now = Timestamp::now();
        // A time yet to come is none: the clock was put back since.
        let recent = |last: Timestamp| (0..LAST_USED_STEP).contains(&(now.as_second() - last.as_second()));
        if record.meta.last_used_at.is_some_and(recent) {
            return Ok(());
        }
        let mut used = Record::clone(record);
        used.meta.last_used_at = Some(now);
        self.delete_record(record)?;
        self.insert_record(used)
    }
}

/// Whether its value was stored just now.
fn is_fresh(record: &Record) -> bool {
    let age = |time: Timestamp| Timestamp::now().as_second() - time.as_second();
    record.value_changed_at().is_some_and(|time| (0..CHECK_SECONDS).contains(&age(time)))
}
