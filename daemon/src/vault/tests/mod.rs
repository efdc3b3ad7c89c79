//! The facade on a real file, through its real thread.

mod file;
mod fleet;
mod future;
mod items;
mod keys;
mod model;
mod rotation;
mod secrets;
mod tokens;

use std::path::Path;

use secrets_proto::audit::{AuditAction, AuditOutcome, Refusal};
use secrets_proto::reveal::{Purpose, RevealRequest};
use secrets_proto::secret::{
    CreateSecret, PatchSecret, RollbackRequest, Secret, SecretDetail, TrashList, UpdateSecret,
};
use secrets_proto::token::{CreateToken, Scope, TokenName};
use secrets_proto::vault::{KeyKind, VaultState, VerifyRequest};
use secrets_proto::{SecretValue, Selector, Uuid};
use tempfile::TempDir;

use super::format::slots::{self, NewSlot};
use super::writer::interrupts::Interrupts;
use super::*;
use crate::audit::Event;
use crate::caller::{Caller, Peer};
use crate::crypto::slot::SlotKind;

const CHEAP: KdfCost = KdfCost { memory_kib: 19_456, passes: 2, lanes: 1 };
const PASSPHRASE: &str = "correct horse battery staple";

struct Fixture {
    directory: TempDir,
    vault: Vault,
    owner: Caller,
}

fn settings(directory: &Path) -> Settings {
    Settings {
        data_dir: directory.join("data"),
        state_dir: directory.join("state"),
        kdf: CHEAP,
        idle_lock: Duration::ZERO,
        max_lock: Duration::ZERO,
        lock_is_final: false,
        triggers: Arc::default(),
        lost: Arc::default(),
        keys: KeySources::default(),
    }
}

fn passphrase(text: &str) -> Key {
    Key::Passphrase(SensitiveString::new(text.to_owned()))
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let vault = Vault::start(settings(directory.path()), None).unwrap();
        let owner = Caller::owner(Peer { uid: 0, pid: 1 });
        vault.init(&owner, passphrase(PASSPHRASE), false).await.unwrap();
        Self { directory, vault, owner }
    }

    /// Ends the thread and starts another on the same file, with the lock handed over as between two images.
    async fn restart(&mut self) {
        self.vault.shutdown().await;
        let lock = self.vault.lock_file().unwrap();
        self.vault = Vault::start(settings(self.directory.path()), Some(lock)).unwrap();
    }

    async fn create(&self, name: &str, value: &str) -> Result<SecretDetail, Error> {
        self.vault.create(&self.owner, new_secret(name, value)).await
    }

    async fn reveal(&self, selectors: &[&str]) -> Result<Vec<(String, String)>, Error> {
        let request = RevealRequest {
            secrets: selectors.iter().map(|text| Selector::parse(text).unwrap()).collect(),
            purpose: Purpose::parse("test").unwrap(),
            command: None,
            reason: None,
            directory: None,
        };
        let reply = self.vault.reveal(&self.owner, request, |reply| reply).await?;
        Ok(reply
            .reply
            .secrets
            .into_iter()
            .map(|secret| (secret.name.to_string(), secret.value.expose().to_owned()))
            .collect())
    }

    async fn list(&self, caller: &Caller) -> Result<Vec<SecretDetail>, Error> {
        self.vault.list(caller, ListFilter::default(), |secrets| secrets).await.map(|held| held.reply)
    }

    async fn trash(&self) -> TrashList {
        self.vault.trash(&self.owner, |trash| trash).await.unwrap().reply
    }

    async fn names(&self) -> Vec<String> {
        let listed = self.list(&self.owner).await.unwrap();
        listed.into_iter().map(|detail| detail.secret.name.to_string()).collect()
    }

    /// Makes a token and gives its id, and a caller that holds it.
    async fn token(&self, name: &str, ttl_seconds: Option<Option<u64>>) -> (Uuid, Caller) {
        let new = CreateToken {
            name: TokenName::parse(name).unwrap(),
            scopes: vec![Scope::List, Scope::Write],
            secrets: None,
            ttl_seconds,
            rate_per_minute: None,
        };
        let made = self.vault.create_token(&self.owner, new).await.unwrap();
        let caller =
            self.vault.identify(Peer { uid: 0, pid: 1 }, made.token.expose().as_bytes(), true).unwrap();
        (made.info.id, caller)
    }

    fn token_names(&self) -> Vec<String> {
        let list = self.vault.tokens(&self.owner).unwrap();
        list.tokens.into_iter().map(|token| token.name.into()).collect()
    }
}

fn new_secret(name: &str, value: &str) -> CreateSecret {
    CreateSecret {
        name: SecretName::parse(name).unwrap(),
        value: value_of(value),
        provider: None,
        local: false,
    }
}

fn value_of(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned()).unwrap()
}

fn files_with(path: &Path, content: &[u8]) {
    secrets_local::files::replace_private(path, content).unwrap();
}
