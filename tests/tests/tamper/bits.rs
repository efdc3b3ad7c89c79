//! One bit at a time. `SOAK=1` changes every byte of the vault; the short form every 37th, and all that SQLite reads first.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::harness::soak;
use secretsd_tests::process::DEADLINE;

use crate::bench::{Bench, Verdict};

/// The step of the short form: prime to every size in the file.
const STEP: usize = 37;

const PAGE: usize = 4_096;

/// Which bit to change, so that neighbours differ and every kind of field meets every bit.
fn bit(at: usize) -> u8 {
    1 << ((at + at / 8 + at / PAGE) % 8)
}

/// Judges the vault with one bit changed, at each of these places, and counts the verdicts.
fn flip(bench: &mut Bench, places: impl Iterator<Item = usize>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let (mut vault, anchor) = (bench.specimen.vault.clone(), bench.specimen.anchor.clone());
    for at in places {
        vault[at] ^= bit(at);
        let verdict = bench.judge(&vault, &anchor);
        assert_ne!(verdict, Verdict::RolledBack, "byte {at}: nothing here is older than the anchor");
        *counts.entry(format!("{verdict:?}")).or_default() += 1;
        vault[at] ^= bit(at);
    }
    assert_eq!(bench.judge(&vault, &anchor), Verdict::Intact);
    assert!(!bench.env.log().contains("panicked"));
    counts
}

#[test]
fn a_changed_bit_of_the_vault_is_refused_or_has_no_effect() {
    let workers = 2;
    let counts: Vec<BTreeMap<String, usize>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let mut bench = Bench::new();
                    let places = places(&bench.specimen.vault);
                    flip(&mut bench, places.into_iter().skip(worker).step_by(workers))
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    println!("{counts:#?}");
    let refused = format!("{:?}", Verdict::Refused("vault_corrupt_error".to_owned()));
    assert!(counts.iter().all(|counts| counts.get(&refused).is_some_and(|refused| *refused > 50)));
}

/// Which bytes to change. In the short form few of those that nothing uses: the daemon wipes what it frees.
fn places(vault: &[u8]) -> Vec<usize> {
    let unused =
        |at: usize| vault[at.saturating_sub(8)..(at + 8).min(vault.len())].iter().all(|byte| *byte == 0);
    let chosen = |at: &usize| {
        *at < 100
            || at % PAGE < 12
            || at.is_multiple_of(STEP) && (!unused(*at) || at.is_multiple_of(32 * STEP))
    };
    (0..vault.len()).filter(|at| soak() || chosen(at)).collect()
}

/// The log is checksummed without a key: SQLite takes a damaged frame for the end of the log, and drops it and all after
/// it. The anchor knows that they were there.
#[test]
fn a_changed_bit_of_the_log_is_noticed() {
    let mut bench = Bench::new();
    let generation = |anchor: &[u8]| u64::from_be_bytes(*anchor[40..].first_chunk().unwrap());
    // Within a second of the first commit log and anchor are tended to together; what is wanted here is the log from
    // before that and the anchor from after it. A machine that is too slow for it gets another try.
    let tries = 20;
    let (name, vault, log, last) = (0..tries)
        .find_map(|attempt| {
            bench.unlock().expect(200);
            // The unlock is a commit too.
            let last = generation(&fs::read(bench.anchor()).unwrap()) + 1 + 3;
            for number in 0..3 {
                bench.env.store(&format!("LOGGED_{attempt}_{number}"), "in the log only");
            }
            let (vault, log) = (fs::read(bench.vault()).unwrap(), fs::read(bench.beside("-wal")).unwrap());
            if log.len() > 3 * PAGE {
                return Some((format!("LOGGED_{attempt}_2"), vault, log, last));
            }
            bench.lock();
            None
        })
        .expect("the log is never there");
    let end = Instant::now() + DEADLINE;
    while generation(&fs::read(bench.anchor()).unwrap()) != last {
        assert!(Instant::now() < end, "the anchor is not renewed");
        thread::sleep(Duration::from_millis(5));
    }
    bench.env.kill();
    let anchor = fs::read(bench.anchor()).unwrap();

    bench.restart();
    bench.place(&vault, &anchor);
    bench.place_beside("-wal", &log);
    bench.unlock().expect(200);
    assert_eq!(bench.env.value(&name), "in the log only");
    let contents = bench.look();
    bench.specimen.contents = contents;
    bench.lock();

    // The heads of the frames, and little of the pages in them: a checksum that one bit misses misses all.
    let (of_head, of_page) = if soak() { (1, 31) } else { (8, 1_499) };
    let chosen = |at: &usize| {
        let in_frame = at.saturating_sub(32) % (PAGE + 24);
        *at < 32 || in_frame < 24 && in_frame.is_multiple_of(of_head) || at.is_multiple_of(of_page)
    };
    let mut damaged = log.clone();
    let mut rolled_back = 0;
    for at in (0..log.len()).filter(chosen) {
        damaged[at] ^= bit(at);
        bench.place(&vault, &anchor);
        bench.place_beside("-wal", &damaged);
        match bench.judge_placed() {
            Verdict::RolledBack => rolled_back += 1,
            // What follows the last commit's frame was never part of the vault.
            Verdict::Refused(_) | Verdict::Intact => {}
            partly @ Verdict::Partly(_) => panic!("byte {at}: {partly:?}"),
        }
        damaged[at] ^= bit(at);
    }
    assert!(rolled_back > 0);
    assert!(!bench.env.log().contains("panicked"));
}

#[test]
fn a_changed_bit_of_the_anchor_never_hides_a_rollback() {
    let mut bench = Bench::new();
    let (vault, older) = (bench.specimen.vault.clone(), bench.older.vault.clone());
    let mut anchor = bench.specimen.anchor.clone();
    assert_eq!(bench.judge(&older, &anchor), Verdict::RolledBack);
    for at in 0..anchor.len() {
        anchor[at] ^= bit(at);
        let present = bench.judge(&vault, &anchor);
        assert!(!matches!(present, Verdict::Partly(_)), "byte {at}: {present:?}");
        // The epoch stands before the MAC is checked: an anchor of an earlier one is no guard, as none is.
        if !(36..40).contains(&at) {
            let past = bench.judge(&older, &anchor);
            assert!(matches!(past, Verdict::RolledBack | Verdict::Refused(_)), "byte {at}: {past:?}");
        }
        anchor[at] ^= bit(at);
    }
    for length in 0..anchor.len() {
        let past = bench.judge(&older, &anchor[..length]);
        assert!(matches!(past, Verdict::Refused(_)), "cut at {length}: {past:?}");
    }
    assert!(!bench.env.log().contains("panicked"));
}
