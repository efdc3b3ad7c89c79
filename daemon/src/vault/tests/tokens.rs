//! Access tokens: what lacks a right is written down, and what is revoked or expired is refused.

use super::*;

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
