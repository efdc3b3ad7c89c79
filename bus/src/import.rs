//! Copies the items of another Secret Service into the vault, and reads each back. A second run finds them there and
//! changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use secrets_client::Error as Unanswered;
use secrets_proto::item::{
    Attributes, ContentType, CreateItem, Item, ItemLabel, ItemValue, PatchItem, UpdateItemValue,
};
use secrets_proto::printable::printable;
use secrets_proto::{ErrorType, Uuid};
use serde::Serialize;

use crate::daemon::Daemon;
use crate::elsewhere::{Described, Elsewhere};
use crate::who::Facts;
use crate::{name, serve};

/// How long the other service may take for one answer: it may ask a person first.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to be done with what is found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Whether nothing is stored.
    pub(crate) is_dry: bool,
    /// Whether an item of the vault with another value gets the one that was found.
    pub(crate) replace: bool,
}

/// What came of it. It has no value in it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// Stored, or to be stored.
    pub(crate) copied: usize,
    /// Of the vault's, those that got another value or label.
    pub(crate) replaced: usize,
    /// In the vault already.
    pub(crate) unchanged: usize,
    /// What was not copied.
    pub(crate) left: Vec<Left>,
}

/// What was not copied, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Left {
    /// The item, unless it is the whole collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// The collection that it is in.
    pub(crate) collection: String,
    /// Why.
    pub(crate) reason: String,
}

/// Why there is no outcome.
pub(crate) enum Failure {
    /// There is nothing to copy from: who has the name, or that nobody has.
    Nobody(String),
    /// Something else.
    Other(String),
}

/// An item there, with what is needed of it to store it.
struct Found {
    item: Described,
    label: ItemLabel,
    collection: String,
}

/// Copies all items that can be read from the service with this name.
pub(crate) async fn run(daemon: &Daemon, name: &str, options: Options) -> Result<Outcome, Failure> {
    let connection = serve::connect_for(PATIENCE).await.map_err(Failure::Other)?;
    let Some((owner, holder)) = name::holder_at(&connection, name).await else {
        return Err(Failure::Nobody(format!(
            "nobody has {name}; start the keyring that has the items, then: secretctl items import"
        )));
    };
    if name::is_ours(&holder) {
        return Err(Failure::Nobody(format!(
            "{holder} has {name}, and serves what is in the vault already; to copy from another keyring: \
             secretctl secret-service disable, start that one, then: secretctl items import"
        )));
    }
    let other = |reason: &str| Failure::Other(format!("{holder} has {name}, but {reason}"));
    let elsewhere = Elsewhere::open(connection, owner).await.map_err(other)?;
    let mut outcome = Outcome::default();
    let mut groups: BTreeMap<BTreeMap<String, String>, (Attributes, Vec<Found>)> = BTreeMap::new();
    for collection in elsewhere.collections().await.map_err(other)? {
        let shown = shown(&collection.label);
        if collection.is_locked {
            let reason = "it is locked; unlock it there, then run this again".to_owned();
            outcome.left.push(Left { label: None, collection: shown, reason });
            continue;
        }
        for path in collection.items {
            // One that has gone meanwhile is none.
            let Some(mut item) = elsewhere.describe(path).await else { continue };
            match std::mem::replace(&mut item.kept, Err("")) {
                Ok((label, attributes)) => {
                    let group = groups.entry(attributes.pairs().clone());
                    let (_, found) = group.or_insert_with(|| (attributes, Vec::new()));
                    found.push(Found { item, label, collection: shown.clone() });
                }
                Err(reason) => outcome.leave(&item.label, &shown, reason),
            }
        }
    }
    let mut there: BTreeMap<BTreeMap<String, String>, Vec<Item>> = BTreeMap::new();
    for item in daemon.all().await.map_err(told)? {
        there.entry(item.attributes.pairs().clone()).or_default().push(item);
    }
    for (pairs, (attributes, found)) in groups {
        let there = there.remove(&pairs).unwrap_or_default();
        Copying { daemon, elsewhere: &elsewhere, options }
            .group(attributes, found, there, &mut outcome)
            .await?;
    }
    Ok(outcome)
}

impl Outcome {
    fn leave(&mut self, label: &str, collection: &str, reason: impl Into<String>) {
        let left =
            Left { label: Some(shown(label)), collection: collection.to_owned(), reason: reason.into() };
        self.left.push(left);
    }
}

/// A label as it is shown.
fn shown(label: &str) -> String {
    let shown = printable(label);
    if shown.is_empty() { "(no label)".to_owned() } else { shown.chars().take(100).collect() }
}

fn told(error: Unanswered) -> Failure {
    Failure::Other(error.to_string())
}

struct Copying<'a> {
    daemon: &'a Daemon,
    elsewhere: &'a Elsewhere,
    options: Options,
}

impl Copying<'_> {
    /// Copies all items that are found by the same attributes: several may have them, here and there.
    async fn group(
        &self,
        attributes: Attributes,
        found: Vec<Found>,
        mut there: Vec<Item>,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut new = Vec::new();
        for found in found {
            let (value, content_type) = match self.elsewhere.value(&found.item).await {
                Ok(read) => read,
                Err(reason) => {
                    outcome.leave(&found.item.label, &found.collection, reason);
                    continue;
                }
            };
            match self.same(&found, &value, &content_type, &there).await? {
                Some(at) => {
                    there.remove(at);
                    outcome.unchanged += 1;
                }
                None => new.push((found, value, content_type)),
            }
        }
        // What is left over in the vault has the attributes and another value: the oldest of the copies would go first.
        let mut there = there.into_iter();
        for (found, value, content_type) in new {
            let before = there.next();
            let is_guarded = before.as_ref().is_some_and(|before| before.locked);
            if before.is_some() && (is_guarded || !self.options.replace) {
                let reason = if is_guarded {
                    "the vault has a guarded item with these attributes"
                } else {
                    "the vault has an item with these attributes and another value; --replace takes this one"
                };
                outcome.leave(&found.item.label, &found.collection, reason);
                continue;
            }
            let counter = if before.is_some() { &mut outcome.replaced } else { &mut outcome.copied };
            if self.options.is_dry {
                *counter += 1;
                continue;
            }
            let id = before.map(|before| before.id);
            match self.store(id, found.label, attributes.clone(), value, content_type).await {
                Ok(()) => *counter += 1,
                Err(Unanswered::Refused(body)) if is_of_one(body.kind) => {
                    outcome.leave(&found.item.label, &found.collection, body.detail.clone());
                }
                Err(error) => return Err(told(error)),
            }
        }
        Ok(())
    }

    /// Which of the vault's items is the one that was found.
    async fn same(
        &self,
        found: &Found,
        value: &ItemValue,
        content_type: &ContentType,
        there: &[Item],
    ) -> Result<Option<usize>, Failure> {
        for (at, item) in there.iter().enumerate() {
            let may_be = !item.locked
                && item.label == found.label
                && item.content_type == *content_type
                && item.size == value.expose().len() as u64;
            if may_be {
                let kept = self.daemon.reveal(&Facts::default(), item.id).await;
                if kept.map_err(told)?.0.expose() == value.expose() {
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    /// Stores an item, or gives this one its label and value, and reads it back.
    async fn store(
        &self,
        id: Option<Uuid>,
        label: ItemLabel,
        attributes: Attributes,
        value: ItemValue,
        content_type: ContentType,
    ) -> Result<(), Unanswered> {
        let (daemon, own) = (self.daemon, Facts::default());
        let id = match id {
            Some(id) => {
                let update =
                    UpdateItemValue { content_type: content_type.clone(), value_base64: value.clone() };
                daemon.set_value(&own, id, &update).await?;
                daemon.change(&own, id, &PatchItem { label: Some(label), attributes: None }).await?;
                id
            }
            None => {
                let item = CreateItem {
                    label,
                    attributes,
                    content_type: content_type.clone(),
                    value_base64: value.clone(),
                    replace: false,
                };
                daemon.create(&own, &item).await?.id
            }
        };
        let (kept, kept_type) = daemon.reveal(&own, id).await?;
        if kept.expose() == value.expose() && kept_type == content_type.as_str() {
            Ok(())
        } else {
            Err(Unanswered::NotUnderstood("a value that was read back"))
        }
    }
}

/// Whether a refusal is about one item, so that others may be stored all the same.
fn is_of_one(kind: ErrorType) -> bool {
    use ErrorType as E;
    matches!(
        kind,
        E::ValidationError | E::LimitExceededError | E::ApprovalRequiredError | E::ApprovalDeniedError
    )
}
