//! One run: what the store has and the exchange lacks is fetched, what the store lacks is put there, and what the daemon wants
//! deleted goes. Nothing is concluded from what a list lacks but that it is to be put; what a list shows is not believed
//! before its bytes are hashed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream;
use secrets_fleet::exchange::{MOST_BYTES, MOST_FILES};
use secrets_fleet::object::LARGEST_OBJECT;
use secrets_fleet::{Kind as ObjectKind, ObjectName, Writer};

use crate::exchange::{Exchange, Here, is_of};
use crate::failure::{Failure, Kind};
use crate::report::Report;
use crate::store::Store;

/// How many objects are on their way at once.
const AT_ONCE: usize = 8;

/// Moves what is to be moved. What was done before a failure is in the report, too.
pub(crate) async fn run(exchange: &Exchange, store: &Store) -> Report {
    let mut report = Report::default();
    if let Err(failure) = moved(exchange, store, &mut report).await {
        report.failure = Some(failure);
    }
    report.requests = store.seen().requests();
    report.date = store.seen().notes().date.map(|(theirs, _)| theirs);
    report
}

async fn moved(exchange: &Exchange, store: &Store, report: &mut Report) -> Result<(), Failure> {
    let here = exchange.list()?;
    report.waiting = here.len();
    let dropped = exchange.dropped();
    let listed = store.list().await?;
    report.listed = listed.len();
    if dropped.iter().all(|name| !listed.contains_key(name)) {
        exchange.has_dropped()?;
    }
    if is_of_others(&here, &listed) {
        let text = "the store's directory holds another vault's files: nothing was read or written there; each needs a directory of its own";
        return Err(Failure::new(Kind::OtherFleet, text));
    }
    let is_lost = |(name, here): &(&ObjectName, &Here)| here.was_in_store && !listed.contains_key(name);
    let lost: Vec<_> = here.iter().filter(is_lost).map(|(name, _)| *name).collect();
    report.lost = lost.len();
    exchange.has_lost(lost.iter())?;
    let has_merged = exchange.has_merged(here.keys(), lost.iter());
    let (wanted, is_all) = wanted(&here, &listed, &dropped);
    let got = get(exchange, store, &wanted, report).await;
    exchange.settle()?;
    got?;
    let lacking = lacking(exchange, &here, &listed, &dropped, has_merged && report.got == 0);
    report.waiting = lacking.len();
    put(exchange, store, &lacking, report).await?;
    delete(store, &here, listed, &dropped, report).await?;
    if !is_all {
        let text =
            "the store has more than this machine takes: 20,000 files or 256 MiB; the rest was left there";
        return Err(Failure::new(Kind::TooMuch, text));
    }
    Ok(())
}

/// Whether the store's objects are all written by others than those here. Invitations do not count: their writers are random.
fn is_of_others(here: &BTreeMap<ObjectName, Here>, listed: &BTreeMap<ObjectName, u64>) -> bool {
    fn writers<'a>(names: impl Iterator<Item = &'a ObjectName>) -> BTreeSet<Writer> {
        let lasting = names.filter(|name| name.kind != ObjectKind::Invitation);
        lasting.map(|name| name.id.writer).collect()
    }
    let (ours, theirs) = (writers(here.keys()), writers(listed.keys()));
    !ours.is_empty() && !theirs.is_empty() && ours.is_disjoint(&theirs)
}

/// What is to be fetched, the steps of invitations first, and whether that is all that the store has.
fn wanted(
    here: &BTreeMap<ObjectName, Here>,
    listed: &BTreeMap<ObjectName, u64>,
    dropped: &BTreeSet<ObjectName>,
) -> (Vec<ObjectName>, bool) {
    let is_new = |name: &ObjectName| !here.contains_key(name) && !dropped.contains(name);
    let mut new: Vec<_> = listed.iter().filter(|(name, _)| is_new(name)).collect();
    // What is larger than an object is none.
    new.retain(|(_, size)| **size <= LARGEST_OBJECT as u64);
    new.sort_by_key(|(name, _)| Reverse(name.kind));
    let mut files = MOST_FILES.saturating_sub(here.len());
    let mut bytes = MOST_BYTES.saturating_sub(here.values().map(|here| here.size).sum());
    let count = new.len();
    let fits = |(_, size): &(&ObjectName, &u64)| {
        let left = files.checked_sub(1).zip(bytes.checked_sub(**size));
        if let Some(left) = left {
            (files, bytes) = left;
        }
        left.is_some()
    };
    let wanted: Vec<_> = new.into_iter().take_while(fits).map(|(name, _)| *name).collect();
    let is_all = wanted.len() == count;
    (wanted, is_all)
}

async fn get(
    exchange: &Exchange,
    store: &Store,
    wanted: &[ObjectName],
    report: &mut Report,
) -> Result<(), Failure> {
    let fetch = |name: ObjectName| async move { (name, store.get(&name).await) };
    let mut coming = stream::iter(wanted.iter().copied()).map(fetch).buffer_unordered(AT_ONCE);
    while let Some((name, got)) = coming.next().await {
        match got? {
            Some(bytes) if is_of(&name, &bytes) => {
                exchange.place(&name, &bytes).map_err(|error| Failure::exchange(&error))?;
                report.got += 1;
            }
            // Cut off or altered: it is asked for again in the next run.
            Some(_) => report.spoilt += 1,
            None => {}
        }
    }
    Ok(())
}

/// What the store lacks or has in another size. What it has had and lacks now may have been deleted by a machine that wrote
/// a snapshot in its place: it is put again only if the daemon has considered all that came.
fn lacking(
    exchange: &Exchange,
    here: &BTreeMap<ObjectName, Here>,
    listed: &BTreeMap<ObjectName, u64>,
    dropped: &BTreeSet<ObjectName>,
    has_merged_all: bool,
) -> Vec<ObjectName> {
    let mut lacking = Vec::new();
    for (name, here) in here.iter().filter(|(name, _)| !dropped.contains(name)) {
        match listed.get(name) {
            Some(size) if *size == here.size => {
                if !here.was_in_store {
                    exchange.mark(name);
                }
            }
            None if here.was_in_store && !has_merged_all => {}
            Some(_) | None => lacking.push(*name),
        }
    }
    lacking.sort_by_key(|name| Reverse(name.kind));
    lacking
}

async fn put(
    exchange: &Exchange,
    store: &Store,
    lacking: &[ObjectName],
    report: &mut Report,
) -> Result<(), Failure> {
    let send = |name: ObjectName| async move {
        // What was spoilt on this disk is not spread.
        let Some(bytes) = exchange.read(&name).map_err(|error| Failure::exchange(&error))? else {
            return Ok((name, false));
        };
        store.put(&name, bytes).await?;
        Ok((name, true))
    };
    let mut going = stream::iter(lacking.iter().copied()).map(send).buffer_unordered(AT_ONCE);
    while let Some(sent) = going.next().await {
        let (name, is_sent) = sent?;
        report.waiting = report.waiting.saturating_sub(1);
        if is_sent {
            exchange.mark(&name);
            report.put += 1;
        }
    }
    Ok(())
}

/// Deletes what the daemon has listed, once the store shows all that takes its place.
async fn delete(
    store: &Store,
    here: &BTreeMap<ObjectName, Here>,
    mut listed: BTreeMap<ObjectName, u64>,
    dropped: &BTreeSet<ObjectName>,
    report: &mut Report,
) -> Result<(), Failure> {
    if !dropped.iter().any(|name| listed.contains_key(name)) {
        return Ok(());
    }
    if report.put > 0 {
        listed = store.list().await?;
    }
    let is_whole = here
        .iter()
        .filter(|(name, _)| name.kind == ObjectKind::Snapshot && !dropped.contains(name))
        .all(|(name, here)| listed.get(name) == Some(&here.size));
    if is_whole {
        let there: Vec<_> = dropped.iter().filter(|name| listed.contains_key(name)).copied().collect();
        report.deleted = store.delete(&there).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: &str, writer: u8, number: u32) -> ObjectName {
        format!("{kind}-{writer:016x}-{number:010}-{:032x}", number).parse().unwrap()
    }

    fn here(names: &[ObjectName]) -> BTreeMap<ObjectName, Here> {
        names.iter().map(|name| (*name, Here { size: 1, was_in_store: true })).collect()
    }

    fn listed(names: &[ObjectName]) -> BTreeMap<ObjectName, u64> {
        names.iter().map(|name| (*name, 1)).collect()
    }

    #[test]
    fn a_store_of_others_is_one_in_which_nobody_that_is_known_has_written() {
        let (ours, theirs, step) = (name("l", 1, 1), name("l", 2, 1), name("i", 3, 1));
        assert!(is_of_others(&here(&[ours]), &listed(&[theirs])));
        assert!(!is_of_others(&here(&[ours]), &listed(&[theirs, name("m", 1, 7)])));
        for (here_, listed_) in [(vec![], vec![theirs]), (vec![ours], vec![]), (vec![step], vec![theirs])] {
            assert!(!is_of_others(&here(&here_), &listed(&listed_)));
        }
    }

    #[test]
    fn what_is_fetched_is_bounded_and_begins_with_invitations() {
        let all = [name("l", 1, 1), name("i", 2, 1), name("m", 1, 1)];
        let (wanted_, is_all) = wanted(&here(&[]), &listed(&all), &BTreeSet::new());
        assert_eq!((wanted_, is_all), (vec![all[1], all[2], all[0]], true));
        let mut sizes = listed(&all);
        sizes.insert(all[0], LARGEST_OBJECT as u64 + 1);
        assert_eq!(wanted(&here(&[]), &sizes, &BTreeSet::new()).0, [all[1], all[2]]);
        let most = u32::try_from(MOST_FILES).unwrap();
        let many: Vec<_> = (0..=most).map(|number| name("l", 1, number)).collect();
        let (some, is_all) = wanted(&here(&many[..1]), &listed(&many), &BTreeSet::new());
        assert_eq!((some.len(), is_all), (MOST_FILES - 1, false));
        let large: BTreeMap<_, _> = many[..200].iter().map(|name| (*name, LARGEST_OBJECT as u64)).collect();
        let (some, is_all) = wanted(&here(&[]), &large, &BTreeSet::new());
        assert!(!is_all && some.len() as u64 * LARGEST_OBJECT as u64 <= MOST_BYTES, "{}", some.len());
        assert_eq!(wanted(&here(&[]), &listed(&all), &all.into()).0, []);
    }
}
