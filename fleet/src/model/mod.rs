//! The rules, tried: machines that edit, purge and sync, a store that withholds, loses, alters, swaps and forgets, disks
//! that are put back or copied, clocks that are decades off. In the end all agree, no value is lost, and no purged one is
//! back. And each rule that is switched off shows.

mod crypt;
mod kept;
mod roles;
mod truth;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::fault::{self, Fault};

pub(crate) use crypt::Toy;
use world::{Step, World};

/// How many steps a schedule has.
const STEPS: usize = 160;

fn schedules() -> impl Strategy<Value = Vec<Step>> {
    let step = any::<[u8; 4]>().prop_map(|[who, what, a, b]| Step { who, what, a, b });
    prop::collection::vec(step, STEPS)
}

/// Runs this many random schedules; what went wrong in the first that failed, made as short as can be.
fn run(cases: u32, shrink: bool, seed: u64) -> Result<(), String> {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng)
        .run(&(2_usize..=4, schedules()), |(machines, steps)| {
            World::try_out(machines, &steps).map_err(TestCaseError::fail)
        });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, (machines, steps))) => {
            let (reason, steps) = if shrink { shorten(machines, steps) } else { (reason.to_string(), steps) };
            Err(format!("seed {seed}: {reason}\n{machines} machines, {steps:?}"))
        }
        Err(other) => Err(other.to_string()),
    }
}

/// A schedule that fails, without the steps that can be left out, and why it fails.
fn shorten(machines: usize, mut steps: Vec<Step>) -> (String, Vec<Step>) {
    for length in [32, 8, 1, 1] {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..steps.len().min(at + length));
            if World::try_out(machines, &fewer).is_err() {
                steps = fewer;
            } else {
                at += length;
            }
        }
    }
    (World::try_out(machines, &steps).unwrap_err(), steps)
}

#[test]
fn whatever_happens_all_agree_and_nothing_is_lost() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) ^ 0x5EED_0000_0000);
    let (threads, each) = if std::env::var_os("SOAK").is_some() { (4, 5_000) } else { (2, 150) };
    let runs: Vec<_> =
        (0..threads).map(|thread| std::thread::spawn(move || run(each, true, seed + thread))).collect();
    for outcome in runs {
        if let Err(reason) = outcome.join().unwrap() {
            panic!("SEED={seed}: {reason}");
        }
    }
}

#[test]
fn one_that_waits_for_what_all_have_lost_goes_on_before_they_agree() {
    let step = |who, what, a| Step { who, what, a, b: 0 };
    let set = |who| step(who, 0, 0);
    let sync = |who| step(who, 17, 0);
    // The first machine's second value is lost with its disk. The second machine was to read it before it goes on.
    let steps = [set(0), sync(0), set(0), sync(1), step(1, 48, 0), step(1, 49, 0), step(0, 45, 0)];
    World::try_out(2, &steps).unwrap();
}

#[test]
fn every_rule_that_is_switched_off_shows() {
    let faults = [
        Fault::NoPadding,
        Fault::LastFieldWins,
        Fault::ValueCoversAll,
        Fault::TrashCoversAll,
        Fault::PurgeKeepsEarlier,
        Fault::SnapshotIsUnion,
        Fault::AnyOrder,
        Fault::NumbersOnly,
        Fault::WallClock,
        Fault::NamesTwice,
        Fault::NoAnswer,
        Fault::AnyBytes,
        Fault::ExcludedTravels,
        Fault::KeptHasSeenAll,
        Fault::ForgetsAtReturn,
        Fault::ReadersAreHeard,
    ];
    for fault in faults {
        fault::seed(Some(fault));
        let outcome = run(1_000, false, 1);
        fault::seed(None);
        let reason = outcome.expect_err(&format!("{fault:?} does not show"));
        println!("{fault:?}: {}", reason.lines().next().unwrap());
    }
}
