//! What is asked of the daemon: lists, rules and the use of guarded secrets, never a value.

use std::path::PathBuf;

use secrets_client::{Call, Client, Error, Limits, Paths};
use secrets_proto::printable::without_numbers;
use secrets_proto::rule::RuleList;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::{ErrorType, SecretName};
use uuid::Uuid;

use crate::asking::{self, Standing};

/// The daemon of this user.
pub(crate) struct Daemon {
    client: Client,
}

impl Daemon {
    /// The daemon that `secretctl` would ask, by the same flags and variables.
    pub(crate) fn find(socket: Option<PathBuf>, token: Option<PathBuf>) -> Result<Self, String> {
        let paths =
            Paths::find(socket, token, |name| std::env::var_os(name)).map_err(|error| error.to_string())?;
        Ok(Self { client: Client::new(paths.socket, paths.token, Limits::default()) })
    }

    /// The secrets that may be listed.
    pub(crate) async fn list(&self) -> Result<SecretList, String> {
        self.client.list().await.map_err(|error| said(&error))
    }

    /// The secret of this name, if there is one that may be listed.
    pub(crate) async fn secret(&self, name: &SecretName) -> Result<Option<SecretDetail>, String> {
        let call = Call::get("/user/secrets").query("view", "full").query("name", name.as_str());
        let answer = self.client.send(&call).await.map_err(|error| said(&error))?;
        let list: SecretList<SecretDetail> = answer.parse().map_err(|error| said(&error))?;
        Ok(list.secrets.into_iter().find(|detail| detail.secret.name == *name))
    }

    /// Asks a person for the use of a guarded secret, and waits so many seconds.
    pub(crate) async fn ask(&self, name: &SecretName, seconds: u64) -> Result<Standing, String> {
        asking::ask(&self.client, name, seconds).await.map_err(|error| said(&error))
    }

    /// The rules of a secret.
    pub(crate) async fn rules(&self, secret: Uuid) -> Result<RuleList, String> {
        let call = Call::get(&format!("/user/secrets/{secret}/rules"));
        let answer = self.client.send(&call).await.map_err(|error| said(&error))?;
        answer.parse().map_err(|error| said(&error))
    }
}

/// Why there is no answer, and what helps, in words that an agent can pass on to a person.
fn said(error: &Error) -> String {
    match error.kind() {
        Some(ErrorType::VaultLockedError) => {
            "the vault is locked; ask the person at this machine to run: secretctl unlock".to_owned()
        }
        _ => without_numbers(&error.to_string()).into_owned(),
    }
}
