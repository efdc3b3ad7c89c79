//! Secrets are created, changed, revealed, rolled back and put in the trash.

use super::*;

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
    fn list(pages: &[Bytes], total: usize, _: Bytes) -> Bytes {
        Bytes::from([&pages.concat(), total.to_string().as_bytes()].concat())
    }
    fn full_page(secrets: &[SecretDetail]) -> Bytes {
        page(&secrets.iter().map(|detail| detail.secret.clone()).collect::<Vec<_>>())
    }
    let (form, full) = (Form { page, list }, Form { page: full_page, list });
    let openai = || Provider::parse("openai").unwrap();
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
        let full = fixture.vault.full_list(&fixture.owner, None, full).await.unwrap();
        assert_eq!(&*full.reply, expected.as_bytes(), "{change}");
    }
    // Another provider takes it from one list to another.
    for (provider, expected) in [(Some(openai()), "Z 1"), (None, "0"), (Some(openai()), "Z 1")] {
        let patch = PatchSecret { provider: Some(provider), ..PatchSecret::default() };
        fixture.vault.edit(&fixture.owner, id, patch, None).await.unwrap();
        let list = fixture.vault.list_of(&fixture.owner, openai(), form).await.unwrap();
        assert_eq!(&*list.reply, expected.as_bytes());
        let list = fixture.vault.full_list(&fixture.owner, Some(openai()), full).await.unwrap();
        assert_eq!(&*list.reply, expected.as_bytes());
    }
    fixture.vault.lock(&fixture.owner).await.unwrap();
    assert!(matches!(fixture.vault.rendered_list(&fixture.owner, form), Err(Error::Locked)));
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
