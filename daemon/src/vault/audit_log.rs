//! The facade's operations on the audit log. A log may be long, and the vault's thread has other work: both read it in
//! steps, between which the thread is free.

use secrets_proto::audit::{ArchiveAudit, AuditAction, AuditArchived, AuditList, AuditVerified};

use crate::caller::{Caller, Scope};

use super::writer::audit_walk::{ANSWER, Back, Forward};
use super::writer::batch::Batch;
use super::writer::command::Command;
use super::writer::reading::Reading;
use super::{AuditQuery, Error, Held, Vault};

/// About how many bytes an entry has as JSON.
const AN_ENTRY: usize = 400;

impl Vault {
    /// The newest entries that match, and those only that nobody has waited for yet are written first. Scope `admin`.
    pub(crate) async fn audit(&self, caller: &Caller, query: AuditQuery) -> Result<Held<AuditList>, Error> {
        let permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::Admin, AuditAction::Audit)?;
        let most = query.limit.map_or(ANSWER, |limit| limit.saturating_mul(AN_ENTRY).min(ANSWER));
        let permit = Some(permit.with(self.room.take(caller, most).await));
        self.write_denials();
        let mut walk = Back::default();
        loop {
            let (asker, query) = (caller.clone(), query.clone());
            let step = move |reading: &Reading<'_>| {
                let goes_on = walk.step(&reading.audit_log(), &asker, &query)?;
                Ok((walk, goes_on))
            };
            let goes_on;
            (walk, goes_on) = self.read(caller, step).await?;
            if !goes_on {
                return Ok(Held { reply: walk.into_list(), permit });
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
                let goes_on = walk.step(&reading.audit_log())?;
                Ok((walk, goes_on))
            };
            let goes_on;
            (walk, goes_on) = self.read(caller, step).await?;
            if !goes_on {
                let (entries, first) = walk.checked();
                return Ok(AuditVerified { entries, first });
            }
        }
    }

    /// Takes the entries up to this number out of the vault, each once its link is checked, for a caller that has stored them elsewhere.
    /// Later entries stay chained on them. In steps; what ended on the way goes on from there. Scope `admin`.
    pub(crate) async fn archive_audit(
        &self,
        caller: &Caller,
        request: ArchiveAudit,
    ) -> Result<AuditArchived, Error> {
        self.check_whole(caller, AuditAction::AuditArchive)?;
        let (mut removed, mut is_first) = (0, true);
        loop {
            let step = move |batch: &mut Batch<'_>, caller: &Caller| {
                batch.archive(caller, request.through, is_first)
            };
            let (taken, goes_on) = self.write(caller, step).await?;
            is_first = false;
            removed += taken;
            if !goes_on {
                return Ok(AuditArchived { removed });
            }
        }
    }

    /// Has what is counted and not written yet, refusals and uses, written before what is asked next.
    pub(super) fn write_denials(&self) {
        // If the thread has ended, what is asked next says so.
        let _ = self.commands.send(Command::WriteDenials);
    }
}
