//! The audit log's entries in their stored form. Chaining and sealing them is the vault's business.

use secrets_proto::audit::{AuditAction, AuditCaller, AuditEntry, AuditOutcome, AuditUse, Refusal};
use secrets_proto::item::NamedItem;
use secrets_proto::reveal::{Purpose, Remark};
use secrets_proto::{SecretName, Timestamp, UnitName, Uuid};
use serde::{Deserialize, Serialize};

use crate::caller::Caller;

/// What an operation tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// What was asked for.
    pub(crate) action: AuditAction,
    /// The secrets it concerns.
    pub(crate) names: Vec<SecretName>,
    /// The items it concerns.
    pub(crate) items: Vec<NamedItem>,
    /// What for.
    pub(crate) purpose: Option<Purpose>,
    /// The program that gets the values.
    pub(crate) command: Option<Remark>,
    /// Why.
    pub(crate) reason: Option<Remark>,
    /// Where that program starts.
    pub(crate) directory: Option<Remark>,
    /// The request that a value was to be put into.
    pub(crate) used: Option<AuditUse>,
    /// The approval rules and answers by which it was allowed, or that it is about.
    pub(crate) approvals: Vec<Uuid>,
    /// Why it was refused, if it was.
    pub(crate) refusal: Option<Refusal>,
}

impl Event {
    /// Something that was done.
    pub(crate) const fn done(action: AuditAction, names: Vec<SecretName>) -> Self {
        Self {
            action,
            names,
            items: Vec::new(),
            purpose: None,
            command: None,
            reason: None,
            directory: None,
            used: None,
            approvals: Vec::new(),
            refusal: None,
        }
    }

    /// Something that was done with an item.
    pub(crate) fn of_item(action: AuditAction, item: NamedItem) -> Self {
        Self { items: vec![item], ..Self::done(action, Vec::new()) }
    }

    /// Something about what a unit may load. It stands where other entries have the program that gets the values.
    pub(crate) fn of_unit(action: AuditAction, unit: Option<&UnitName>, names: Vec<SecretName>) -> Self {
        let command = unit.and_then(|unit| Remark::parse(unit.as_str()).ok());
        Self { command, ..Self::done(action, names) }
    }

    /// Something that was refused.
    pub(crate) fn refused(action: AuditAction, refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::done(action, Vec::new()) }
    }
}

/// Something that was refused, once or several times, and is to be written later.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    /// Who asked.
    pub(crate) caller: AuditCaller,
    /// For what.
    pub(crate) event: Event,
    /// When first.
    pub(crate) time: Timestamp,
    /// When last.
    pub(crate) until: Timestamp,
    /// How often.
    pub(crate) count: u64,
    /// How many before it are only counted.
    pub(crate) dropped: u64,
}

impl Denial {
    /// The most names that a denial keeps: many of them wait in memory at once.
    const NAMES: usize = 16;

    /// Something that is refused now.
    pub(crate) fn now(caller: &Caller, mut event: Event) -> Self {
        event.names.truncate(Self::NAMES);
        event.names.shrink_to_fit();
        let time = Timestamp::now_precise();
        Self { caller: caller.for_audit(), event, time, until: time, count: 1, dropped: 0 }
    }

    /// Drops what tells the denial from others of its token: which process asked, and the request's own words.
    pub(crate) fn in_general(self) -> Self {
        let Self { caller: AuditCaller { uid, token, .. }, event: Event { action, refusal, .. }, .. } = self;
        let caller = AuditCaller { uid, pid: 0, comm: None, exe: None, unit: None, token };
        let event = Event { refusal, ..Event::done(action, Vec::new()) };
        Self { caller, event, ..self }
    }

    /// The plaintext of its entry; `None` if it does not encode.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let Self { caller, event, time, until, count, dropped } = self.clone();
        let until = (count > 1).then_some(until);
        serde_json::to_vec(&Stored { until, count, dropped, ..Stored::new(caller, event, time) }).ok()
    }

    /// The denial of which this is the plaintext.
    pub(crate) fn decode(plaintext: &[u8]) -> Option<Self> {
        let AuditEntry {
            time,
            action,
            caller,
            names,
            items,
            purpose,
            command,
            reason,
            directory,
            used,
            approvals,
            refusal,
            until,
            count,
            dropped,
            ..
        } = decode(0, plaintext)?;
        let event =
            Event { action, names, items, purpose, command, reason, directory, used, approvals, refusal };
        Some(Self { caller, event, time, until: until.unwrap_or(time), count, dropped })
    }
}

/// An entry as it is sealed: the wire's fields, in a type of its own so that the wire can change without the file. An entry
/// is written once. What a newer program has put there is not read, and stays; what it calls an action, outcome or refusal
/// that is not known here is read as `other`.
#[derive(Debug, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<NamedItem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<Purpose>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Remark>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Remark>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<Remark>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<AuditUse>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<Uuid>,
    outcome: AuditOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_zero")]
    dropped: u64,
}

impl Stored {
    fn new(caller: AuditCaller, event: Event, time: Timestamp) -> Self {
        let AuditCaller { uid, pid, comm, exe, unit, token } = caller;
        let Event { action, names, items, purpose, command, reason, directory, used, approvals, refusal } =
            event;
        let outcome = if refusal.is_some() { AuditOutcome::Denied } else { AuditOutcome::Ok };
        Self {
            time,
            action,
            uid,
            pid,
            comm,
            exe,
            unit,
            token,
            names,
            items,
            purpose,
            command,
            reason,
            directory,
            used,
            approvals,
            outcome,
            refusal,
            count: 1,
            until: None,
            dropped: 0,
        }
    }
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
const fn is_one(number: &u64) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The plaintext of an entry that says that `caller` did this now; `None` if it does not encode.
pub(crate) fn encode(caller: &Caller, event: Event) -> Option<Vec<u8>> {
    serde_json::to_vec(&Stored::new(caller.for_audit(), event, Timestamp::now_precise())).ok()
}

/// The entry with this number and plaintext; `None` if it is not of its form.
pub(crate) fn decode(sequence: u64, plaintext: &[u8]) -> Option<AuditEntry> {
    let Stored {
        time,
        action,
        uid,
        pid,
        comm,
        exe,
        unit,
        token,
        names,
        items,
        purpose,
        command,
        reason,
        directory,
        used,
        approvals,
        outcome,
        refusal,
        count,
        until,
        dropped,
    } = serde_json::from_slice(plaintext).ok()?;
    let caller = AuditCaller { uid, pid, comm, exe, unit, token };
    Some(AuditEntry {
        sequence,
        time,
        action,
        caller,
        names,
        items,
        purpose,
        command,
        reason,
        directory,
        used,
        approvals,
        outcome,
        refusal,
        count,
        until,
        dropped,
    })
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
