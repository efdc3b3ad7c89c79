//! Taking entries out of the audit log at its beginning.

use std::time::{Duration, Instant};

use secrets_proto::audit::AuditAction;

use super::Batch;
use crate::audit::Event;
use crate::caller::Caller;
use crate::vault::Error;
use crate::vault::format::audit_chain::audit_mac;

/// How long a step may take.
const STEP: Duration = Duration::from_millis(10);

impl Batch<'_> {
    /// Takes the oldest entries out of the audit log, each after its link was checked, up to the one with this number and
    /// for as long as a step may take. Gives how many it took, and whether there are more. The first step has the entry that
    /// says so: what ends on the way has taken none in silence.
    pub(in crate::vault) fn archive(
        &mut self,
        caller: &Caller,
        through: u64,
        is_first: bool,
    ) -> Result<(u64, bool), Error> {
        if through > self.manifest.audit_count {
            return Err(Error::NotFound);
        }
        if is_first {
            // Its number is beyond what is taken.
            self.audit(caller, Event::done(AuditAction::AuditArchive, Vec::new()))?;
        }
        let (start, mut taken) = (Instant::now(), 0);
        while self.manifest.archived.entries < through {
            if start.elapsed() >= STEP {
                return Ok((taken, true));
            }
            let sequence = self.manifest.archived.entries + 1;
            let broken = Error::AuditBroken(sequence, "it is gone or was changed");
            let Some(row) = self.writing.audit_entry(sequence)? else { return Err(broken) };
            if row.mac != audit_mac(self.keys, &self.manifest.archived.head, sequence, &row.sealed) {
                return Err(broken);
            }
            self.writing.delete_audit(sequence)?;
            self.manifest.archive_entry(row.mac);
            taken += 1;
        }
        Ok((taken, false))
    }
}
