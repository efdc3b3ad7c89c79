//! A list of all secrets that is kept written, in pages: after a change only the pages on which something has changed are
//! written again.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::vault::format::record::Record;

use super::index::Secrets;

/// How many secrets are on a page that was just cut. Writing so many takes about as long as joining the pages of 10,000.
const SECRETS: usize = 64;

/// How a list is written, which the vault does not know.
#[derive(Debug)]
pub(crate) struct Form<T> {
    /// Writes some secrets, one after the other, as they stand in a list.
    pub(crate) page: fn(&[T]) -> Bytes,
    /// Writes the list of so many secrets that are on these pages, where an earlier one was if nobody needs that any more:
    /// memory that is new costs more than what is copied into it.
    pub(crate) list: fn(&[Bytes], usize, Bytes) -> Bytes,
}

impl<T> Form<T> {
    /// Writes the list of these.
    pub(crate) fn write(&self, secrets: &[T]) -> Bytes {
        (self.list)(&[(self.page)(secrets)], secrets.len(), Bytes::new())
    }
}

impl<T> Clone for Form<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Form<T> {}

/// The pages, each by the name that it begins with, and up to where the next one begins; the first begins with nothing.
#[derive(Debug, Clone, Default)]
pub(in crate::vault) struct Pages(BTreeMap<Box<str>, Page>);

/// A page: `None` if something on it has changed since it was written.
type Page = Option<Written>;

#[derive(Debug, Clone)]
struct Written {
    text: Bytes,
    secrets: usize,
}

/// What must be written again, page by page.
#[derive(Debug)]
pub(in crate::vault) struct Stale(Vec<(Box<str>, Vec<Arc<Record>>)>);

impl Stale {
    /// How many secrets there are to write.
    pub(in crate::vault) fn secrets(&self) -> usize {
        self.0.iter().map(|(_, records)| records.len()).sum()
    }
}

impl Pages {
    /// Notes that the secret of this name has come, gone or changed.
    pub(in crate::vault) fn touch(&mut self, name: &str) {
        if let Some((_, page)) =
            self.0.range_mut::<str, _>((Bound::Unbounded, Bound::Included(name))).next_back()
        {
            *page = None;
        }
    }

    /// What must be written of these secrets, as far as the list has them. They are the ones that the pages are kept for.
    pub(in crate::vault) fn stale(&mut self, secrets: &Secrets, has: impl Fn(&Record) -> bool) -> Stale {
        if self.0.is_empty() {
            self.0.insert("".into(), None);
        }
        let mut ends = self.0.keys().skip(1);
        let pages = self.0.iter().filter_map(|(first, page)| {
            let end = ends.next();
            let between = || secrets.live_between(first, end.map(|end| &**end));
            let fresh = || between().filter(|record| has(record)).cloned().collect();
            page.is_none().then(|| (first.clone(), fresh()))
        });
        Stale(pages.collect())
    }

    /// Writes what is stale of them by `page`, where each record was first turned into what the list shows.
    pub(in crate::vault) fn write<T>(
        &mut self,
        stale: Stale,
        show: fn(&Record) -> T,
        page: fn(&[T]) -> Bytes,
    ) {
        for (first, records) in stale.0 {
            if records.is_empty() && !first.is_empty() {
                self.0.remove(&first);
                continue;
            }
            // A page that has grown is cut into some.
            let most = if records.len() > 2 * SECRETS { SECRETS } else { 2 * SECRETS };
            let mut name = Some(first);
            for part in records.chunks(most) {
                let Some(key) = name.take().or_else(|| Some(part.first()?.meta.name.as_str().into())) else {
                    break;
                };
                let shown: Vec<T> = part.iter().map(|record| show(record)).collect();
                self.0.insert(key, Some(Written { text: page(&shown), secrets: part.len() }));
            }
            // The first page of a vault without secrets.
            if let Some(key) = name {
                self.0.insert(key, Some(Written { text: Bytes::new(), secrets: 0 }));
            }
        }
    }

    /// Whether there is no secret on them.
    pub(in crate::vault) fn are_empty(&self) -> bool {
        self.0.values().flatten().all(|page| page.secrets == 0)
    }

    /// The whole list by `list`, in the place of an earlier one; nothing of it may be stale.
    pub(in crate::vault) fn join(&self, list: fn(&[Bytes], usize, Bytes) -> Bytes, earlier: Bytes) -> Bytes {
        let written = || self.0.values().flatten().filter(|page| page.secrets > 0);
        let texts: Vec<Bytes> = written().map(|page| page.text.clone()).collect();
        list(&texts, written().map(|page| page.secrets).sum(), earlier)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrets_proto::{SecretName, SecretValue, Uuid};

    use super::*;

    fn name_of(record: &Record) -> String {
        record.meta.name.as_str().to_owned()
    }

    fn record(id: Uuid, name: &str) -> Arc<Record> {
        let value = SecretValue::new("v".to_owned()).unwrap();
        Arc::new(Record::new(id, SecretName::parse(name).unwrap(), None, &value))
    }

    fn page(names: &[String]) -> Bytes {
        names.join(",").into()
    }

    fn list(pages: &[Bytes], total: usize, _: Bytes) -> Bytes {
        let texts: Vec<&str> = pages.iter().map(|page| std::str::from_utf8(page).unwrap()).collect();
        format!("{}={total}", texts.join(",")).into()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_pages_hold_every_secret_once_after_any_changes(
            only_even in any::<bool>(),
            steps in prop::collection::vec((0..400_u16, 0..3_u8), 1..1_500),
            looks in prop::collection::vec(prop::bool::weighted(0.1), 1_500),
        ) {
            let (mut secrets, mut pages) = (Secrets::default(), Pages::default());
            let has = |record: &Record| !only_even || record.id.as_u128().is_multiple_of(2);
            for ((number, step), look) in steps.into_iter().zip(looks) {
                let (id, name) = (Uuid::from_u128(number.into()), format!("N{number:03}"));
                match step {
                    0 => secrets.remove(id),
                    _ => drop(secrets.put(record(id, &name))),
                }
                pages.touch(&name);
                if look {
                    let stale = pages.stale(&secrets, has);
                    pages.write(stale, name_of, page);
                    let names: Vec<String> = secrets.live().filter(|record| has(record)).map(|record| name_of(record)).collect();
                    let total = names.len();
                    prop_assert_eq!(pages.are_empty(), total == 0);
                    prop_assert_eq!(pages.join(list, Bytes::new()), format!("{}={total}", names.join(",")));
                }
            }
        }
    }
}
