//! The table at the end, for people.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::client::Record;
use crate::gauges::{Gauge, Gauges, of, per_entry};

/// Prints what was asked, how it was answered, and what the process took; past the test harness.
pub fn print(record: &Record, gauges: &Gauges, idle: Gauge, took: Duration) {
    let mut text = String::new();
    let total: u64 = record.kinds.values().map(|kind| kind.micros.len() as u64).sum();
    let rate = total as f64 / took.as_secs_f64();
    writeln!(text, "\n{total} requests in {:.0} s, {rate:.0} a second", took.as_secs_f64()).unwrap();
    writeln!(text, "{:<12} {:>8} {:>9} {:>9}  by status", "kind", "requests", "p50", "p99").unwrap();
    for (name, kind) in &record.kinds {
        let mut micros = kind.micros.clone();
        micros.sort_unstable();
        let at = |share: usize| micros[(micros.len() - 1) * share / 100] as f64 / 1_000.0;
        write!(text, "{name:<12} {:>8} {:>6.2} ms {:>6.2} ms ", micros.len(), at(50), at(99)).unwrap();
        for (status, count) in &kind.statuses {
            write!(text, " {status}: {count}").unwrap();
        }
        text.push('\n');
    }
    writeln!(
        text,
        "closed by a lock: {}, asked again: {}, writes without an answer: {} not done, {} done",
        record.closed, record.resent, record.silently_dropped, record.silently_done
    )
    .unwrap();
    line(&mut text, "idle", idle);
    for part in &gauges.0 {
        line(&mut text, "calm, first", part[0]);
        line(&mut text, "calm, last", part[part.len() - 1]);
        let (anonymous, log) = (of(part, |gauge| gauge.anonymous), part.iter().map(|gauge| gauge.log).max());
        let asked = part[part.len() - 1].answered - part[0].answered;
        writeln!(
            text,
            "  over half of {asked} requests: {anonymous:+} KiB without a file, {:+} descriptors, {:+} threads; log at \
             most {} KiB; {} bytes of file an audit entry",
            of(part, |gauge| gauge.descriptors.unwrap_or(0)),
            of(part, |gauge| gauge.threads),
            log.unwrap() / 1_024,
            per_entry(part)
        )
        .unwrap();
    }
    std::io::stderr().write_all(text.as_bytes()).ok();
}

fn line(text: &mut String, when: &str, gauge: Gauge) {
    let descriptors = gauge.descriptors.map_or("?".to_owned(), |count| count.to_string());
    writeln!(
        text,
        "{when:<12} {} KiB resident, {} KiB of it without a file, {descriptors} descriptors, {} threads, vault {} KiB",
        gauge.resident,
        gauge.anonymous,
        gauge.threads,
        gauge.file / 1_024
    )
    .unwrap();
}
