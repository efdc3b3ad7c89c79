//! What a person is asked about: a secret or an item, by the name that people know it by.

use secrets_proto::item::NamedItem;
use secrets_proto::{SecretName, Uuid};

/// A guarded thing, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A secret.
    Secret(SecretName),
    /// An item.
    Item(NamedItem),
}

/// What an approval rule is about.
#[derive(Debug)]
pub(crate) enum RuleAbout {
    /// The secret of this name.
    Secret(SecretName),
    /// The item of this id.
    Item(Uuid),
}

impl From<SecretName> for Subject {
    fn from(name: SecretName) -> Self {
        Self::Secret(name)
    }
}

impl From<NamedItem> for Subject {
    fn from(item: NamedItem) -> Self {
        Self::Item(item)
    }
}

/// The secrets and the items among these.
pub(crate) fn split(subjects: impl IntoIterator<Item = Subject>) -> (Vec<SecretName>, Vec<NamedItem>) {
    let (mut names, mut items) = (Vec::new(), Vec::new());
    for subject in subjects {
        match subject {
            Subject::Secret(name) => names.push(name),
            Subject::Item(item) => items.push(item),
        }
    }
    (names, items)
}
