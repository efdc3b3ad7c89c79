//! Whose file it is: a second daemon, older copies, a file that is missing or that others could change; and when it locks by itself.

use super::*;

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

/// Damages a page of the audit log in the middle of the file.
fn damage_audit_log(vault: &Path) {
    const PAGE: usize = 4_096;
    let mut content = std::fs::read(vault).unwrap();
    // Only tables with numbered rows have leaves of this kind, and the others have one of them each.
    let leaves: Vec<usize> = (0..content.len()).step_by(PAGE).filter(|at| content[*at] == 0x0d).collect();
    assert!(leaves.len() > 5, "{leaves:?}");
    let at = leaves[leaves.len() - 3];
    content[at + 3] ^= 1;
    let file = File::options().write(true).open(vault).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &content[at..at + PAGE], at as u64).unwrap();
}

#[tokio::test]
async fn an_audit_log_that_is_edited_while_the_vault_is_open_or_closed_is_noticed_at_the_next_unlock() {
    for open in [true, false] {
        let fixture = Fixture::new().await;
        let unlock = || fixture.vault.unlock(&fixture.owner, passphrase(PASSPHRASE));
        for number in 0..100 {
            fixture.create(&format!("n{number}"), "x").await.unwrap();
        }
        fixture.vault.lock(&fixture.owner).await.unwrap();
        unlock().await.unwrap();
        if open {
            damage_audit_log(&fixture.directory.path().join("data/vault.db"));
            fixture.create("b", "x").await.unwrap();
        }
        fixture.vault.lock(&fixture.owner).await.unwrap();
        if !open {
            unlock().await.unwrap();
            fixture.vault.lock(&fixture.owner).await.unwrap();
            damage_audit_log(&fixture.directory.path().join("data/vault.db"));
        }
        let refused = unlock().await;
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
    }
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
