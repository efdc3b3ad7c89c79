//! What stays on this machine, whatever a member says.

use super::*;

#[tokio::test]
async fn what_has_lost_its_name_stays_in_the_trash_until_somebody_has_looked() {
    let fixture = Fixture::with_fleet().await;
    let mut machine = Machine::let_in(&fixture, 2).await;
    let own = CreateSecret { local: true, ..new_secret("KEY", "own") };
    fixture.vault.create(&fixture.owner, own).await.unwrap();
    let other = fixture.create("OTHER", "thrown away").await.unwrap().secret.id;
    fixture.vault.delete(&fixture.owner, other, None, false).await.unwrap();
    fixture.sync().await;
    // The other machine's clock agrees that a month has passed.
    let now = Timestamp::now().saturating_add_seconds(31 * 24 * 3_600);
    let (id, at) = (Uuid::from_u128(7), now.as_second());
    let value = Change::Value {
        id,
        clock: LATER,
        at: Some(at),
        covers: vec![],
        value: Held::New(value_of("of-all")),
    };
    machine.say(vec![value, name(id, LATER, "KEY")]);
    fixture.sync().await;
    assert_eq!(fixture.reveal(&["KEY"]).await.unwrap(), [("KEY".to_owned(), "of-all".to_owned())]);
    assert_eq!(fixture.trash().await.total, 2);
    let emptied = fixture.vault.write(&fixture.owner, move |batch, caller| batch.empty_trash(caller, now));
    emptied.await.unwrap();
    let left: Vec<_> = fixture.trash().await.secrets.into_iter().map(|one| one.secret.name).collect();
    assert_eq!(left, [SecretName::parse("KEY").unwrap()]);
    fixture.vault.verify(&fixture.owner, VerifyRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_glob_of_a_later_version_lets_nothing_leave_that_it_may_keep() {
    let fixture = Fixture::with_fleet().await;
    let mut machine = Machine::let_in(&fixture, 2).await;
    let fields = [("include {A,B}*".to_owned(), Some("yes".to_owned()))].into();
    machine.say(vec![Change::Fields { id: secrets_fleet::filter::FLEET, clock: LATER, fields }]);
    fixture.sync().await;
    let id = fixture.create("KEY", "value").await.unwrap().secret.id;
    let told = fixture.sync().await.fleet;
    assert_eq!((told.include, told.excluded.len()), (vec!["{A,B}*".to_owned()], 1));
    assert!(!fleet_of(&fixture.vault).replica.secrets.contains_key(&id));
}
