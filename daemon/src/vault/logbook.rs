//! Reading the audit log: back from its head for those who want the newest entries, and forward from its beginning to
//! find the first that is not as it was written. A log may be long, and the vault's thread has other work: both go in
//! steps, between which the thread is free.

use std::time::{Duration, Instant};

use secrets_proto::SecretName;
use secrets_proto::audit::{AuditAction, AuditEntry, AuditList, AuditOutcome, AuditVerified};

use crate::audit;
use crate::caller::{Caller, Scope};
use crate::crypto::seal;
use crate::store::AuditRow;

use super::batch::{audit_mac, audit_place};
use super::command::Command;
use super::reading::Reading;
use super::{AuditQuery, Error, Held, Vault};

/// How long a step may take. Unit tests go by single entries, lest going on be what they never do.
const STEP: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_millis(10) };

/// An answer ends with the entry that makes the sealed content it took longer than this.
const ANSWER: usize = 8 << 20;

impl Vault {
    /// The newest entries that match, and those only that nobody has waited for yet are written first. Scope `admin`.
    pub(crate) async fn audit(&self, caller: &Caller, query: AuditQuery) -> Result<Held<AuditList>, Error> {
        let permit = Some(self.heavy_permit(caller).await?);
        self.check(caller, Scope::Admin, AuditAction::Audit)?;
        self.write_denials();
        let mut walk = Back::default();
        loop {
            let (asker, query) = (caller.clone(), query.clone());
            let step = move |reading: &Reading<'_>| {
                let goes_on = reading.audit_entries(&asker, &mut walk, &query)?;
                Ok((walk, goes_on))
            };
            let goes_on;
            (walk, goes_on) = self.read(caller, step).await?;
            if !goes_on {
                walk.entries.reverse();
                let reply = AuditList { entries: walk.entries, more: walk.more };
                return Ok(Held { reply, permit });
            }
        }
    }

    /// Reads the whole log; the error names the first entry that is not as it was written. Scope `admin`.
    pub(crate) async fn verify_audit(&self, caller: &Caller) -> Result<AuditVerified, Error> {
        self.check_whole(caller, AuditAction::Audit)?;
        self.write_denials();
        let mut walk = Forward::default();
        loop {
            let step = move |reading: &Reading<'_>| {
                let goes_on = reading.check_audit(&mut walk)?;
                Ok((walk, goes_on))
            };
            let goes_on;
            (walk, goes_on) = self.read(caller, step).await?;
            if !goes_on {
                return Ok(AuditVerified { entries: walk.sequence });
            }
        }
    }

    fn write_denials(&self) {
        // If the thread has ended, what is asked next says so.
        let _ = self.commands.send(Command::WriteDenials);
    }
}

/// How far a way back has come.
#[derive(Debug, Default)]
pub(super) struct Back {
    /// The keys' epoch: a rotation chains everything anew, and the way begins again.
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
pub(super) struct Forward {
    epoch: u32,
    sequence: u64,
    mac: [u8; 32],
}

impl Reading<'_> {
    /// Goes a step back and takes what matches, each entry once its link to the later one is checked. `false` at the
    /// end; the first entry's link to nothing is checked too. A caller that does not see all names is told of those that it
    /// sees, and nothing of what callers wrote in words of their own.
    fn audit_entries(&self, caller: &Caller, walk: &mut Back, query: &AuditQuery) -> Result<bool, Error> {
        let epoch = self.keys.identity().epoch;
        if walk.epoch != epoch {
            *walk = Back { epoch, ..Back::default() };
            let before = query.before.filter(|before| *before <= self.manifest.audit_count);
            if let Some(before) = before {
                walk.later = self.store.audit_entry(before)?;
            }
        }
        let start = Instant::now();
        let (mut paused, mut enough) = (false, false);
        let before = walk.later.as_ref().map(|row| row.sequence);
        self.store.for_each_audit_entry_back(before, |row| -> Result<bool, Error> {
            self.check_link_back(&row, walk.later.as_ref())?;
            let mut entry = self.open_entry(&row)?;
            let sees_all = caller.sees_all();
            if !sees_all {
                entry.names.retain(|name| caller.sees(name));
                // What others wrote there may name any secret, and what was dropped was about anything.
                (entry.command, entry.reason, entry.dropped) = (None, None, 0);
            }
            let concerns = sees_all || !entry.names.is_empty();
            // Denials are written late, so that an old one says nothing of what stands before it.
            let is_old = |since| entry.until.unwrap_or(entry.time) < since;
            let is_older = query.since.is_some_and(is_old);
            let over = is_older && entry.outcome == AuditOutcome::Ok;
            let fits = query.name.as_ref().is_none_or(|name: &SecretName| entry.names.contains(name));
            if !is_older && concerns && fits {
                walk.size += row.sealed.len();
                walk.entries.push(entry);
            }
            let full = walk.size > ANSWER || query.limit.is_some_and(|limit| walk.entries.len() >= limit);
            walk.more = full && row.sequence > 1;
            enough = over || full;
            walk.later = Some(row);
            paused = !enough && start.elapsed() >= STEP;
            Ok(!enough && !paused)
        })?;
        if enough || paused {
            return Ok(paused);
        }
        match &walk.later {
            Some(first) => self.check_link(&[0; 32], 0, first)?,
            None if self.manifest.audit_count == 0 => {}
            None => return Err(broken(1, "it is gone")),
        }
        Ok(false)
    }

    /// Goes a step forward and checks every entry: number, link, content. `false` at the end, which must be the head.
    pub(super) fn check_audit(&self, walk: &mut Forward) -> Result<bool, Error> {
        let epoch = self.keys.identity().epoch;
        if walk.epoch != epoch {
            *walk = Forward { epoch, ..Forward::default() };
        }
        let (start, mut paused) = (Instant::now(), false);
        let after = (walk.sequence > 0).then_some(walk.sequence);
        self.store.for_each_audit_entry_after(after, |row| -> Result<bool, Error> {
            self.check_link(&walk.mac, walk.sequence, &row)?;
            self.open_entry(&row)?;
            (walk.sequence, walk.mac) = (row.sequence, row.mac);
            paused = start.elapsed() >= STEP;
            Ok(!paused)
        })?;
        if paused {
            return Ok(true);
        }
        match (walk.sequence, walk.mac) == (self.manifest.audit_count, self.manifest.audit_head) {
            true => Ok(false),
            false if walk.sequence < self.manifest.audit_count => {
                Err(broken(walk.sequence + 1, "it is gone"))
            }
            false => Err(broken(walk.sequence, "it was added or put back")),
        }
    }

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
        seal::open(self.keys, audit_place(&sequence, row.sequence), &row.sealed)
            .ok()
            .and_then(|plaintext| audit::decode(row.sequence, &plaintext))
            .ok_or(broken(row.sequence, "its content cannot be read"))
    }
}

/// The entry with this number is not as it was written.
const fn broken(sequence: u64, what: &'static str) -> Error {
    Error::AuditBroken(sequence, what)
}
