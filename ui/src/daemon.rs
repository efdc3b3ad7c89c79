//! What is asked of the daemon, one question after the other.

use std::io;

use secrets_client::{Call, Client, Error, Limits, Paths};
use secrets_proto::approval::{Approval, ApprovalList};
use secrets_proto::audit::{AuditEntry, AuditList};
use secrets_proto::reveal::{Purpose, RevealRequest};
use secrets_proto::secret::{SecretDetail, SecretList, SecretVersion, VersionList};
use secrets_proto::{ErrorType, SecretName, SecretValue, Selector, Timestamp, Uuid};
use tokio::runtime::{Builder, Runtime};

use crate::Arguments;

/// The daemon of this user.
pub(crate) struct Daemon {
    client: Client,
    runtime: Runtime,
}

/// Why there is no answer.
pub(crate) enum Refused {
    /// The vault is locked.
    Locked,
    /// A person must allow it first: the ask that waits.
    Ask(Uuid),
    /// Something else, in words.
    Other(String),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error.kind() {
            Some(ErrorType::VaultLockedError) => Self::Locked,
            Some(ErrorType::ApprovalRequiredError) => {
                ask_of(&error).map_or_else(|| Self::Other(error.to_string()), Self::Ask)
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

/// The ask that a refusal names.
fn ask_of(error: &Error) -> Option<Uuid> {
    let Error::Refused(body) = error else { return None };
    body.errors.first().and_then(|error| Uuid::parse_str(&error.msg).ok())
}

impl Daemon {
    /// The daemon that these arguments and the variables name.
    pub(crate) fn find(arguments: &Arguments) -> Result<Self, String> {
        let variable = |name: &str| std::env::var_os(name);
        let paths = Paths::find(arguments.socket.clone(), arguments.token_file.clone(), variable)
            .map_err(|error| error.to_string())?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error: io::Error| format!("the runtime cannot be started: {error}"))?;
        Ok(Self { client: Client::new(paths.socket, paths.token, Limits::default()), runtime })
    }

    /// All secrets in full, by name.
    pub(crate) fn details(&self) -> Result<Vec<SecretDetail>, Refused> {
        let list: SecretList<SecretDetail> = self.ask(&Call::list().query("view", "full"))?.parse()?;
        Ok(list.secrets)
    }

    /// What waits for a person; nothing where this token may not ask.
    pub(crate) fn asks(&self) -> Vec<Approval> {
        let list = self.ask(&Call::get("/approvals")).and_then(|answer| Ok(answer.parse::<ApprovalList>()?));
        list.map(|list| list.approvals).unwrap_or_default()
    }

    /// The kept values of a secret, by their masks.
    pub(crate) fn versions(&self, id: Uuid) -> Result<Vec<SecretVersion>, Refused> {
        let answer = self.ask(&Call::get(&format!("/user/secrets/{id}/versions")))?;
        Ok(answer.parse::<VersionList>()?.versions)
    }

    /// The newest entries of the audit log, newest last: of a secret, of a time.
    pub(crate) fn audit(
        &self,
        name: Option<&SecretName>,
        since: Option<Timestamp>,
    ) -> Result<Vec<AuditEntry>, Refused> {
        let mut call = Call::get("/audit").query("limit", if name.is_some() { "1000" } else { "200" });
        if let Some(name) = name {
            call = call.query("name", name.as_str());
        }
        if let Some(since) = since {
            call = call.query("since", &since.to_string());
        }
        Ok(self.ask(&call)?.parse::<AuditList>()?.entries)
    }

    /// A value, for a person who looks at it or copies it.
    pub(crate) fn value(&self, name: &SecretName) -> Result<SecretValue, Refused> {
        let purpose = Purpose::parse("ui").map_err(|invalid| Refused::Other(invalid.to_string()))?;
        let secrets = vec![Selector::Name(name.clone())];
        let request = RevealRequest { secrets, purpose, command: None, reason: None, directory: None };
        let reply = self.runtime.block_on(self.client.reveal(&request))?;
        let first = reply.secrets.into_iter().next();
        first.map(|secret| secret.value).ok_or_else(|| Refused::Other("there is no such secret".to_owned()))
    }

    fn ask(&self, call: &Call) -> Result<secrets_client::Answer, Refused> {
        Ok(self.runtime.block_on(self.client.send(call))?)
    }
}
