//! Operations that are on the disk before they are answered, beside bare SQLite inserts as durable as they are.

use std::time::Duration;

use secretsd_tests::Programs;

use crate::daemon::Daemon;
use crate::floors::{BareHyper, BareSqlite};
use crate::load::{self, Measured, Until};
use crate::report::{Report, Row, median, rate};

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(300);
const MANY: usize = 16;

#[derive(Debug)]
struct Round {
    floor: (f64, Duration),
    rows: f64,
    many_rows: f64,
    served_rows: f64,
    create: Measured,
    update: Measured,
    reveal: Measured,
    connecting: Measured,
    many_creates: Measured,
    many_reveals: Measured,
}

/// Creates, updates and reveals, one at a time and many.
pub fn measure(programs: Programs, report: &mut Report) {
    let mut daemon = Daemon::with(programs, 100);
    let mut bare = BareSqlite::open(&daemon.env.path("."));
    let ids = daemon.ids();
    let behind = daemon.env.path("behind");
    std::fs::create_dir(&behind).unwrap();
    let (serving, request) = (BareHyper::storing(&behind, b"{}"), daemon.create_request());
    let served = || {
        let request = request.clone();
        load::run(serving.socket(), 1, Until::Time(ROUND), 200, move |_| request.clone()).rate
    };
    let rounds: Vec<Round> = (0..ROUNDS)
        .map(|_| Round {
            floor: bare.insert(ROUND),
            rows: bare.create(ROUND, 1).0,
            many_rows: bare.create(ROUND, MANY as u64).0,
            served_rows: served(),
            create: daemon.create(1, ROUND),
            update: daemon.update(&ids, 1, ROUND),
            reveal: daemon.reveal(1, ROUND),
            connecting: daemon.reveal_connecting(ROUND),
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
    let by_time =
        |what: &str, goal: f64, floor: &dyn Fn(&Round) -> Duration, ours: &dyn Fn(&Round) -> Duration| {
            let pairs = rounds.iter().map(|round| (floor(round).as_secs_f64(), ours(round).as_secs_f64()));
            Row::of_times(what, goal, &pairs.collect::<Vec<_>>())
        };
    report.add(by_rate("create, durable, 1 connection", &|round| round.create.rate, 0.6));
    report.add(by_time(
        "create, durable, 1 connection, p99 by p50",
        5.0,
        &|round| round.create.median(),
        &|round| round.create.quantile(0.99),
    ));
    report.add(bare_rows("bare SQLite inserting the rows of a create", &|round| round.rows));
    report.add(bare_rows("bare hyper doing so for each request, 1 connection", &|round| round.served_rows));
    report.add(by_rate("update, durable, 1 connection", &|round| round.update.rate, 0.6));
    report.add(by_rate("create, durable, 16 connections", &|round| round.many_creates.rate, 2.5));
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
    report.add(by_time("reveal, audited, 1 connection, p50", 2.0, &|round| round.floor.1, &|round| {
        round.reveal.median()
    }));
    report.add(by_time(
        "reveal on a new connection by reveal on a kept one, p50",
        1.2,
        &|round| round.reveal.median(),
        &|round| round.connecting.median(),
    ));
}
