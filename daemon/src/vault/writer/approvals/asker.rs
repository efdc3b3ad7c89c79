//! Which requests are one, and who counts as one asker. A person answers what was shown, so that requests are one only if
//! all that is shown of them is equal; how often somebody may ask goes by what the kernel says, which is not theirs to choose.

use std::collections::BTreeSet;

use secrets_local::peer::lineage::{ProcessKey, SessionKey};
use secrets_proto::Uuid;
use secrets_proto::approval::GuardedRight;
use secrets_proto::reveal::{Purpose, Remark};

use crate::client::Client;
use crate::guarded::Subject;

/// What a request is about.
pub(in crate::vault) struct Asked<'a> {
    pub(in crate::vault) client: &'a Client,
    pub(in crate::vault) right: GuardedRight,
    /// By id, and by the names that they have.
    pub(in crate::vault) secrets: &'a [(Uuid, Subject)],
    pub(in crate::vault) purpose: Option<&'a Purpose>,
    pub(in crate::vault) reason: Option<&'a Remark>,
}

/// All that a person is shown of a request, but for the process: what differs in any of it is another request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) right: GuardedRight,
    pub(super) secrets: BTreeSet<Uuid>,
    pub(super) purpose: Option<Purpose>,
    pub(super) reason: Option<Remark>,
    token: Option<Uuid>,
    session: Option<SessionKey>,
    unit: Option<String>,
    program: Option<String>,
    script: Option<String>,
    directory: Option<String>,
    command: Option<String>,
}

impl Request {
    pub(super) fn of(asked: &Asked<'_>) -> Self {
        let Asked { client, right, secrets, purpose, reason } = asked;
        Self {
            right: *right,
            secrets: secrets.iter().map(|(id, _)| *id).collect(),
            purpose: purpose.cloned(),
            reason: reason.cloned(),
            token: client.token,
            session: client.session_key().cloned(),
            unit: client.unit.clone(),
            program: client.program.clone(),
            script: client.script.clone(),
            directory: client.directory.clone(),
            command: client.command.clone(),
        }
    }
}

/// Who asks, for the number of its asks and for the time after a denial.
pub(super) struct Asker {
    token: Option<Uuid>,
    session: Option<SessionKey>,
    /// As the kernel says.
    program: Option<String>,
    process: Option<ProcessKey>,
}

impl Asker {
    pub(super) fn of(client: &Client) -> Self {
        Self {
            token: client.token,
            session: client.session_key().cloned(),
            program: client.seen_program().cloned(),
            process: client.process,
        }
    }

    /// Whether both are one: a session is, whatever runs in it. Without one a process is, whichever program it runs by now,
    /// and so is a program, however many processes it has, and all of which no program is seen.
    pub(super) fn is(&self, other: &Self) -> bool {
        let is_process = || self.process.is_some() && self.process == other.process;
        self.token == other.token
            && self.session == other.session
            && (self.session.is_some() || is_process() || self.program == other.program)
    }
}
