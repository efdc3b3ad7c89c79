//! Requests through the broker, beside the same straight to the host and through a tunnel that nobody looks into, and
//! through what others have. The host, the program that asks and the broker are processes of their own.
//!
//! - [`origin`]: the host
//! - [`driver`]: the program that asks
//! - [`stage`]: all of them, set up
//! - [`bare`]: a proxy that does nothing else
//! - [`peers`]: that one, and what others have
//! - [`fenced`]: what a fence takes

mod bare;
mod driver;
mod fenced;
mod origin;
mod peers;
mod stage;

pub use bare::{BARE, serve as serve_bare};
pub use driver::{DRIVE, drive};
pub use origin::{SERVE, serve};

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use secretsd_tests::{Env, Programs, process};

use driver::{Figure, What};
use stage::{Candidate, Stage};

use crate::report::{columns, machine, median, rate, time};

/// So often everybody has a turn.
const ROUNDS: usize = 15;

/// The table in Markdown; nothing where there can be no names for the host.
pub fn measure(programs: Programs) -> Option<String> {
    let stage = match Stage::new(programs) {
        Ok(stage) => stage,
        Err(reason) => {
            eprintln!("requests through the broker are not measured: {reason}");
            return None;
        }
    };
    let mut table = Table { rows: Vec::new() };
    let idle = stage.candidates.iter().map(Candidate::memory).collect::<Vec<_>>();
    stage.pin_nobody();
    table.downloads(&stage);
    table.memory("memory, idle", Some(8.0), idle);
    let after = stage.candidates.iter().map(Candidate::memory).collect();
    table.memory("memory after 100 MB", Some(12.0), after);
    stage.pin_all_to_one();
    table.requests_on_one_core(&stage);
    stage.pin_nobody();
    table.connections(&stage);
    table.events(&stage);
    stage.pin_proxies_apart();
    table.sixteen(&stage);
    let head: Vec<String> = ["what", "goal"]
        .into_iter()
        .map(str::to_owned)
        .chain(stage.candidates.iter().map(|candidate| candidate.name.to_owned()))
        .collect();
    table.started(&stage.env, head.len());
    table.size(programs, head.len());
    let text = format!("{}\n\n{}", machine(), columns(&head, &table.rows));
    Some(text)
}

struct Table {
    rows: Vec<Vec<String>>,
}

/// What each candidate did in each round: rounds of candidates.
type Rounds = Vec<Vec<Option<Figure>>>;

impl Table {
    fn add(&mut self, what: &str, goal: &str, cells: Vec<String>) {
        eprintln!("{what} ({goal}): {}", cells.join(", "));
        self.rows.push([what, goal].into_iter().map(str::to_owned).chain(cells).collect());
    }

    /// The middle ratio to straight there, which itself is shown as it is.
    fn ratios(
        &mut self,
        what: &str,
        goal: &str,
        rounds: &Rounds,
        figure: fn(&Figure) -> f64,
        shown: fn(f64) -> String,
    ) {
        let cells = (0..rounds[0].len()).map(|at| match at {
            0 => shown(middle(rounds, 0, figure).unwrap_or_default()),
            _ => ratio(rounds, at, 0, figure).map_or("–".to_owned(), times),
        });
        let cells = cells.collect();
        self.add(what, goal, cells);
    }

    fn downloads(&mut self, stage: &Stage) {
        let shown = |rate: f64| format!("{:.0} MB/s", rate / 1e6);
        for (what, goal, with_value) in
            [("100 MB, without a value", "≥ 0.45×", false), ("100 MB, scrubbed of a value", "≥ 0.3×", true)]
        {
            let rounds = rounds(stage, 7, with_value, What::Download);
            self.ratios(what, goal, &rounds, |figure| figure.rate, shown);
        }
    }

    fn memory(&mut self, what: &str, most: Option<f64>, cells: Vec<Option<f64>>) {
        let cells = cells.into_iter().map(|mib| mib.map_or("–".to_owned(), |mib| format!("{mib:.1} MiB")));
        let goal = most.map_or("–".to_owned(), |most| format!("≤ {most} MiB"));
        self.add(what, &goal, cells.collect());
    }

    fn requests_on_one_core(&mut self, stage: &Stage) {
        let without = rounds(stage, ROUNDS, false, What::Requests(200, 1));
        self.ratios(
            "requests a second on one core, without a value",
            "–",
            &without,
            |figure| figure.rate,
            rate,
        );
        let with = rounds(stage, ROUNDS, true, What::Requests(200, 1));
        self.ratios(
            "requests a second on one core, with a value",
            "≥ 0.35×",
            &with,
            |figure| figure.rate,
            rate,
        );
        let added = |at: usize| {
            let added =
                with.iter().filter_map(|round| Some(round[at]?.time - round[0]?.time)).collect::<Vec<_>>();
            (!added.is_empty()).then(|| median(added))
        };
        let tunnel = added(1).unwrap_or_default();
        let cells = (0..with[0].len()).map(|at| match (at, added(at)) {
            (0, _) => time(middle(&with, 0, |figure| figure.time).unwrap_or_default()),
            (1, Some(added)) => format!("+ {}", time(added)),
            (_, Some(added)) => format!("+ {} ({:.1} × the tunnel's)", time(added), added / tunnel),
            (_, None) => "–".to_owned(),
        });
        self.add("the middle time of one with a value, added", "≤ 4 × the tunnel's", cells.collect());
    }

    fn sixteen(&mut self, stage: &Stage) {
        let rounds = rounds(stage, ROUNDS, true, What::Requests(300, 16));
        let what = "16 connections, the proxy on its own core";
        self.ratios(what, "≥ 0.9 × the tunnel's", &rounds, |figure| figure.rate, rate);
    }

    fn connections(&mut self, stage: &Stage) {
        let rounds = rounds(stage, ROUNDS, true, What::Connections(20));
        let what = "a new connection: CONNECT, TLS, one request";
        self.ratios(what, "≤ 1.3×", &rounds, |figure| figure.time, time);
    }

    fn events(&mut self, stage: &Stage) {
        let rounds = rounds(stage, ROUNDS, true, What::Events(50));
        let cells = (0..rounds[0].len()).map(|at| {
            let time_of = |figure: &Figure| figure.time;
            match (at, middle(&rounds, at, time_of)) {
                (0 | 1, Some(middle)) => time(middle),
                (_, Some(middle_here)) => {
                    let later = middle_here - middle(&rounds, 1, time_of).unwrap_or_default();
                    format!("{} later than the tunnel's", time(later.max(0.0)))
                }
                (_, None) => "–".to_owned(),
            }
        });
        self.add("the first byte of an event", "≤ 1 ms later", cells.collect());
    }

    /// What `proxy run` takes beyond `run`, with the machine's own authorities.
    fn started(&mut self, env: &Env, columns: usize) {
        let start = |words: &[&str]| {
            let mut command = env.command(env.programs().client);
            command.args(words).args(["-s", "KEY", "--", "/bin/true"]).stderr(Stdio::null());
            let start = Instant::now();
            assert!(command.status().unwrap().success(), "{words:?} fails");
            start.elapsed().as_secs_f64()
        };
        let times: Vec<f64> = (0..2 * ROUNDS).map(|_| -start(&["run"]) + start(&["proxy", "run"])).collect();
        let mut cells = vec!["–".to_owned(); columns - 2];
        cells[2] = format!("+ {}", time(median(times)));
        self.add("`proxy run -- true` beyond `run -- true`", "≤ 15 ms", cells);
        if let Some(fenced) = fenced::measure(env) {
            let mut cells = vec!["–".to_owned(); columns - 2];
            cells[2] = fenced.cell();
            self.add("the same with `--fence`", "≤ 40 ms", cells);
        }
    }

    fn size(&mut self, programs: Programs, columns: usize) {
        let size = fs::metadata(stage::broker(programs)).unwrap().len() as f64 / 1024.0 / 1024.0;
        let mut cells = vec!["–".to_owned(); columns - 2];
        cells[2] = format!("{size:.1} MiB");
        self.add("size of the program", "≤ 6 MiB", cells);
    }
}

/// A ratio as people write it.
fn times(ratio: f64) -> String {
    if ratio < 0.095 { format!("{ratio:.3}×") } else { format!("{ratio:.2}×") }
}

fn rounds(stage: &Stage, count: usize, with_value: bool, what: What) -> Rounds {
    let turn = |candidate: &Candidate| stage.ask(candidate, with_value, what);
    (0..count).map(|_| stage.candidates.iter().map(turn).collect()).collect()
}

fn middle(rounds: &Rounds, at: usize, figure: fn(&Figure) -> f64) -> Option<f64> {
    let figures: Vec<f64> = rounds.iter().filter_map(|round| round[at].as_ref().map(figure)).collect();
    (!figures.is_empty()).then(|| median(figures))
}

fn ratio(rounds: &Rounds, at: usize, to: usize, figure: fn(&Figure) -> f64) -> Option<f64> {
    let both = |round: &Vec<Option<Figure>>| Some(figure(round[at].as_ref()?) / figure(round[to].as_ref()?));
    let ratios: Vec<f64> = rounds.iter().filter_map(both).collect();
    (!ratios.is_empty()).then(|| median(ratios))
}

impl Candidate {
    /// How much memory its proxy takes up, in MiB.
    fn memory(&self) -> Option<f64> {
        self.proxies.first().map(|pid| process::resident(*pid) as f64 / 1024.0 / 1024.0)
    }
}
