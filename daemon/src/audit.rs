//! The audit log's entries in their stored form. Chaining and sealing them is the vault's business.

use secrets_proto::audit::{AuditAction, AuditCaller, AuditEntry, AuditOutcome};
use secrets_proto::reveal::{Purpose, Remark};
use secrets_proto::{SecretName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::caller::Caller;

/// What an operation tells about itself.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// What was asked for.
    pub(crate) action: AuditAction,
    /// The secrets it concerns.
    pub(crate) names: Vec<SecretName>,
    /// What for.
    pub(crate) purpose: Option<Purpose>,
    /// The program that gets the values.
    pub(crate) command: Option<Remark>,
    /// Why.
    pub(crate) reason: Option<Remark>,
    /// How it ended.
    pub(crate) outcome: AuditOutcome,
}

impl Event {
    /// Something that was done.
    pub(crate) const fn done(action: AuditAction, names: Vec<SecretName>) -> Self {
        Self { action, names, purpose: None, command: None, reason: None, outcome: AuditOutcome::Ok }
    }
}

/// An entry as it is sealed: the wire's fields, in a type of its own so that the wire can change without the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    time: Timestamp,
    action: AuditAction,
    uid: u32,
    pid: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    token: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<SecretName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<Purpose>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Remark>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Remark>,
    outcome: AuditOutcome,
}

/// The plaintext of an entry that says that `caller` did this now; `None` if it does not encode.
pub(crate) fn encode(caller: &Caller, event: Event) -> Option<Vec<u8>> {
    let AuditCaller { uid, pid, comm, exe, unit, token } = caller.for_audit();
    let Event { action, names, purpose, command, reason, outcome } = event;
    let time = Timestamp::now_precise();
    let stored =
        Stored { time, action, uid, pid, comm, exe, unit, token, names, purpose, command, reason, outcome };
    serde_json::to_vec(&stored).ok()
}

/// The entry with this number and plaintext; `None` if it is not of its form.
pub(crate) fn decode(sequence: u64, plaintext: &[u8]) -> Option<AuditEntry> {
    let Stored { time, action, uid, pid, comm, exe, unit, token, names, purpose, command, reason, outcome } =
        serde_json::from_slice(plaintext).ok()?;
    let caller = AuditCaller { uid, pid, comm, exe, unit, token };
    Some(AuditEntry { sequence, time, action, caller, names, purpose, command, reason, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::{bytes, list, vectors};

    #[test]
    fn entries_are_the_known_ones() {
        for known in list(&vectors()["audit"]) {
            let plaintext = bytes(&known["plaintext"]);
            let stored: Stored = serde_json::from_slice(&plaintext).unwrap();
            assert_eq!(serde_json::to_vec(&stored).unwrap(), plaintext);
        }
    }
}
