//! How fast the programs are, each figure beside its floor from the same run: `make bench`.
//!
//! Machines are noisy, so what counts is a ratio: ours and the floor are measured in turns, a round each, and the
//! middle ratio is told. Nothing here fails because something is slow; it fails if an answer is wrong.
//!
//! - [`load`]: requests as fast as they are answered
//! - [`floors`]: bare hyper and bare SQLite
//! - [`daemon`]: a daemon with so many secrets, and the requests to it
//! - [`served`], [`written`], [`started`], [`masked`], [`scanned`], [`grown`], [`logged`], [`counted`]: the measurements
//! - [`broker`]: requests through the broker, and through what others have
//! - [`bus`]: the Secret Service beside gnome-keyring
//! - [`machines`]: one vault on several machines by way of a store, beside git and rclone
//! - [`peers`]: what people use instead, set up in a directory of the bench
//! - [`report`], [`plot`]: the table, and the pictures

mod broker;
mod bus;
mod counted;
mod daemon;
mod floors;
mod grown;
mod load;
mod logged;
mod machines;
mod masked;
mod peers;
mod plot;
mod report;
mod scanned;
mod served;
mod started;
mod written;

use std::path::Path;
use std::time::Instant;

use report::Report;
use secretsd_tests::{Programs, programs};

/// The variable that names the directory of the programs to measure.
const PROGRAMS: &str = "PROGRAMS";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, socket, body, rows @ ..] = arguments.as_slice()
        && mode == floors::SERVE
    {
        return floors::serve(socket, body, rows.first().map(String::as_str));
    }
    match arguments.as_slice() {
        [mode, directory] if mode == broker::SERVE => return broker::serve(directory),
        [mode] if mode == broker::DRIVE => return broker::drive(),
        [mode, port, directory, trusted] if mode == broker::BARE => {
            return broker::serve_bare(port, directory, trusted);
        }
        _ => {}
    }
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    let programs = programs_to_measure();
    let start = Instant::now();
    let mut report = Report::default();
    if wanted("served") {
        served::measure(programs, &mut report);
    }
    if wanted("written") {
        written::measure(programs, &mut report);
    }
    if wanted("started") {
        started::measure(programs, &mut report);
    }
    if wanted("masked") {
        masked::measure(programs, &mut report);
    }
    // Alone or not at all: a gigabyte is written for it.
    if only.is_some_and(|only| only == "scan") {
        scanned::measure(programs, &mut report);
    }
    if wanted("counted") {
        counted::measure(programs, &mut report);
    }
    let through = wanted("broker").then(|| broker::measure(programs)).flatten();
    let keyring = wanted("bus").then(|| bus::measure(programs)).flatten();
    let moved = wanted("machines").then(|| machines::measure(programs)).flatten();
    let growth = wanted("grown").then(|| grown::measure(programs, &mut report));
    let log = wanted("logged").then(|| logged::measure(programs, &mut report));
    if !report.rows.is_empty() {
        println!("\n{}", report.table());
    }
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/results");
    for (part, table) in [("broker", &through), ("bus", &keyring), ("machines", &moved)] {
        let Some(table) = table else { continue };
        println!("{table}");
        if std::env::var_os(PROGRAMS).is_some() {
            let text = format!("# Measured by `make bench PART={part}`\n\n{table}");
            std::fs::write(results.join(format!("{part}.md")), text).unwrap();
        }
    }
    if let Some(growth) = &growth {
        println!("{}", growth.table());
    }
    if let Some(log) = &log {
        println!("{log}");
    }
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    // A part alone is for looking at; the committed results are a whole run's.
    if let (None, Some(growth), Some(log)) = (only, growth, log) {
        std::fs::create_dir_all(&results).unwrap();
        std::fs::write(results.join("speed.md"), report::markdown(&report, &growth, &log)).unwrap();
        std::fs::write(results.join("goals.svg"), plot::goals(&report)).unwrap();
        std::fs::write(results.join("growth.svg"), plot::growth(&growth)).unwrap();
        println!("written to {}", results.display());
    }
}

/// Those in the directory that `PROGRAMS` names, as `make bench` has built them for installation; else cargo's own.
fn programs_to_measure() -> Programs {
    let Ok(directory) = std::env::var(PROGRAMS) else { return programs!() };
    let path = |name: &str| &*format!("{directory}/{name}").leak();
    Programs { daemon: path("secretsd"), client: path("secretctl") }
}
