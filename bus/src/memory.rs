//! The collection `session`: items in the memory of this process, gone with it. It knows no bus and no daemon.

use std::collections::BTreeMap;

use secrets_proto::Timestamp;
use secrets_proto::item::{Attributes, ItemLabel, ItemValue};

use crate::error::Error;

/// How many items there may be, and how many bytes they may have together.
const MOST: usize = 1_000;
const BYTES: usize = 2 << 20;

/// An item.
pub(crate) struct Kept {
    /// What it is shown as.
    pub(crate) label: ItemLabel,
    /// What it is found by.
    pub(crate) attributes: Attributes,
    /// What its value is.
    pub(crate) content_type: String,
    /// Its value.
    pub(crate) value: ItemValue,
    /// When it was stored and last changed, in seconds since 1970.
    pub(crate) created: u64,
    pub(crate) modified: u64,
}

/// All items.
pub(crate) struct Memory {
    items: BTreeMap<u64, Kept>,
    next: u64,
    /// What it is shown as.
    pub(crate) label: ItemLabel,
    /// When it began.
    pub(crate) created: u64,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { items: BTreeMap::new(), next: 1, label: ItemLabel::default(), created: now() }
    }

    /// The ids of all, the oldest first.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.items.keys().copied().collect()
    }

    /// Those that have at least these attributes, the newest first.
    pub(crate) fn search(&self, wanted: &Attributes) -> Vec<u64> {
        let found = self.items.iter().rev().filter(|(_, item)| item.attributes.has_all(wanted));
        found.map(|(id, _)| *id).collect()
    }

    /// The item with this id.
    pub(crate) fn get(&self, id: u64) -> Result<&Kept, Error> {
        self.items.get(&id).ok_or(Error::NoSuchObject)
    }

    /// The item with this id, to be changed now.
    pub(crate) fn change(&mut self, id: u64) -> Result<&mut Kept, Error> {
        let item = self.items.get_mut(&id).ok_or(Error::NoSuchObject)?;
        item.modified = now();
        Ok(item)
    }

    /// Stores an item, or puts it in the place of the newest that has exactly its attributes. Says whether it is a new one.
    pub(crate) fn create(
        &mut self,
        label: ItemLabel,
        attributes: Attributes,
        (value, content_type): (ItemValue, String),
        replace: bool,
    ) -> Result<(u64, bool), Error> {
        let equal = self.items.iter().rev().find(|(_, item)| item.attributes == attributes);
        let replaced = equal.map(|(id, _)| *id).filter(|_| replace);
        let size = label.as_str().len() + attributes.bytes() + content_type.len() + value.expose().len();
        let others = self.items.iter().filter(|(id, _)| Some(**id) != replaced);
        if (replaced.is_none() && self.items.len() >= MOST)
            || others.map(|(_, item)| item.size()).sum::<usize>() + size > BYTES
        {
            return Err(FULL);
        }
        if let Some(id) = replaced {
            let item = self.change(id)?;
            (item.label, item.value, item.content_type) = (label, value, content_type);
            return Ok((id, false));
        }
        let (id, now) = (self.next, now());
        self.next += 1;
        let item = Kept { label, attributes, content_type, value, created: now, modified: now };
        self.items.insert(id, item);
        Ok((id, true))
    }

    /// Gives an item another value.
    pub(crate) fn set_value(&mut self, id: u64, value: ItemValue, content_type: String) -> Result<(), Error> {
        let others = self.items.iter().filter(|(other, _)| **other != id);
        if others.map(|(_, item)| item.size()).sum::<usize>() + value.expose().len() > BYTES {
            return Err(FULL);
        }
        let item = self.change(id)?;
        (item.value, item.content_type) = (value, content_type);
        Ok(())
    }

    /// Forgets an item.
    pub(crate) fn delete(&mut self, id: u64) -> Result<(), Error> {
        self.items.remove(&id).map(drop).ok_or(Error::NoSuchObject)
    }
}

impl Kept {
    fn size(&self) -> usize {
        let texts = self.label.as_str().len() + self.content_type.len();
        texts + self.attributes.bytes() + self.value.expose().len()
    }
}

const FULL: Error =
    Error::LimitsExceeded("the collection session is full; delete items, or use another collection");

/// Seconds since 1970.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Attributes::try_from(pairs.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn value(bytes: &[u8]) -> (ItemValue, String) {
        (ItemValue::new(bytes.to_vec()).unwrap(), "text/plain".to_owned())
    }

    #[test]
    fn only_an_item_with_equal_attributes_is_replaced() {
        let mut memory = Memory::new();
        let (service, user) = (attributes(&[("s", "x")]), attributes(&[("s", "x"), ("u", "a")]));
        let label = ItemLabel::default;
        assert_eq!(memory.create(label(), user.clone(), value(b"a"), true).unwrap(), (1, true));
        assert_eq!(memory.create(label(), service.clone(), value(b"b"), true).unwrap(), (2, true));
        assert_eq!(memory.create(label(), service.clone(), value(b"c"), true).unwrap(), (2, false));
        assert_eq!(memory.create(label(), service.clone(), value(b"d"), false).unwrap(), (3, true));
        assert_eq!(memory.search(&service), [3, 2, 1]);
        assert_eq!(memory.search(&user), [1]);
        assert_eq!(memory.get(1).unwrap().value.expose(), b"a");
        assert_eq!(memory.get(2).unwrap().value.expose(), b"c");
        memory.delete(2).unwrap();
        assert!(memory.get(2).is_err());
        assert_eq!(memory.ids(), [1, 3]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_else_lost() {
        let mut memory = Memory::new();
        let large = vec![0; ItemValue::MAX];
        let mut count = 0;
        while memory.create(ItemLabel::default(), Attributes::default(), value(&large), false).is_ok() {
            count += 1;
        }
        assert_eq!(count, BYTES / (ItemValue::MAX + 10));
        assert_eq!(memory.ids().len(), count);
        memory.set_value(1, value(b"").0, String::new()).unwrap();
        memory.create(ItemLabel::default(), Attributes::default(), value(b"x"), false).unwrap();
    }
}
