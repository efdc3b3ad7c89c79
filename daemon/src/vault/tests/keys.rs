//! Keys open their slots, come and go, and a wrong one costs nobody else time.

use super::*;

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
