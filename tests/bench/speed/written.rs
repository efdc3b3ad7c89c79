//! Operations that are on the disk before they are answered, beside bare SQLite inserts as durable as they are.

use std::time::Duration;

use secretsd_tests::Programs;

use crate::daemon::Daemon;
use crate::floors::BareSqlite;
use crate::load::Measured;
use crate::report::{Report, Row, median, rate, time};

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(300);
const MANY: usize = 16;

#[derive(Debug)]
struct Round {
    floor: (f64, Duration),
    rows: f64,
    many_rows: f64,
    create: Measured,
    update: Measured,
    reveal: Measured,
    many_creates: Measured,
    many_reveals: Measured,
}

/// Creates, updates and reveals, one at a time and many.
pub fn measure(programs: Programs, report: &mut Report) {
    let mut daemon = Daemon::with(programs, 100);
    let mut bare = BareSqlite::open(&daemon.env.path("."));
    let ids = daemon.ids();
    let rounds: Vec<Round> = (0..ROUNDS)
        .map(|_| Round {
            floor: bare.insert(ROUND),
            rows: bare.create(ROUND, 1).0,
            many_rows: bare.create(ROUND, MANY as u64).0,
            create: daemon.create(1, ROUND),
            update: daemon.update(&ids, 1, ROUND),
            reveal: daemon.reveal(1, ROUND),
            many_creates: daemon.create(MANY, ROUND),
            many_reveals: daemon.reveal(MANY, ROUND),
        })
        .collect();
    let middle = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let floor = middle(&|round| round.floor.0);
    let by_rate = |what: &str, ours: &dyn Fn(&Round) -> f64, goal: f64| {
        let ratio = middle(&|round| ours(round) / round.floor.0);
        Row {
            what: what.to_owned(),
            goal: format!("≥ {goal}×"),
            floor: rate(floor),
            ours: rate(middle(ours)),
            ratio: Some(ratio),
            margin: Some(ratio / goal),
        }
    };
    let bare_rows = |what: &str, bare: &dyn Fn(&Round) -> f64| Row {
        what: what.to_owned(),
        goal: "–".to_owned(),
        floor: rate(floor),
        ours: rate(middle(bare)),
        ratio: Some(middle(&|round| bare(round) / round.floor.0)),
        margin: None,
    };
    report.add(by_rate("create, durable, 1 connection", &|round| round.create.rate, 0.6));
    report.add(bare_rows("bare SQLite inserting the rows of a create", &|round| round.rows));
    report.add(by_rate("update, durable, 1 connection", &|round| round.update.rate, 0.6));
    report.add(by_rate("create, durable, 16 connections", &|round| round.many_creates.rate, 3.0));
    report.add(bare_rows("bare SQLite inserting those of 16 a commit", &|round| round.many_rows));
    let reveals = middle(&|round| round.many_reveals.rate);
    report.add(Row {
        what: "reveal, audited, 16 connections".to_owned(),
        goal: "≥ 2,000/s".to_owned(),
        floor: rate(floor),
        ours: rate(reveals),
        ratio: Some(middle(&|round| round.many_reveals.rate / round.floor.0)),
        margin: Some(reveals / 2_000.0),
    });
    let ratio = middle(&|round| round.reveal.median().as_secs_f64() / round.floor.1.as_secs_f64());
    report.add(Row {
        what: "reveal, audited, 1 connection, p50".to_owned(),
        goal: "≤ 2×".to_owned(),
        floor: time(middle(&|round| round.floor.1.as_secs_f64())),
        ours: time(middle(&|round| round.reveal.median().as_secs_f64())),
        ratio: Some(ratio),
        margin: Some(2.0 / ratio),
    });
}
