//! The facade on a real file, through its real thread.

mod fleet;
mod future;
mod items;
mod model;

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
}

fn new_secret(name: &str, value: &str) -> CreateSecret {
    CreateSecret { name: SecretName::parse(name).unwrap(), value: value_of(value), provider: None }
}

fn value_of(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned()).unwrap()
}

#[tokio::test]
async fn what_happens_to_the_file_after_a_wrong_key_is_noticed() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new().await;
    let file = fixture.directory.path().join("data/vault.db");
    let set_mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    let unlock = |text| fixture.vault.unlock(&fixture.owner, passphrase(text));
    fixture.create("A", "a").await.unwrap();
    fixture.vault.lock(&fixture.owner).await.unwrap();
    let copy = std::fs::read(&file).unwrap();
    assert!(matches!(unlock("wrong").await, Err(Error::WrongKey)));
    set_mode(0o644);
    assert!(matches!(unlock(PASSPHRASE).await, Err(Error::UnsafeFile(_))));
    set_mode(0o600);
    assert!(matches!(unlock("wrong").await, Err(Error::WrongKey)));
    // Put in the place of the one that was opened, as a restore does.
    let other = file.with_extension("other");
    std::fs::write(&other, copy).unwrap();
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::rename(&other, &file).unwrap();
    unlock(PASSPHRASE).await.unwrap();
    fixture.create("B", "b").await.unwrap();
    fixture.vault.lock(&fixture.owner).await.unwrap();
    unlock(PASSPHRASE).await.unwrap();
    assert_eq!(fixture.names().await, ["A", "B"]);
}

#[tokio::test]
async fn what_is_refused_does_not_keep_the_vault_open() {
    let fixture = Fixture::new().await;
    fixture.create("A", "a").await.unwrap();
    let pause = Duration::from_millis(20);
    std::thread::sleep(pause);
    assert!(matches!(fixture.reveal(&["ABSENT"]).await, Err(Error::Missing(_))));
    assert!(matches!(fixture.create("A", "b").await, Err(Error::NameTaken)));
    let idle_for = || fixture.vault.shared.idle_for(fixture.vault.shared.clock.now());
    assert!(idle_for() >= pause);
    std::thread::sleep(pause);
    let before = idle_for();
    fixture.reveal(&["A"]).await.unwrap();
    assert!(idle_for() < before);
}

/// Makes the audit log longer by this many entries.
async fn lengthen_log(fixture: &Fixture, entries: usize) {
    let write = move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| {
        let mut event = || batch.audit(caller, Event::done(AuditAction::Verify, Vec::new()));
        (0..entries).try_for_each(|_| event())
    };
    fixture.vault.write(&fixture.owner, write).await.unwrap();
}

/// What `work` gives, and how many reveals were answered before it.
async fn reveals_during<T>(fixture: &Fixture, work: impl Future<Output = T>) -> (T, usize) {
    let mut work = std::pin::pin!(work);
    let mut answered = 0;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return (done, answered),
            revealed = fixture.reveal(&["A"]) => answered += revealed.unwrap().len(),
        }
    }
}

#[tokio::test]
async fn reveals_are_answered_while_the_vault_is_verified_and_copied() {
    let mut fixture = Fixture::new().await;
    fixture.create("A", "a").await.unwrap();
    lengthen_log(&fixture, 20_000).await;
    let (vault, owner) = (fixture.vault.clone(), fixture.owner.clone());
    let now = || async { vault.verify_audit(&owner).await.unwrap().entries };
    let before = now().await;
    let (counts, answered) = reveals_during(&fixture, vault.verify(&owner, VerifyRequest::default())).await;
    assert!(answered > 3, "{answered} were answered during verify");
    // It was a snapshot that was read.
    assert_eq!(counts.unwrap().audit_entries, before);
    assert!(now().await >= before + answered as u64);

    let (copy, answered) = reveals_during(&fixture, vault.backup(&owner)).await;
    assert!(answered > 3, "{answered} were answered during backup");
    assert!(copy.unwrap().reply.len() > 4_096);

    // Nothing was lost in the log that was held.
    let entries = now().await;
    vault.lock(&owner).await.unwrap();
    fixture.restart().await;
    fixture.vault.unlock(&owner, passphrase(PASSPHRASE)).await.unwrap();
    let counts = fixture.vault.verify(&owner, VerifyRequest::default()).await.unwrap();
    assert!(counts.audit_entries >= entries);
}

#[tokio::test]
async fn reveals_and_writes_go_on_while_the_data_key_is_replaced() {
    let mut fixture = Fixture::new().await;
    let (vault, owner) = (&fixture.vault.clone(), fixture.owner.clone());
    fixture.create("A", "a").await.unwrap();
    let mut ids = Vec::new();
    for name in ["B", "C", "D"] {
        ids.push(fixture.create(name, "old").await.unwrap().secret.id);
    }
    lengthen_log(&fixture, 2_000).await;

    let rotate = vault.rotate(&owner, passphrase(PASSPHRASE), false);
    // Once it is under way, of each kind of change one.
    let change = async {
        under_way(vault).await;
        vault.update(&owner, ids[0], UpdateSecret { value: value_of("new") }, None).await.unwrap();
        vault.delete(&owner, ids[1], None, false).await.unwrap();
        vault.delete(&owner, ids[2], None, true).await.unwrap();
        fixture.create("E", "e").await.unwrap();
        assert_eq!(vault.snapshots.available_permits(), 0, "all of this came after the rotation");
        vault.verify_audit(&owner).await.unwrap().entries
    };
    let ((rotated, entries), answered) =
        reveals_during(&fixture, async { tokio::join!(rotate, change) }).await;
    assert!(answered > 3, "{answered} were answered during the rotation");

    let check = async |fixture: &Fixture| {
        let (vault, owner) = (&fixture.vault, &fixture.owner);
        let found = fixture.reveal(&["*"]).await.unwrap();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("A", "a"), ("B", "new"), ("E", "e")]);
        assert_eq!(fixture.trash().await.total, 1);
        let counts = vault.verify(owner, VerifyRequest::default()).await.unwrap();
        assert_eq!((counts.secrets, counts.trashed, counts.values), (3, 1, 5));
        assert!(vault.verify_audit(owner).await.unwrap().entries >= entries);
    };
    check(&fixture).await;
    fixture.restart().await;
    fixture.vault.unlock(&owner, Key::Recovery(rotated.unwrap().recovery_key)).await.unwrap();
    check(&fixture).await;
    assert_eq!(fixture.vault.versions(&owner, ids[0]).await.unwrap().versions.len(), 2);
}

#[tokio::test]
async fn what_is_archived_during_a_rotation_is_gone_after_it() {
    use secrets_proto::audit::ArchiveAudit;
    let mut fixture = Fixture::new().await;
    let (vault, owner) = (&fixture.vault.clone(), fixture.owner.clone());
    fixture.create("A", "a").await.unwrap();
    lengthen_log(&fixture, 2_000).await;
    for through in [700, 1_500] {
        let rotate = vault.rotate(&owner, passphrase(PASSPHRASE), false);
        let archive = async {
            under_way(vault).await;
            // The vault's thread has begun the snapshot when it answers this.
            vault.keys(&owner).await.unwrap();
            vault.archive_audit(&owner, ArchiveAudit { through }).await.unwrap();
            assert_eq!(vault.snapshots.available_permits(), 0, "it came after the rotation");
        };
        let (rotated, ()) = tokio::join!(rotate, archive);
        rotated.unwrap();
        assert_eq!(vault.verify_audit(&owner).await.unwrap().first, through + 1);
        vault.verify(&owner, VerifyRequest::default()).await.unwrap();
    }
    fixture.restart().await;
    fixture.vault.unlock(&owner, passphrase(PASSPHRASE)).await.unwrap();
    assert_eq!(fixture.vault.verify_audit(&owner).await.unwrap().first, 1_501);
    assert_eq!(fixture.reveal(&["A"]).await.unwrap(), [("A".to_owned(), "a".to_owned())]);
}

#[tokio::test]
async fn a_key_that_is_added_during_a_rotation_ends_it() {
    let fixture = Fixture::new().await;
    let (vault, owner) = (&fixture.vault, &fixture.owner);
    lengthen_log(&fixture, 2_000).await;
    let add = async {
        under_way(vault).await;
        vault.add_key(owner, Some(passphrase("new")), None, false, None).await.unwrap();
    };
    let (rotated, ()) = tokio::join!(vault.rotate(owner, passphrase(PASSPHRASE), false), add);
    assert!(matches!(rotated, Err(Error::KeysChanged)), "{rotated:?}");
    for text in [PASSPHRASE, "new"] {
        vault.lock(owner).await.unwrap();
        vault.unlock(owner, passphrase(text)).await.unwrap();
    }
    assert_eq!(copies(&fixture), 0);
}

/// Until something that reads a snapshot is under way.
async fn under_way(vault: &Vault) {
    while vault.snapshots.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
}

/// How many files of the data directory are neither the vault nor its log nor what stands for room on the disk.
fn copies(fixture: &Fixture) -> usize {
    let names = std::fs::read_dir(fixture.directory.path().join("data")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let known = ["vault.db", "vault.db-wal", "vault.lock", "ballast"];
    names.filter(|name| !known.contains(&name.as_str())).count()
}

#[tokio::test]
async fn what_was_archived_leaves_the_log_and_the_rest_stays_chained_on_it() {
    use secrets_proto::audit::ArchiveAudit;
    let mut fixture = Fixture::new().await;
    fixture.create("A", "a").await.unwrap();
    lengthen_log(&fixture, 5_000).await;
    let owner = fixture.owner.clone();
    let verified = fixture.vault.verify_audit(&owner).await.unwrap();
    let (through, beyond) = (verified.entries, verified.entries + 1);
    let beyond = fixture.vault.archive_audit(&owner, ArchiveAudit { through: beyond }).await;
    assert!(matches!(beyond, Err(Error::NotFound)));
    let removed = fixture.vault.archive_audit(&owner, ArchiveAudit { through }).await.unwrap().removed;
    assert_eq!(removed, through);
    fixture.reveal(&["A"]).await.unwrap();
    for _ in 0..2 {
        let verified = fixture.vault.verify_audit(&owner).await.unwrap();
        assert_eq!(verified.first, through + 1);
        let counts = fixture.vault.verify(&owner, VerifyRequest::default()).await.unwrap();
        assert_eq!(counts.audit_entries, verified.entries);
        let listed = fixture.vault.audit(&owner, AuditQuery::default()).await.unwrap().reply;
        assert_eq!(listed.entries.first().unwrap().sequence, through + 1);
        assert!(!listed.more);
        let before = AuditQuery { before: Some(through), ..AuditQuery::default() };
        assert!(fixture.vault.audit(&owner, before).await.unwrap().reply.entries.is_empty());
        // Once more, with all of it under another key and read again.
        fixture.vault.rotate(&owner, passphrase(PASSPHRASE), false).await.unwrap();
        fixture.vault.lock(&owner).await.unwrap();
        fixture.restart().await;
        fixture.vault.unlock(&owner, passphrase(PASSPHRASE)).await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_ends_what_reads_a_snapshot() {
    let fixture = Fixture::new().await;
    lengthen_log(&fixture, 20_000).await;
    let (vault, owner) = (&fixture.vault, &fixture.owner);
    let lock = async || {
        under_way(vault).await;
        // The vault's thread has begun the snapshot when it answers this.
        vault.keys(owner).await.unwrap();
        vault.lock(owner).await.unwrap();
    };
    let (verified, ()) = tokio::join!(biased; vault.verify(owner, VerifyRequest::default()), lock());
    assert!(matches!(verified, Err(Error::Locked)), "{verified:?}");

    vault.unlock(owner, passphrase(PASSPHRASE)).await.unwrap();
    let (rotated, ()) = tokio::join!(biased; vault.rotate(owner, passphrase(PASSPHRASE), false), lock());
    assert!(matches!(rotated, Err(Error::Locked)), "{rotated:?}");
    assert_eq!(copies(&fixture), 0);
    // The key of before opens it, and all of it is there.
    vault.unlock(owner, passphrase(PASSPHRASE)).await.unwrap();
    vault.verify(owner, VerifyRequest::default()).await.unwrap();
}

#[tokio::test]
async fn what_is_stored_survives_lock_and_restart() {
    let mut fixture = Fixture::new().await;
    let long = "x".repeat(SecretValue::MAX);
    for (name, value) in [("b", "two\n"), ("A", "$2a$10$é🦀"), ("LONG", &long)] {
        fixture.create(name, value).await.unwrap();
    }
    fixture.vault.lock(&fixture.owner).await.unwrap();
    assert!(matches!(fixture.list(&fixture.owner).await, Err(Error::Locked)));
    assert!(matches!(fixture.reveal(&["A"]).await, Err(Error::Locked)));
    assert!(matches!(fixture.create("C", "c").await, Err(Error::Locked)));
    fixture.restart().await;
    assert_eq!(fixture.vault.describe(&fixture.owner).state, VaultState::Locked);

    let wrong = fixture.vault.unlock(&fixture.owner, passphrase("wrong")).await;
    assert!(matches!(wrong, Err(Error::WrongKey)));
    let status = fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap();
    assert_eq!((status.state, status.secrets, status.keys), (VaultState::Unlocked, Some(3), Some(2)));
    assert_eq!(fixture.names().await, ["A", "B", "LONG"]);
    let revealed = fixture.reveal(&["b", "*"]).await.unwrap();
    let expected = [("B", "two\n"), ("A", "$2a$10$é🦀"), ("LONG", &long)];
    assert!(revealed.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
}

#[tokio::test]
async fn every_kind_of_key_opens_its_slot_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let vault = Vault::start(settings(directory.path()), None).unwrap();
    let owner = Caller::owner(Peer { uid: 0, pid: 1 });
    assert!(matches!(vault.unlock(&owner, passphrase("x")).await, Err(Error::Uninitialized)));
    let key_file = directory.path().join("key");
    let absent = vault.init(&owner, Key::File(key_file.clone()), false).await;
    assert!(matches!(absent, Err(Error::UnusableKey(KeyField::KeyFile, _))));
    files_with(&key_file, &[7; 31]);
    assert!(matches!(
        vault.init(&owner, Key::File(key_file.clone()), false).await,
        Err(Error::UnusableKey(..))
    ));
    files_with(&key_file, &[7; 32]);
    let recovery = vault.init(&owner, Key::File(key_file.clone()), false).await.unwrap().recovery_key;
    assert!(matches!(vault.init(&owner, passphrase("x"), false).await, Err(Error::AlreadyInitialized)));

    for key in [Key::File(key_file.clone()), Key::Recovery(recovery.clone())] {
        vault.lock(&owner).await.unwrap();
        assert_eq!(vault.unlock(&owner, key).await.unwrap().state, VaultState::Unlocked);
    }
    vault.lock(&owner).await.unwrap();
    files_with(&key_file, &[8; 32]);
    assert!(matches!(vault.unlock(&owner, Key::File(key_file)).await, Err(Error::WrongKey)));
    let as_passphrase = passphrase(recovery.expose());
    assert!(matches!(vault.unlock(&owner, as_passphrase).await, Err(Error::WrongKey)));
}

fn files_with(path: &Path, content: &[u8]) {
    secrets_local::files::replace_private(path, content).unwrap();
}

#[tokio::test]
async fn versions_guard_changes_and_names_are_unique() {
    let fixture = Fixture::new().await;
    let created = fixture.create("a", "one").await.unwrap();
    let id = created.secret.id;
    assert_eq!(created.version, 1);
    assert!(matches!(fixture.create("A", "other").await, Err(Error::NameTaken)));

    let new = || UpdateSecret { value: value_of("two") };
    let stale = fixture.vault.update(&fixture.owner, id, new(), Some(vec![2])).await;
    assert!(matches!(stale, Err(Error::Stale)));
    let updated = fixture.vault.update(&fixture.owner, id, new(), Some(vec![1])).await.unwrap();
    assert_eq!((updated.version, updated.secret.id), (2, id));
    assert_eq!(fixture.reveal(&[&id.to_string()]).await.unwrap(), [("A".to_owned(), "two".to_owned())]);

    fixture.create("b", "b").await.unwrap();
    let rename =
        |name| PatchSecret { name: Some(SecretName::parse(name).unwrap()), ..PatchSecret::default() };
    let taken = fixture.vault.edit(&fixture.owner, id, rename("B"), None).await;
    assert!(matches!(taken, Err(Error::NameTaken)));
    fixture.vault.edit(&fixture.owner, id, rename("C"), None).await.unwrap();
    assert_eq!(fixture.names().await, ["B", "C"]);
    assert_eq!(fixture.reveal(&["C"]).await.unwrap(), [("C".to_owned(), "two".to_owned())]);

    fixture.vault.delete(&fixture.owner, id, None, false).await.unwrap();
    assert!(matches!(fixture.vault.secret(&fixture.owner, id), Err(Error::NotFound)));
    fixture.create("C", "another").await.unwrap();
    fixture.vault.delete(&fixture.owner, id, None, true).await.unwrap();
    let again = fixture.vault.delete(&fixture.owner, id, None, true).await;
    assert!(matches!(again, Err(Error::NotFound)));
    assert_eq!(fixture.reveal(&["C"]).await.unwrap(), [("C".to_owned(), "another".to_owned())]);
}

#[tokio::test]
async fn a_right_that_is_lacking_is_in_the_audit_log() {
    let fixture = Fixture::new().await;
    let id = fixture.create("a", "one").await.unwrap().secret.id;
    let stranger = Caller::stranger(Peer { uid: 7, pid: 8 });
    let vault = &fixture.vault;
    assert!(matches!(fixture.list(&stranger).await, Err(Error::Forbidden(_))));
    assert!(matches!(vault.secret(&stranger, id), Err(Error::Forbidden(_))));
    assert!(matches!(vault.delete(&stranger, id, None, true).await, Err(Error::Forbidden(_))));
    assert!(matches!(vault.delete(&stranger, id, None, false).await, Err(Error::Forbidden(_))));
    assert!(matches!(vault.lock(&stranger).await, Err(Error::Forbidden(_))));
    assert!(matches!(vault.unlock(&stranger, passphrase("x")).await, Err(Error::Forbidden(_))));
    assert!(matches!(vault.audit(&stranger, AuditQuery::default()).await, Err(Error::Forbidden(_))));
    assert!(matches!(vault.verify_audit(&stranger).await, Err(Error::Forbidden(_))));
    let entries = vault.audit(&fixture.owner, AuditQuery::default()).await.unwrap().reply.entries;
    let denied = entries.iter().filter(|entry| entry.refusal == Some(Refusal::Scope));
    let denied: Vec<_> = denied.map(|entry| (entry.action, entry.count, entry.caller.uid)).collect();
    let expected = [
        (AuditAction::List, 2, 7),
        (AuditAction::Purge, 1, 7),
        (AuditAction::Delete, 1, 7),
        (AuditAction::Lock, 1, 7),
        (AuditAction::Unlock, 1, 7),
        (AuditAction::Audit, 2, 7),
    ];
    assert_eq!(denied, expected);
    assert!(entries.iter().any(|entry| entry.until.is_some_and(|until| until >= entry.time)));
}

#[tokio::test]
async fn old_versions_are_dropped_and_the_vault_still_verifies() {
    let mut fixture = Fixture::new().await;
    let id = fixture.create("a", "0").await.unwrap().secret.id;
    for number in 1..=25 {
        let new = UpdateSecret { value: value_of(&number.to_string()) };
        fixture.vault.update(&fixture.owner, id, new, None).await.unwrap();
    }
    fixture.restart().await;
    fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap();
    assert_eq!(fixture.reveal(&["A"]).await.unwrap(), [("A".to_owned(), "25".to_owned())]);
}

#[tokio::test]
async fn a_reveal_is_all_or_nothing_and_audited_either_way() {
    let fixture = Fixture::new().await;
    fixture.create("a", "one").await.unwrap();
    let missing = fixture.reveal(&["nope", "A", "Z*"]).await;
    assert!(matches!(missing, Err(Error::Missing(at)) if at == [0, 2]));
    fixture.reveal(&["a"]).await.unwrap();
    let entries = fixture.vault.audit(&fixture.owner, AuditQuery::default()).await.unwrap().reply.entries;
    let seen: Vec<_> = entries.iter().map(|entry| (entry.sequence, entry.action, entry.outcome)).collect();
    assert_eq!(
        seen,
        [
            (1, AuditAction::Init, AuditOutcome::Ok),
            (2, AuditAction::Create, AuditOutcome::Ok),
            (3, AuditAction::Reveal, AuditOutcome::Ok),
            // Nobody has waited for it, and it is there when somebody looks.
            (4, AuditAction::Reveal, AuditOutcome::Denied),
        ]
    );
    assert!(entries[3].time <= entries[2].time);
    let query = AuditQuery { name: Some(SecretName::parse("NOPE").unwrap()), ..AuditQuery::default() };
    assert_eq!(fixture.vault.audit(&fixture.owner, query).await.unwrap().reply.entries.len(), 1);
    assert_eq!(fixture.vault.verify_audit(&fixture.owner).await.unwrap().entries, 4);
    let newest = AuditQuery { limit: Some(1), ..AuditQuery::default() };
    assert_eq!(fixture.vault.audit(&fixture.owner, newest).await.unwrap().reply.entries[0].sequence, 4);
    assert!(fixture.vault.secret(&fixture.owner, fixture_id(&fixture).await).unwrap().last_used_at.is_some());
}

async fn fixture_id(fixture: &Fixture) -> Uuid {
    fixture.list(&fixture.owner).await.unwrap()[0].secret.id
}

#[tokio::test]
async fn writes_that_wait_together_are_each_answered_by_their_own_result() {
    let fixture = Fixture::new().await;
    let writes = (0..40).map(|number| {
        let (vault, owner) = (fixture.vault.clone(), fixture.owner.clone());
        tokio::spawn(async move { vault.create(&owner, new_secret(&format!("N{}", number % 20), "x")).await })
    });
    let mut outcomes = Vec::new();
    for write in writes.collect::<Vec<_>>() {
        outcomes.push(write.await.unwrap());
    }
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 20);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::NameTaken))));
    assert_eq!(fixture.names().await.len(), 20);
}

#[tokio::test]
async fn the_rendered_list_is_made_once_for_each_change_and_gone_when_locked() {
    fn page(secrets: &[Secret]) -> Bytes {
        Bytes::from(secrets.iter().map(|secret| format!("{} ", secret.name)).collect::<String>())
    }
    fn list(pages: &[Bytes], total: usize) -> Bytes {
        Bytes::from([&pages.concat(), total.to_string().as_bytes()].concat())
    }
    fn full_page(secrets: &[SecretDetail]) -> Bytes {
        page(&secrets.iter().map(|detail| detail.secret.clone()).collect::<Vec<_>>())
    }
    let (form, full) = (Form { page, list }, Form { page: full_page, list });
    let fixture = Fixture::new().await;
    let first = fixture.vault.rendered_list(&fixture.owner, form).unwrap();
    let same = fixture.vault.rendered_list(&fixture.owner, form).unwrap();
    assert_eq!((&first.tag, first.body.as_ptr()), (&same.tag, same.body.as_ptr()));
    let id = fixture.create("a", "one").await.unwrap().secret.id;
    let next = fixture.vault.rendered_list(&fixture.owner, form).unwrap();
    assert_eq!(&*next.body, b"A 1");
    assert_ne!(first.tag, next.tag);
    // A new name, the trash and back: each is a change of the page it was on, and of the one it comes to.
    for (change, expected) in [("rename", "Z 1"), ("delete", "0"), ("restore", "Z 1")] {
        match change {
            "rename" => {
                let renamed = PatchSecret { name: SecretName::parse("Z").ok(), ..PatchSecret::default() };
                drop(fixture.vault.edit(&fixture.owner, id, renamed, None).await.unwrap());
            }
            "delete" => fixture.vault.delete(&fixture.owner, id, None, false).await.unwrap(),
            _ => drop(fixture.vault.restore(&fixture.owner, id).await.unwrap()),
        }
        let list = fixture.vault.rendered_list(&fixture.owner, form).unwrap();
        assert_eq!(&*list.body, expected.as_bytes(), "{change}");
        let full = fixture.vault.full_list(&fixture.owner, full).await.unwrap();
        assert_eq!(&*full.reply, expected.as_bytes(), "{change}");
    }
    fixture.vault.lock(&fixture.owner).await.unwrap();
    assert!(matches!(fixture.vault.rendered_list(&fixture.owner, form), Err(Error::Locked)));
}

#[tokio::test]
async fn a_second_daemon_is_told_the_first_ones_pid() {
    let fixture = Fixture::new().await;
    let second = Vault::start(settings(fixture.directory.path()), None);
    assert!(
        matches!(second, Err(StartError::Running(noted)) if noted.pid() == Some(rustix::process::getpid()))
    );
}

#[tokio::test]
async fn the_vault_locks_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { idle_lock: Duration::from_millis(50), ..settings(directory.path()) };
    let vault = Vault::start(settings, None).unwrap();
    let owner = Caller::owner(Peer { uid: 0, pid: 1 });
    vault.init(&owner, passphrase(PASSPHRASE), false).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while vault.describe(&owner).state != VaultState::Locked {
        assert!(std::time::Instant::now() < deadline, "still unlocked");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn versions_roll_back_and_the_trash_gives_back() {
    let mut fixture = Fixture::new().await;
    let id = fixture.create("a", "first-value-of-this-secret").await.unwrap().secret.id;
    let new = UpdateSecret { value: value_of("second-value-of-this-secret") };
    fixture.vault.update(&fixture.owner, id, new, None).await.unwrap();
    let versions = fixture.vault.versions(&fixture.owner, id).await.unwrap().versions;
    let shown: Vec<_> = versions
        .iter()
        .map(|version| (version.version, version.masked_value.as_str(), version.current))
        .collect();
    assert_eq!(shown, [(2, "second••••ret", true), (1, "first-••••ret", false)]);

    let to = RollbackRequest { version: 1 };
    let rolled_back = fixture.vault.rollback(&fixture.owner, id, to, None).await.unwrap();
    assert_eq!((rolled_back.version, rolled_back.secret.masked_value.as_str()), (3, "first-••••ret"));
    let nowhere = fixture.vault.rollback(&fixture.owner, id, RollbackRequest { version: 9 }, None).await;
    assert!(matches!(nowhere, Err(Error::NotFound)));

    fixture.vault.delete(&fixture.owner, id, None, false).await.unwrap();
    fixture.restart().await;
    fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap();
    let trash = fixture.trash().await;
    assert_eq!((trash.total, trash.secrets[0].secret.id), (1, id));
    assert!(matches!(fixture.vault.versions(&fixture.owner, id).await, Err(Error::NotFound)));
    fixture.vault.restore(&fixture.owner, id).await.unwrap();
    assert_eq!(
        fixture.reveal(&["a"]).await.unwrap(),
        [("A".to_owned(), "first-value-of-this-secret".to_owned())]
    );
    assert!(matches!(fixture.vault.restore(&fixture.owner, id).await, Err(Error::NotFound)));

    fixture.vault.delete(&fixture.owner, id, None, false).await.unwrap();
    fixture.create("a", "another").await.unwrap();
    assert!(matches!(fixture.vault.restore(&fixture.owner, id).await, Err(Error::NameTaken)));
}

#[tokio::test]
async fn an_earlier_value_is_dropped_as_a_whole_and_the_present_one_stays() {
    let mut fixture = Fixture::new().await;
    let id = fixture.create("a", "first-value-of-this-secret").await.unwrap().secret.id;
    for value in ["second-value-of-this-secret", "third-value-of-this-secret"] {
        fixture
            .vault
            .update(&fixture.owner, id, UpdateSecret { value: value_of(value) }, None)
            .await
            .unwrap();
    }
    let present = fixture.vault.drop_version(&fixture.owner, id, 3, None).await;
    assert!(matches!(present, Err(Error::PresentValue)));
    let stale = fixture.vault.drop_version(&fixture.owner, id, 1, Some(vec![2])).await;
    assert!(matches!(stale, Err(Error::Stale)));
    fixture.vault.drop_version(&fixture.owner, id, 2, Some(vec![3])).await.unwrap();
    let again = fixture.vault.drop_version(&fixture.owner, id, 2, None).await;
    assert!(matches!(again, Err(Error::NotFound)));
    // The manifest accounts for it: the vault opens, and all of it verifies.
    fixture.restart().await;
    fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap();
    let versions = fixture.vault.versions(&fixture.owner, id).await.unwrap().versions;
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [3, 1]);
    // Numbers are not given twice.
    fixture.vault.update(&fixture.owner, id, UpdateSecret { value: value_of("fourth") }, None).await.unwrap();
    let versions = fixture.vault.versions(&fixture.owner, id).await.unwrap().versions;
    assert_eq!(versions[0].version, 4);
}

#[tokio::test]
async fn keys_come_and_go_but_the_last_stays() {
    let fixture = Fixture::new().await;
    let (vault, owner) = (&fixture.vault, &fixture.owner);
    let before = vault.keys(owner).await.unwrap().keys;
    let old = before.iter().find(|key| key.kind == KeyKind::Passphrase).unwrap().id;
    let new = vault.add_key(owner, Some(passphrase("new")), Some(old), false, None).await.unwrap();
    assert!(matches!(
        vault.add_key(owner, Some(passphrase("x")), Some(old), false, None).await,
        Err(Error::NotFound)
    ));
    let recovery = vault.add_key(owner, None, None, false, None).await.unwrap();
    assert_eq!(vault.describe(owner).keys, Some(3));

    vault.lock(owner).await.unwrap();
    assert!(matches!(vault.unlock(owner, passphrase(PASSPHRASE)).await, Err(Error::WrongKey)));
    vault.unlock(owner, Key::Recovery(recovery.recovery_key.unwrap())).await.unwrap();
    for key in vault.keys(owner).await.unwrap().keys {
        if key.id != new.key.id {
            vault.remove_key(owner, key.id, None).await.unwrap();
        }
    }
    assert!(matches!(vault.remove_key(owner, new.key.id, None).await, Err(Error::LastKey)));
    vault.lock(owner).await.unwrap();
    assert_eq!(vault.unlock(owner, passphrase("new")).await.unwrap().keys, Some(1));
}

#[tokio::test]
async fn rotation_keeps_everything_and_drops_the_other_keys() {
    let mut fixture = Fixture::new().await;
    let id = fixture.create("a", "one").await.unwrap().secret.id;
    fixture.vault.update(&fixture.owner, id, UpdateSecret { value: value_of("two") }, None).await.unwrap();
    fixture.vault.add_key(&fixture.owner, Some(passphrase("other")), None, false, None).await.unwrap();
    assert!(matches!(
        fixture.vault.rotate(&fixture.owner, passphrase("wrong"), false).await,
        Err(Error::WrongKey)
    ));
    let rotated = fixture.vault.rotate(&fixture.owner, passphrase(PASSPHRASE), false).await.unwrap();
    assert_eq!(rotated.keys_removed, 1);
    assert_eq!(fixture.reveal(&["a"]).await.unwrap(), [("A".to_owned(), "two".to_owned())]);
    fixture.create("b", "three").await.unwrap();

    fixture.restart().await;
    assert!(matches!(fixture.vault.unlock(&fixture.owner, passphrase("other")).await, Err(Error::WrongKey)));
    fixture.vault.unlock(&fixture.owner, Key::Recovery(rotated.recovery_key)).await.unwrap();
    assert_eq!(fixture.vault.versions(&fixture.owner, id).await.unwrap().versions.len(), 2);
    let counts = fixture.vault.verify(&fixture.owner, VerifyRequest::default()).await.unwrap();
    assert_eq!((counts.secrets, counts.values), (2, 3));
    assert!(counts.audit_entries >= 7);
}

#[tokio::test]
async fn an_old_copy_is_read_only_until_it_is_accepted() {
    let mut fixture = Fixture::new().await;
    fixture.create("a", "one").await.unwrap();
    let copy = fixture.vault.backup(&fixture.owner).await.unwrap();
    fixture.create("b", "two").await.unwrap();
    fixture.vault.lock(&fixture.owner).await.unwrap();
    files_with(&fixture.directory.path().join("data/vault.db"), &copy.reply);
    fixture.restart().await;

    let status = fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap();
    assert!(status.rolled_back);
    assert_eq!(fixture.names().await, ["A"]);
    assert!(matches!(fixture.create("c", "three").await, Err(Error::RolledBack)));
    assert!(matches!(fixture.reveal(&["a"]).await, Err(Error::RolledBack)));
    assert!(matches!(
        fixture.vault.add_key(&fixture.owner, None, None, false, None).await,
        Err(Error::RolledBack)
    ));
    assert!(matches!(
        fixture.vault.rotate(&fixture.owner, passphrase(PASSPHRASE), false).await,
        Err(Error::RolledBack)
    ));
    fixture.vault.lock(&fixture.owner).await.unwrap();
    assert!(fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap().rolled_back);

    fixture.vault.verify(&fixture.owner, VerifyRequest { accept_restore: true }).await.unwrap();
    fixture.create("c", "three").await.unwrap();
    fixture.restart().await;
    assert!(!fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap().rolled_back);
    assert_eq!(fixture.reveal(&["*"]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_rotation_that_began_before_a_new_passphrase_is_refused() {
    let fixture = Fixture::new().await;
    let (vault, owner) = (&fixture.vault, &fixture.owner);
    let found = vault.ask(Command::Slots).await.unwrap();
    let old = vault.keys(owner).await.unwrap().keys[0].id;
    vault.add_key(owner, Some(passphrase("new")), Some(old), false, None).await.unwrap();
    let slots = vec![NewSlot::derive(SlotKind::Passphrase, CHEAP, PASSPHRASE.as_bytes()).unwrap()];
    let interrupts = Interrupts::default();
    let rotated = vault
        .whole(owner, move |vault, caller| vault.rotate(caller, &slots, &found.header_mac, &interrupts))
        .await;
    assert!(matches!(rotated, Err(Error::KeysChanged)));
    vault.lock(owner).await.unwrap();
    vault.unlock(owner, passphrase("new")).await.unwrap();
}

#[tokio::test]
async fn a_new_vault_does_not_take_the_place_of_one_that_is_missing() {
    let mut fixture = Fixture::new().await;
    fixture.vault.lock(&fixture.owner).await.unwrap();
    let file = |name: &str| fixture.directory.path().join(name);
    let (vault_file, anchor, log) = (file("data/vault.db"), file("state/anchor"), file("data/vault.db-wal"));
    std::fs::rename(&vault_file, file("data/elsewhere")).unwrap();
    fixture.restart().await;
    assert_eq!(fixture.vault.describe(&fixture.owner).state, VaultState::Uninitialized);
    let refused = fixture.vault.init(&fixture.owner, passphrase("x"), false).await;
    assert!(matches!(refused, Err(Error::VaultMissing)));
    assert!(!vault_file.exists());
    std::fs::remove_file(&anchor).unwrap();
    files_with(&log, b"the log of another vault");
    let refused = fixture.vault.init(&fixture.owner, passphrase("x"), false).await;
    assert!(matches!(refused, Err(Error::VaultMissing)));
    std::fs::remove_file(&log).unwrap();
    fixture.vault.init(&fixture.owner, passphrase("x"), false).await.unwrap();
    assert!(!fixture.vault.describe(&fixture.owner).rolled_back);
    fixture.create("a", "b").await.unwrap();
}

#[tokio::test]
async fn files_of_the_vault_that_others_could_change_are_refused() {
    let mut fixture = Fixture::new().await;
    fixture.vault.lock(&fixture.owner).await.unwrap();
    let anchor = fixture.directory.path().join("state/anchor");
    let content = std::fs::read(&anchor).unwrap();
    std::fs::remove_file(&anchor).unwrap();
    std::os::unix::fs::symlink("/dev/null", &anchor).unwrap();
    let refused = fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await;
    assert!(matches!(refused, Err(Error::UnsafeFile(_))), "{refused:?}");
    std::fs::remove_file(&anchor).unwrap();
    files_with(&anchor, &content);
    let log = fixture.directory.path().join("data/vault.db-wal");
    // A handle that was refused and dropped leaves an empty one.
    secrets_local::files::remove_if_there(&log).unwrap();
    std::os::unix::fs::symlink("/dev/null", &log).unwrap();
    fixture.restart().await;
    let refused = fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await;
    assert!(matches!(refused, Err(Error::UnsafeFile(_))), "{refused:?}");
    std::fs::remove_file(&log).unwrap();
    fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap();
}

#[tokio::test]
async fn the_trash_is_kept_for_thirty_days() {
    let fixture = Fixture::new().await;
    let id = fixture.create("a", "one").await.unwrap().secret.id;
    fixture.create("b", "two").await.unwrap();
    fixture.vault.delete(&fixture.owner, id, None, false).await.unwrap();
    for (days, left) in [(29, 1), (31, 0)] {
        let now = Timestamp::now().saturating_add_seconds(days * 24 * 60 * 60);
        let emptied =
            fixture.vault.write(&fixture.owner, move |batch, caller| batch.empty_trash(caller, now));
        emptied.await.unwrap();
        assert_eq!(fixture.trash().await.total, left, "after {days} days");
    }
    assert_eq!(fixture.names().await, ["B"]);
    fixture.vault.verify(&fixture.owner, VerifyRequest::default()).await.unwrap();
}

impl Fixture {
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

#[tokio::test]
async fn what_a_revoked_token_has_asked_is_refused_when_its_turn_comes() {
    let fixture = Fixture::new().await;
    let (id, agent) = fixture.token("agent", None).await;
    let vault = &fixture.vault;
    // Past the facade's own check, as what waits for the vault's thread is.
    let write =
        || vault.write(&agent, |batch, caller| batch.audit(caller, Event::done(AuditAction::Create, vec![])));
    let freeing = || {
        vault.write_again(&agent, |batch, caller| {
            batch.audit(caller, Event::done(AuditAction::Create, vec![]))
        })
    };
    let whole = || vault.whole(&agent, |vault, _| vault.verify(&Interrupts::default()));
    write().await.unwrap();
    freeing().await.unwrap();
    whole().await.unwrap();
    vault.revoke_token(&fixture.owner, id).await.unwrap();
    assert!(matches!(write().await, Err(Error::UnknownToken)));
    assert!(matches!(freeing().await, Err(Error::UnknownToken)));
    assert!(matches!(whole().await, Err(Error::UnknownToken)));
    assert!(matches!(fixture.list(&agent).await, Err(Error::UnknownToken)));
}

#[tokio::test]
async fn expired_tokens_are_remembered_for_thirty_days() {
    let mut fixture = Fixture::new().await;
    fixture.token("endless", Some(None)).await;
    fixture.token("short", Some(Some(60))).await;
    for (days, left) in [(29, &["endless", "short"][..]), (31, &["endless"])] {
        let now = Timestamp::now().saturating_add_seconds(days * 24 * 60 * 60);
        let forgotten =
            fixture.vault.write(&fixture.owner, move |batch, caller| batch.forget_tokens(caller, now));
        forgotten.await.unwrap();
        assert_eq!(fixture.token_names(), left, "after {days} days");
    }
    fixture.restart().await;
    fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap();
    assert_eq!(fixture.token_names(), ["endless"]);
}

#[tokio::test]
async fn a_lock_beats_an_unlock_that_began_before_it() {
    let fixture = Fixture::new().await;
    let (vault, owner) = (&fixture.vault, &fixture.owner);
    vault.lock(owner).await.unwrap();
    let found = vault.ask(Command::Slots).await.unwrap();
    let open = || {
        slots::open_one(&found.slots, found.identity, SlotKind::Passphrase, PASSPHRASE.as_bytes(), || Ok(()))
            .unwrap()
    };
    vault.lock(owner).await.unwrap();
    let (caller, data, locks) = (owner.clone(), open(), found.locks);
    let late = vault.ask(|reply| Command::Unlock { caller, data, locks, reply }).await;
    assert!(matches!(late, Err(Error::Locked)));
    assert_eq!(vault.describe(owner).state, VaultState::Locked);
    // The same key opens it for an unlock that began afterwards.
    let (caller, data, locks) = (owner.clone(), open(), found.locks + 1);
    vault.ask(|reply| Command::Unlock { caller, data, locks, reply }).await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_makes_nobody_else_wait() {
    let fixture = Fixture::new().await;
    let wrong = || {
        let (vault, owner) = (fixture.vault.clone(), fixture.owner.clone());
        tokio::spawn(async move { vault.unlock(&owner, passphrase("wrong")).await })
    };
    // The delay doubles, so that the third is long enough to be seen from beside it.
    for _ in 0..2 {
        assert!(matches!(wrong().await.unwrap(), Err(Error::WrongKey)));
    }
    let delayed = wrong();
    fixture.create("a", "one").await.unwrap();
    fixture.reveal(&["a"]).await.unwrap();
    fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE)).await.unwrap();
    assert_eq!(fixture.names().await, ["A"]);
    assert!(!delayed.is_finished(), "the wrong key was answered at once, or everybody waited for it");
    assert!(matches!(delayed.await.unwrap(), Err(Error::WrongKey)));
}

#[tokio::test]
async fn what_takes_long_gives_up_for_a_lock_and_changes_nothing() {
    let fixture = Fixture::new().await;
    fixture.create("A", "a").await.unwrap();
    let (vault, owner) = (&fixture.vault, &fixture.owner);
    let found = vault.ask(Command::Slots).await.unwrap();
    let slots = vec![NewSlot::derive(SlotKind::Passphrase, CHEAP, b"other").unwrap()];
    let outcomes = vault
        .whole(owner, move |vault, caller| {
            let interrupts = Interrupts::default();
            interrupts.add();
            let outcomes = [
                vault.verify(&interrupts).map(drop),
                vault.backup(caller, &interrupts).map(drop),
                vault.rotate(caller, &slots, &found.header_mac, &interrupts),
            ];
            assert!(!vault.is_in_doubt());
            Ok(outcomes)
        })
        .await
        .unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::Locked))), "{outcomes:?}");
    vault.lock(owner).await.unwrap();
    vault.unlock(owner, passphrase(PASSPHRASE)).await.unwrap();
    assert_eq!(fixture.reveal(&["A"]).await.unwrap(), [("A".to_owned(), "a".to_owned())]);
    vault.verify(owner, VerifyRequest::default()).await.unwrap();
}
