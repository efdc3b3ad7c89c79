//! The daemon's memory, descriptors, threads and files as time goes by, and whether they grow.

use std::fs;

use secretsd_tests::Env;
use secretsd_tests::harness::soak;

/// The process at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Gauge {
    /// Resident memory in KiB.
    pub resident: u64,
    /// That part of it which is no file's: what grows when something leaks.
    pub anonymous: u64,
    /// Open descriptors; who may not look does not know.
    pub descriptors: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// The vault's file, in bytes.
    pub file: u64,
    /// The log beside it, in bytes.
    pub log: u64,
    /// How many requests were answered until then.
    pub answered: u64,
    /// How many of them have left an entry in the audit log.
    pub written: u64,
}

impl Gauge {
    /// The process now.
    pub fn read(env: &Env, answered: u64, written: u64) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", env.pid())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let size = |name: &str| fs::metadata(env.data_dir().join(name)).map_or(0, |file| file.len());
        let descriptors = fs::read_dir(format!("/proc/{}/fd", env.pid())).ok();
        Self {
            resident: field("VmRSS:"),
            anonymous: field("RssAnon:"),
            descriptors: descriptors.map(|all| all.count() as u64),
            threads: field("Threads:"),
            file: size("vault.db"),
            log: size("vault.db-wal"),
            answered,
            written,
        }
    }
}

/// The process during each calm part.
#[derive(Debug, Default)]
pub struct Gauges(pub Vec<Vec<Gauge>>);

impl Gauges {
    /// Begins a part.
    pub fn begin(&mut self) {
        self.0.push(Vec::new());
    }

    /// Adds to the part that was begun last.
    pub fn add(&mut self, gauge: Gauge) {
        self.0.last_mut().unwrap().push(gauge);
    }

    /// Fails if anything grew that should not.
    pub fn judge(&self) {
        for part in &self.0 {
            let memory = of(part, |gauge| gauge.anonymous);
            let descriptors = of(part, |gauge| gauge.descriptors.unwrap_or(0));
            let threads = of(part, |gauge| gauge.threads);
            assert!(memory <= noise(), "memory grew by {memory} KiB");
            // Some connections are being closed and opened at any moment; what is left at the end is counted exactly.
            assert!(descriptors <= 8, "{descriptors} more descriptors");
            assert!(threads <= 0, "{threads} more threads");
            let log = part.iter().map(|gauge| gauge.log).max().unwrap();
            assert!(log <= LOG, "the vault's log had {log} bytes");
            let bytes = per_entry(part);
            // In a few seconds it is mostly the values that grow, until each secret has as many as are kept.
            assert!(!soak() || bytes <= ENTRY, "an entry of the audit log costs {bytes} bytes");
        }
    }
}

/// By how many bytes the file grew for each entry of the audit log.
pub fn per_entry(part: &[Gauge]) -> u64 {
    let (first, last) = (part[part.len() / 4], part[part.len() - 1]);
    last.file.saturating_sub(first.file) / (last.written - first.written).max(1)
}

/// By how much a figure grew over half of a part: from the middle of its second quarter to that of its last. What is only
/// taken in the first quarter, as buffers and caches are, is no growth.
pub fn of(part: &[Gauge], figure: impl Fn(&Gauge) -> u64) -> i64 {
    trend(&part.iter().map(figure).collect::<Vec<_>>())
}

/// The same of bare figures.
pub fn trend(figures: &[u64]) -> i64 {
    let quarter = figures.len() / 4;
    let middle = |from: usize| {
        let mut quarter = figures[from..from + quarter].to_vec();
        quarter.sort_unstable();
        quarter[quarter.len() / 2].cast_signed()
    };
    middle(figures.len() - quarter) - middle(quarter)
}

/// The most that memory may grow over half of a calm part, in KiB. Without a leak ten minutes gave 36; the long form has
/// 120,000 requests in half a part, the short one 9,000.
fn noise() -> i64 {
    if soak() { 256 } else { 1_024 }
}

/// The log beside the vault's file is moved into it from 400 KiB on.
const LOG: u64 = 4 << 20;
/// An entry of the audit log has some hundred bytes.
const ENTRY: u64 = 1_024;
