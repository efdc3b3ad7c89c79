//! Which store it is: the file `.store` in the exchange, and the credential, from the first of three places that has one:
//! secrets of the vault that `.store` names, systemd's credential `store`, and what the engine finds by itself in the
//! environment and at the cloud's own services.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use secrets_client::{Client, Error, Limits, Paths, TokenSource};
use secrets_local::files;
use secrets_local::places::{STORE, STORE_TOKEN};
use secrets_proto::reveal::{Purpose, RevealRequest};
use secrets_proto::{ErrorType, Selector};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};

/// The most bytes of `.store`, and of a credential.
const LARGEST: u64 = 64 << 10;

/// What systemd's credential is called.
const CREDENTIAL: &str = "store";

/// The file `.store`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The store's address.
    pub(crate) url: String,
    /// For variables of the engine's, as `AWS_SECRET_ACCESS_KEY`, the name of the secret that has the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) secrets: BTreeMap<String, String>,
}

/// Variables of the engine's with their values.
pub(crate) type Credential = BTreeMap<String, Zeroizing<String>>;

impl Settings {
    /// Reads them.
    pub(crate) fn read(exchange: &Path) -> Result<Self, Failure> {
        let path = exchange.join(STORE);
        match files::check_private_file(&path) {
            Ok(true) => {}
            Ok(false) => {
                let text = "no store is set up on this machine; see: secretctl machine --help";
                return Err(Failure::new(Kind::NoStore, text));
            }
            Err(error) => return Err(Failure::new(Kind::Exchange, error.to_string())),
        }
        let text = files::read_private(&path, LARGEST)
            .map_err(|error| Failure::new(Kind::Exchange, error.to_string()))?;
        serde_json::from_slice(&text)
            .map_err(|_| Failure::new(Kind::Place, format!("{} has the wrong form", files::quoted(&path))))
    }

    /// Writes them.
    pub(crate) fn write(&self, exchange: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        files::replace_private(&exchange.join(STORE), &text)
            .map_err(|error| Failure::new(Kind::Exchange, error.to_string()))
    }

    /// The credential, as far as it is not left to the engine.
    pub(crate) async fn credential(&self, exchange: &Path) -> Result<Credential, Failure> {
        if !self.secrets.is_empty() {
            return self.ask_vault(exchange).await;
        }
        let directory = env::var_os("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty());
        let Some(directory) = directory else { return Ok(Credential::new()) };
        read_systemds(&Path::new(&directory).join(CREDENTIAL))
    }

    /// From the vault, with a token that may reveal these secrets alone.
    async fn ask_vault(&self, exchange: &Path) -> Result<Credential, Failure> {
        let wrong =
            |what: &str| Failure::new(Kind::Place, format!("the store's settings have a wrong {what}"));
        let variable = |name: &str| env::var_os(name).filter(|_| !name.starts_with("SECRETSD_TOKEN"));
        let paths = Paths::find(None, None, variable)
            .map_err(|error| Failure::new(Kind::Locked, error.to_string()))?;
        let token = TokenSource::File(exchange.join(STORE_TOKEN));
        let client = Client::new(paths.socket, token, Limits::default());
        let selectors = self.secrets.values().map(|name| Selector::parse(name));
        let secrets = selectors.collect::<Result<_, _>>().map_err(|_| wrong("name of a secret"))?;
        let purpose = Purpose::parse("sync").map_err(|_| wrong("purpose"))?;
        let request = RevealRequest { secrets, purpose, command: None, reason: None, directory: None };
        let revealed = client.reveal(&request).await.map_err(|error| refused(&error))?;
        let value_of = |name: &str| revealed.secrets.iter().find(|secret| secret.name.as_str() == name);
        self.secrets
            .iter()
            .map(|(variable, name)| {
                let secret = value_of(name).ok_or_else(|| wrong("name of a secret"))?;
                Ok((variable.clone(), Zeroizing::new(secret.value.expose().to_owned())))
            })
            .collect()
    }
}

fn refused(error: &Error) -> Failure {
    match error.kind() {
        Some(ErrorType::VaultLockedError | ErrorType::ApprovalRequiredError) => {
            let text = "the store's credential is in the vault, and that is locked; run: secretctl unlock";
            Failure::new(Kind::Locked, text)
        }
        None => Failure::new(Kind::Locked, format!("the store's credential is in the vault: {error}")),
        Some(_) => Failure::new(
            Kind::Refused,
            format!("the vault does not give the store's credential to this machine's token: {error}"),
        ),
    }
}

/// Lines of the form `NAME=value`. None if there is no such file.
fn read_systemds(path: &Path) -> Result<Credential, Failure> {
    let unreadable = |_| Failure::new(Kind::Refused, "systemd's credential `store` cannot be read");
    if !path.try_exists().map_err(unreadable)? {
        return Ok(Credential::new());
    }
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.split_once('=').ok_or_else(|| {
                Failure::new(Kind::Refused, "systemd's credential `store` must have lines NAME=value")
            })?;
            Ok((name.trim().to_owned(), Zeroizing::new(value.to_owned())))
        })
        .collect()
}
