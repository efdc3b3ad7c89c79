//! Reading the audit log in steps: back from its head for those who want the newest entries, and forward from its beginning
//! to find the first that is not as it was written.

use std::time::{Duration, Instant};

use secrets_proto::SecretName;
use secrets_proto::audit::{AuditAction, AuditEntry, AuditList, AuditOutcome};

use crate::audit;
use crate::caller::Caller;
use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{AuditRow, Store};
use crate::vault::format::audit_chain::{audit_context, audit_mac};
use crate::vault::format::manifest::{Archived, Manifest};
use crate::vault::format::token::session_name;
use crate::vault::{AuditQuery, Error};

/// How long a step may take. Unit tests go by single entries, so that they also cover going on.
const STEP: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_millis(10) };

/// An answer ends with the entry that makes the sealed content it took longer than this.
pub(in crate::vault) const ANSWER: usize = 8 << 20;

/// The log of an open vault, for reading.
pub(in crate::vault) struct AuditLog<'a> {
    pub(in crate::vault) store: &'a Store,
    pub(in crate::vault) keys: &'a Keys,
    pub(in crate::vault) manifest: &'a Manifest,
}

/// How far a way back has come.
#[derive(Debug, Default)]
pub(in crate::vault) struct Back {
    /// The keys' epoch: a rotation chains everything again, and the way restarts.
    epoch: u32,
    /// The entry that was looked at last.
    later: Option<AuditRow>,
    /// What was found, the newest first.
    entries: Vec<AuditEntry>,
    size: usize,
    /// Whether it ended although older entries might match.
    more: bool,
}

/// How far a way forward has come.
#[derive(Debug, Default)]
pub(in crate::vault) struct Forward {
    epoch: u32,
    archived: Archived,
    sequence: u64,
    mac: [u8; 32],
}

impl Back {
    /// Goes a step back and takes what matches, each entry once its link to the later one is checked. `false` at the
    /// end; the first entry's link to nothing is checked too. A caller that does not see all names is told of those that it
    /// sees, and nothing of what callers wrote in words of their own.
    pub(in crate::vault) fn step(
        &mut self,
        log: &AuditLog<'_>,
        caller: &Caller,
        query: &AuditQuery,
    ) -> Result<bool, Error> {
        let epoch = log.keys.identity().epoch;
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
            if query.before.is_some_and(|before| before <= log.manifest.archived.entries) {
                return Ok(false);
            }
            let before = query.before.filter(|before| *before <= log.manifest.audit_count);
            if let Some(before) = before {
                self.later = log.store.audit_entry(before)?;
            }
        }
        let archived = log.manifest.archived;
        if self.later.as_ref().is_some_and(|later| later.sequence <= archived.entries) {
            // What is older was archived meanwhile.
            return Ok(false);
        }
        let start = Instant::now();
        let (mut paused, mut enough) = (false, false);
        let before = self.later.as_ref().map(|row| row.sequence);
        let session = query.session.map(session_name);
        log.store.for_each_audit_entry_back(before, |row| -> Result<bool, Error> {
            log.check_link_back(&row, self.later.as_ref())?;
            let mut entry = log.open_entry(&row)?;
            let is_its = session.as_deref().is_none_or(|session| is_of(&entry, session));
            let sees_all = caller.sees_all();
            if !sees_all {
                entry.names.retain(|name| caller.sees(name));
                // What others wrote there may name any secret, and what was dropped was about anything.
                (entry.command, entry.reason, entry.directory) = (None, None, None);
                (entry.used, entry.dropped) = (None, 0);
                entry.items.clear();
            }
            let concerns = sees_all || !entry.names.is_empty();
            // Denials are written late, so that an old one says nothing of what stands before it.
            let is_old = |since| entry.until.unwrap_or(entry.time) < since;
            let is_older = query.since.is_some_and(is_old);
            let over = is_older && entry.outcome == AuditOutcome::Ok;
            let fits = query.name.as_ref().is_none_or(|name: &SecretName| entry.names.contains(name));
            if !is_older && concerns && fits && is_its {
                self.size += row.sealed.len();
                self.entries.push(entry);
            }
            let full = self.size > ANSWER || query.limit.is_some_and(|limit| self.entries.len() >= limit);
            self.more = full && row.sequence > archived.entries + 1;
            enough = over || full;
            self.later = Some(row);
            paused = !enough && start.elapsed() >= STEP;
            Ok(!enough && !paused)
        })?;
        if enough || paused {
            return Ok(paused);
        }
        match &self.later {
            Some(first) => log.check_link(&archived.head, archived.entries, first)?,
            None if log.manifest.audit_count == archived.entries => {}
            None => return Err(broken(archived.entries + 1, "it is gone")),
        }
        Ok(false)
    }

    /// What was found, the oldest first.
    pub(in crate::vault) fn into_list(mut self) -> AuditList {
        self.entries.reverse();
        AuditList { entries: self.entries, more: self.more }
    }
}

impl Forward {
    /// Goes a step forward and checks every entry: number, link, content. `false` at the end, which must be the head.
    pub(in crate::vault) fn step(&mut self, log: &AuditLog<'_>) -> Result<bool, Error> {
        let epoch = log.keys.identity().epoch;
        let archived = log.manifest.archived;
        if self.epoch != epoch || self.archived != archived {
            *self = Self { epoch, archived, sequence: archived.entries, mac: archived.head };
        }
        let (start, mut paused) = (Instant::now(), false);
        let after = (self.sequence > 0).then_some(self.sequence);
        log.store.for_each_audit_entry_after(after, |row| -> Result<bool, Error> {
            log.check_link(&self.mac, self.sequence, &row)?;
            log.open_entry(&row)?;
            (self.sequence, self.mac) = (row.sequence, row.mac);
            paused = start.elapsed() >= STEP;
            Ok(!paused)
        })?;
        if paused {
            return Ok(true);
        }
        match (self.sequence, self.mac) == (log.manifest.audit_count, log.manifest.audit_head) {
            true => Ok(false),
            false if self.sequence < log.manifest.audit_count => Err(broken(self.sequence + 1, "it is gone")),
            false => Err(broken(self.sequence, "it was added or put back")),
        }
    }

    /// How many entries were checked, and the number of the first.
    pub(in crate::vault) const fn checked(&self) -> (u64, u64) {
        (self.sequence - self.archived.entries, self.archived.entries + 1)
    }
}

impl AuditLog<'_> {
    fn check_link_back(&self, row: &AuditRow, later: Option<&AuditRow>) -> Result<(), Error> {
        match later {
            Some(later) => self.check_link(&row.mac, row.sequence, later),
            None if row.sequence < self.manifest.audit_count => {
                Err(broken(self.manifest.audit_count, "it is gone"))
            }
            None if row.sequence > self.manifest.audit_count => Err(broken(row.sequence, "it was added")),
            None if row.mac != self.manifest.audit_head => Err(broken(row.sequence, "it was changed")),
            None => Ok(()),
        }
    }

    /// Whether `later` follows the entry that has this MAC and number.
    fn check_link(&self, before: &[u8; 32], sequence: u64, later: &AuditRow) -> Result<(), Error> {
        if later.sequence <= sequence {
            return Err(broken(later.sequence, "it was added"));
        }
        if later.sequence > sequence + 1 {
            return Err(broken(sequence + 1, "it is gone"));
        }
        if later.mac != audit_mac(self.keys, before, later.sequence, &later.sealed) {
            return Err(broken(later.sequence, "it or its place in the chain was changed"));
        }
        Ok(())
    }

    fn open_entry(&self, row: &AuditRow) -> Result<AuditEntry, Error> {
        let sequence = row.sequence.to_be_bytes();
        seal::open(self.keys, audit_context(&sequence, row.sequence), &row.sealed)
            .ok()
            .and_then(|plaintext| audit::decode(row.sequence, &plaintext))
            .ok_or(broken(row.sequence, "its content cannot be read"))
    }
}

/// Whether an entry is about the session with this name: its use of values, or who has begun or ended it.
fn is_of(entry: &AuditEntry, session: &str) -> bool {
    let is_its_life = matches!(entry.action, AuditAction::UseBegin | AuditAction::UseEnd);
    let named = entry.reason.as_ref().is_some_and(|reason| reason.as_str() == session);
    entry.caller.token == session || is_its_life && named
}

/// The entry with this number is not as it was written.
const fn broken(sequence: u64, what: &'static str) -> Error {
    Error::AuditBroken(sequence, what)
}
