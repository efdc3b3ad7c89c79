//! Vaults as a newer program leaves them: with fields, kinds of records and marks that are not known here.

use std::collections::BTreeMap;
use std::fs;

use secrets_proto::UnitName;
use secrets_proto::credential::AllowCredentials;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::crypto::keys::{Identity, Keys};
use crate::crypto::seal::{self, AadContext};
use crate::store::{AuditRow, ManifestRow, RecordKind, RecordRow, Store, log_of};
use crate::vault::format::audit_chain::{audit_context, audit_mac};
use crate::vault::format::manifest::Manifest;
use crate::vault::format::record::record_context;

/// What is put into each object, to the letter: also what a reader of JSON may round.
const FUTURE: &str = r#"{"deep":[{"note":"for \u00e9 only"},null,-0.10e+2],"large":123456789012345678901234567890,"name":"A"}"#;
/// Kinds that are not known here.
const KINDS: [u32; 3] = [5, 77, u32::MAX];
/// The length of what a manifest always has.
const FIXED: usize = 8 * 5 + 32 + 32 + 8 + 32;

/// What of a file is not known here, by where it is.
type Unknown = BTreeMap<String, Vec<u8>>;

/// How a newer program has left the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Closed,
    /// With all that it has written still in the log.
    Killed,
    /// And written again by another tool, without a log.
    Rebuilt,
}

struct File {
    store: Store,
    keys: Keys,
    lineage: [u8; 16],
}

impl File {
    fn open(path: &Path) -> Self {
        let store = Store::open(path).unwrap();
        let header = store.header().unwrap();
        let identity = Identity { vault: header.vault, epoch: header.epoch };
        let (slots, key) = (store.slots().unwrap(), PASSPHRASE.as_bytes());
        let data = slots::open_one(&slots, identity, SlotKind::Passphrase, key, || Ok(())).unwrap();
        Self { store, keys: Keys::derive(data, identity).unwrap(), lineage: header.lineage }
    }

    fn records(&self) -> Vec<(RecordRow, Vec<u8>)> {
        let mut records = Vec::new();
        let read = self.store.for_each_record(|row| -> Result<(), Error> {
            let plaintext =
                seal::open(&self.keys, record_context(row.kind, &row.id, row.version), &row.sealed)?;
            records.push((row, plaintext.to_vec()));
            Ok(())
        });
        read.unwrap();
        records
    }

    fn row(&self, kind: RecordKind, id: [u8; 16], version: u64, plaintext: &[u8]) -> RecordRow {
        let sealed = seal::seal(&self.keys, record_context(kind, &id, version), plaintext).unwrap();
        RecordRow { kind, id, version, sealed }
    }

    fn manifest_context(&self, generation: u64) -> AadContext<'_> {
        AadContext { table: "manifest".into(), row: &self.lineage, column: "sealed", version: generation }
    }

    /// Adds something to everything. The file is left as it is written, with a log.
    fn grow(self, requires: &[&str]) {
        let (keys, writing) = (&self.keys, self.store.begin().unwrap());
        let row = writing.manifest().unwrap();
        let mut manifest = Manifest::open(keys, &self.lineage, &row).unwrap();
        for (row, plaintext) in self.records() {
            if row.kind == RecordKind::Value {
                continue;
            }
            let grown = self.row(row.kind, row.id, row.version, &with_future(&plaintext, row.kind));
            manifest.remove(keys, &row).unwrap();
            manifest.add(keys, &grown).unwrap();
            writing.delete_record(&row).unwrap();
            writing.insert_record(&grown).unwrap();
        }
        for (at, number) in (1_u8..).zip(KINDS) {
            for version in [1, 9] {
                let kind = RecordKind::from_number(number);
                let row = self.row(kind, [at; 16], version, format!("no JSON {number}\0\u{e9}").as_bytes());
                manifest.add(keys, &row).unwrap();
                writing.insert_record(&row).unwrap();
            }
        }
        let mut header = writing.header().unwrap();
        for mut slot in writing.slots().unwrap() {
            let place =
                AadContext { table: "slot".into(), row: &slot.id.clone(), column: "sealed", version: 0 };
            let plaintext = seal::open(keys, place.clone(), &slot.sealed).unwrap();
            slot.sealed = seal::seal(keys, place, &with_future(&plaintext, RecordKind::Secret)).unwrap();
            writing.delete_slot(&slot.id).unwrap();
            writing.insert_slot(&slot).unwrap();
        }
        header.mac = slots::header_mac(keys, &header, &writing.slots().unwrap());
        if !requires.is_empty() {
            // By rules of its own, and a record of another form that nothing counts.
            header.mac[0] ^= 1;
            let (kind, id) = (RecordKind::Secret, [0xff; 16]);
            writing.insert_record(&self.row(kind, id, 1, br#"{"name":null}"#)).unwrap();
        }
        writing.update_header(&header).unwrap();
        manifest.header_mac = header.mac;

        let entry = r#"{"time":"2040-01-01T00:00:00Z","action":"foresee","uid":0,"pid":1,"token":"t","outcome":"asked","refusal":"nobody","future":FUTURE}"#;
        let (sequence, entry) = (manifest.audit_count + 1, entry.replace("FUTURE", FUTURE));
        let sealed =
            seal::seal(keys, audit_context(&sequence.to_be_bytes(), sequence), entry.as_bytes()).unwrap();
        let mac = audit_mac(keys, &manifest.audit_head, sequence, &sealed);
        writing.append_audit(&AuditRow { sequence, sealed, mac }).unwrap();
        (manifest.audit_count, manifest.audit_head) = (sequence, mac);

        manifest.generation += 1;
        let row = manifest.seal(keys, &self.lineage).unwrap();
        let place = || self.manifest_context(manifest.generation);
        let mut plaintext = seal::open(keys, place(), &row.sealed).unwrap().to_vec();
        let kinds: BTreeMap<u32, u64> = KINDS.into_iter().map(|kind| (kind, 2)).collect();
        let more: Value = serde_json::from_slice(&plaintext.split_off(FIXED)).unwrap();
        assert_eq!(more, json!({ "kinds": kinds }));
        let future: &RawValue = serde_json::from_str(FUTURE).unwrap();
        let kinds = serde_json::to_string(&kinds).unwrap();
        let more =
            if requires.is_empty() { String::new() } else { format!(r#""requires":{},"#, json!(requires)) };
        plaintext.extend(format!(r#"{{{more}"future":{future},"kinds":{kinds}}}"#).bytes());
        let sealed = seal::seal(keys, place(), &plaintext).unwrap();
        writing.update_manifest(&ManifestRow { generation: manifest.generation, sealed }).unwrap();
        writing.commit().unwrap();
    }

    fn unknown(&self) -> Unknown {
        let mut unknown = Unknown::new();
        for (row, plaintext) in self.records() {
            let id = Uuid::from_bytes(row.id);
            match row.kind {
                RecordKind::Value => {}
                RecordKind::Item | RecordKind::ItemValue | RecordKind::Collection => {}
                RecordKind::Fleet | RecordKind::Object | RecordKind::Origin => {}
                RecordKind::Unknown(kind) => {
                    unknown.insert(format!("kind {kind} {id} {}", row.version), plaintext);
                }
                kind @ (RecordKind::Secret
                | RecordKind::Token
                | RecordKind::Credential
                | RecordKind::ApprovalRule) => {
                    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&plaintext).unwrap();
                    if let Some(future) = fields.get("future") {
                        unknown.insert(format!("{kind:?} {id}"), future.get().into());
                    }
                    if kind == RecordKind::Token {
                        unknown.insert(format!("rights {id}"), fields["scopes"].get().into());
                    }
                }
            }
        }
        let all = self.store.for_each_audit_entry_after(None, |row| -> Result<bool, Error> {
            let bytes = row.sequence.to_be_bytes();
            let plaintext = seal::open(&self.keys, audit_context(&bytes, row.sequence), &row.sealed)?;
            if plaintext.windows(8).any(|part| part == b"\"future\"") {
                unknown.insert(format!("entry {}", row.sequence), plaintext.to_vec());
            }
            Ok(true)
        });
        all.unwrap();
        let row = self.store.manifest().unwrap();
        let plaintext = seal::open(&self.keys, self.manifest_context(row.generation), &row.sealed).unwrap();
        let more: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&plaintext[FIXED..]).unwrap();
        unknown.insert("manifest".to_owned(), more["future"].get().into());
        unknown.insert("kinds".to_owned(), more["kinds"].get().into());
        unknown
    }
}

fn with_future(plaintext: &[u8], kind: RecordKind) -> Vec<u8> {
    let mut text = String::from_utf8(plaintext.to_vec()).unwrap();
    if kind == RecordKind::Token {
        text = text.replace(r#""scopes":["#, r#""scopes":["consent","#);
    }
    format!(r#"{{"future":{FUTURE},{}"#, &text[1..]).into_bytes()
}

fn unknown_in(path: &Path) -> Unknown {
    File::open(path).unknown()
}

/// A vault with some of everything, left by a newer program; locked.
async fn from_the_future(requires: &[&str], left: Left) -> Fixture {
    let mut fixture = Fixture::new().await;
    let (vault, owner) = (&fixture.vault, &fixture.owner);
    for name in ["a", "b", "c"] {
        fixture.create(name, "one").await.unwrap();
    }
    let id = fixture.list(owner).await.unwrap()[2].secret.id;
    vault.delete(owner, id, None, false).await.unwrap();
    fixture.token("agent", Some(None)).await;
    vault.allow(owner, allowed("web.service", "A"), None).await.unwrap();
    fixture.restart().await;
    let path = fixture.path();
    File::open(&path).grow(requires);
    assert!(fs::metadata(log_of(&path)).unwrap().len() > 0);
    if left == Left::Closed {
        Store::open(&path).unwrap().close().unwrap();
    } else if left == Left::Rebuilt {
        let database = rusqlite::Connection::open(&path).unwrap();
        let _: String = database.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).unwrap();
        database.close().unwrap();
    }
    fixture.restart().await;
    fixture
}

fn allowed(unit: &str, name: &str) -> AllowCredentials {
    AllowCredentials {
        unit: UnitName::parse(unit).unwrap(),
        secrets: vec![SecretName::parse(name).unwrap()],
        proof: None,
    }
}

impl Fixture {
    fn path(&self) -> PathBuf {
        self.directory.path().join("data/vault.db")
    }

    /// Every file of the vault, by name.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let directories = ["data", "state"].map(|name| self.directory.path().join(name));
        let entries = directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
        let read = |path: PathBuf| (path.display().to_string(), fs::read(&path).unwrap());
        entries.map(|entry| read(entry.unwrap().path())).collect()
    }

    async fn open(&self) -> Result<(), Error> {
        self.vault.unlock(&self.owner, passphrase(PASSPHRASE)).await.map(drop)
    }
}

#[tokio::test]
async fn what_a_newer_program_has_added_survives_every_use() {
    let mut fixture = from_the_future(&[], Left::Closed).await;
    let path = fixture.path();
    let before = unknown_in(&path);
    // Three secrets, a token and its rights, a grant, two records of each kind, an entry, and the manifest's two.
    assert_eq!(before.len(), 3 + 2 + 1 + 2 * KINDS.len() + 1 + 2);
    fixture.open().await.unwrap();
    let (vault, owner) = (&fixture.vault, &fixture.owner);
    assert_eq!(fixture.names().await, ["A", "B"]);
    assert_eq!(fixture.reveal(&["*"]).await.unwrap().len(), 2);
    let a = fixture.list(owner).await.unwrap()[0].secret.id;
    let trashed = fixture.trash().await.secrets[0].secret.id;

    vault.update(owner, a, UpdateSecret { value: value_of("two") }, None).await.unwrap();
    vault.rollback(owner, a, RollbackRequest { version: 1 }, None).await.unwrap();
    let patch = json!({ "name": "RENAMED", "note": "n", "expires_at": "2040-01-01T00:00:00Z" });
    vault.edit(owner, a, serde_json::from_value(patch).unwrap(), None).await.unwrap();
    vault.delete(owner, a, None, false).await.unwrap();
    vault.restore(owner, a).await.unwrap();
    vault.restore(owner, trashed).await.unwrap();
    vault.allow(owner, allowed("web.service", "B"), None).await.unwrap();
    let (unit, name) = (UnitName::parse("web.service").unwrap(), SecretName::parse("A").unwrap());
    vault.revoke(owner, unit, Some(name)).await.unwrap();
    // A use is written along with what comes next.
    let later = Timestamp::now().saturating_add_seconds(600);
    {
        let published = vault.shared.read();
        let tokens = &published.view().unwrap().catalog.tokens;
        let token = tokens.all().next().unwrap();
        assert_eq!(token.to_info().scopes, [Scope::List, Scope::Write]);
        tokens.take(token, std::time::Instant::now(), later, true).unwrap();
    }
    let keys = vault.keys(owner).await.unwrap().keys;
    let recovery = keys.iter().find(|key| key.kind == KeyKind::Recovery).unwrap().id;
    vault.add_key(owner, Some(passphrase("another")), None, false, None).await.unwrap();
    vault.remove_key(owner, recovery, None).await.unwrap();
    let entries = vault.audit(owner, AuditQuery::default()).await.unwrap().reply.entries;
    let entry = entries.iter().find(|entry| entry.action == AuditAction::Other).unwrap();
    assert_eq!((entry.outcome, entry.refusal), (AuditOutcome::Other, Some(Refusal::Other)));
    vault.verify_audit(owner).await.unwrap();
    vault.verify(owner, VerifyRequest::default()).await.unwrap();
    let backup = vault.backup(owner).await.unwrap();
    vault.lock(owner).await.unwrap();
    assert_eq!(unknown_in(&path), before, "after use");
    fixture.open().await.unwrap();
    let used = fixture.vault.tokens(&fixture.owner).unwrap().tokens[0].last_used_at.unwrap();
    assert!(used.as_second() > later.as_second() - 60, "the use was not written");

    fixture.vault.rotate(&fixture.owner, passphrase(PASSPHRASE), false).await.unwrap();
    fixture.create("d", "four").await.unwrap();
    fixture.vault.verify(&fixture.owner, VerifyRequest::default()).await.unwrap();
    fixture.restart().await;
    assert_eq!(unknown_in(&path), before, "after a rotation");
    fixture.open().await.unwrap();
    fixture.restart().await;

    files_with(&path, &backup.reply);
    assert_eq!(unknown_in(&path), before, "in a backup");
    fixture.open().await.unwrap();
    fixture.vault.verify(&fixture.owner, VerifyRequest { accept_restore: true }).await.unwrap();
    fixture.create("d", "four").await.unwrap();
    fixture.restart().await;
    assert_eq!(unknown_in(&path), before, "after a restore");
    fixture.open().await.unwrap();
}

#[tokio::test]
async fn what_must_be_known_and_is_not_is_refused_and_nothing_is_touched() {
    for left in [Left::Closed, Left::Killed, Left::Rebuilt] {
        let mut fixture = from_the_future(&["consents"], left).await;
        let before = fixture.files();
        for _ in 0..2 {
            let refused = fixture.open().await;
            assert!(matches!(refused, Err(Error::NewerVault)), "{left:?}: {refused:?}");
            assert_eq!(fixture.vault.describe(&fixture.owner).state, VaultState::Locked);
        }
        assert!(matches!(fixture.create("d", "four").await, Err(Error::Locked)));
        fixture.vault.lock(&fixture.owner).await.unwrap();
        fixture.restart().await;
        let after = fixture.files();
        assert!(after == before, "{left:?}: {:?} became {:?}", before.keys(), after.keys());
    }
}

#[tokio::test]
async fn a_newer_programs_vault_opens_however_it_was_left() {
    for left in [Left::Killed, Left::Rebuilt] {
        let mut fixture = from_the_future(&[], left).await;
        fixture.open().await.unwrap();
        fixture.create("d", "four").await.unwrap();
        fixture.restart().await;
        fixture.open().await.unwrap();
        assert_eq!(fixture.names().await, ["A", "B", "D"], "{left:?}");
    }
}

#[tokio::test]
async fn records_of_an_unknown_kind_are_verified() {
    for sql in [
        "DELETE FROM record WHERE kind = 77 AND version = 1",
        "UPDATE record SET kind = 78 WHERE kind = 77",
        "UPDATE record SET version = 2 WHERE kind = 77 AND version = 1",
        "UPDATE record SET sealed = (SELECT sealed FROM record WHERE kind = 5 LIMIT 1) WHERE kind = 77 AND version = 1",
        "INSERT INTO record SELECT 6, id, version, sealed FROM record WHERE kind = 5",
    ] {
        let mut fixture = from_the_future(&[], Left::Closed).await;
        let database = rusqlite::Connection::open(fixture.path()).unwrap();
        assert!(database.execute(sql, []).unwrap() > 0, "{sql}");
        database.close().unwrap();
        let refused = fixture.open().await;
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{sql}: {refused:?}");
        fixture.restart().await;
    }
}

#[tokio::test]
async fn what_is_unknown_is_not_printed() {
    let fixture = from_the_future(&[], Left::Closed).await;
    fixture.open().await.unwrap();
    let published = fixture.vault.shared.read();
    let printed = format!("{:?}", published.view().unwrap().catalog);
    assert!(printed.contains("1 unknown") && !printed.contains("123456789012345678901234567890"));
    assert!(serde_json::from_str::<Value>(FUTURE).is_ok());
}

/// The marks of the vault, after a restart.
async fn marks(fixture: &mut Fixture) -> Value {
    fixture.restart().await;
    let marks = {
        let file = File::open(&fixture.path());
        let row = file.store.begin().unwrap().manifest().unwrap();
        let plaintext = seal::open(&file.keys, file.manifest_context(row.generation), &row.sealed).unwrap();
        let more: Value = serde_json::from_slice(plaintext.get(FIXED..).unwrap()).unwrap_or_default();
        more["requires"].clone()
    };
    fixture.open().await.unwrap();
    marks
}

#[tokio::test]
async fn what_an_older_program_would_send_to_other_machines_keeps_it_from_the_vault() {
    let mut fixture = Fixture::new().await;
    fixture.create("KEY", "value").await.unwrap();
    assert_eq!(marks(&mut fixture).await, Value::Null);
    let own = CreateSecret { local: true, ..new_secret("OWN", "value") };
    let id = fixture.vault.create(&fixture.owner, own).await.unwrap().secret.id;
    assert_eq!(marks(&mut fixture).await, json!(["local"]));
    // Also in the trash, from where it may come back.
    fixture.vault.delete(&fixture.owner, id, None, false).await.unwrap();
    assert_eq!(marks(&mut fixture).await, json!(["local"]));
    fixture.vault.delete(&fixture.owner, id, None, true).await.unwrap();
    assert_eq!(marks(&mut fixture).await, Value::Null);
}
