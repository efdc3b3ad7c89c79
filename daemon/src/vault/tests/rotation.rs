//! What goes on while the vault is verified, copied or sealed under a new data key.

use super::*;

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
