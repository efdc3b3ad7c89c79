//! How many items there can be.

use std::collections::BTreeMap;

use secrets_proto::item::{Attributes, CreateItem, ItemLabel, ItemValue, MAX_ITEMS};
use tokio::task::JoinSet;

use super::*;

fn new(label: &str, attributes: Attributes, replace: bool) -> CreateItem {
    CreateItem {
        label: ItemLabel::try_from(label.to_owned()).unwrap(),
        attributes,
        content_type: Default::default(),
        value_base64: ItemValue::new(Vec::new()).unwrap(),
        replace,
    }
}

fn user(name: &str) -> Attributes {
    BTreeMap::from([("user".to_owned(), name.to_owned())]).try_into().unwrap()
}

#[tokio::test]
async fn there_are_10_000_items_at_most_and_what_makes_none_more_goes_on() {
    let fixture = Fixture::new().await;
    let mut tasks = JoinSet::new();
    for number in 0..MAX_ITEMS {
        let (vault, owner) = (fixture.vault.clone(), fixture.owner.clone());
        let item = new("l", user(&number.to_string()), false);
        tasks.spawn(async move { vault.create_item(&owner, item).await.unwrap().0.id });
    }
    let ids = tasks.join_all().await;
    let create = |replace| fixture.vault.create_item(&fixture.owner, new("l", user("7"), replace));
    assert!(matches!(create(false).await, Err(Error::TooManyItems)));
    assert!(!create(true).await.unwrap().1);
    fixture.vault.delete_item(&fixture.owner, ids[0], None, false).await.unwrap();
    assert!(create(false).await.unwrap().1);
    assert!(matches!(create(false).await, Err(Error::TooManyItems)));
    // What is in the trash cannot come back either, until there is room.
    let restored = fixture.vault.restore_item(&fixture.owner, ids[0]).await;
    assert!(matches!(restored, Err(Error::TooManyItems)));
    let found = fixture.vault.search_items(&fixture.owner, user("7"), |list| list.total).await.unwrap();
    assert_eq!(found.reply, 2);
}
