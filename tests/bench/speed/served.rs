//! Requests that are served from memory, beside bare hyper with the same bytes; and what the daemon costs idle.

use std::time::{Duration, Instant};

use secretsd_tests::Programs;

use crate::daemon::Daemon;
use crate::floors::BareHyper;
use crate::load::{self, Until};
use crate::report::{Report, Row, median, rate};

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(250);
const GOAL: f64 = 0.85;

/// Lists, single secrets, memory, wake-ups.
pub fn measure(programs: Programs, report: &mut Report) {
    for secrets in [100, 1_000] {
        let daemon = Daemon::with(programs, secrets);
        for connections in [1, 16, 64] {
            let what = format!("list of {secrets}, {connections} connections");
            report.add(beside_hyper(&daemon, "/user/secrets", connections, what));
        }
        if secrets == 100 {
            let path = format!("/user/secrets/{}", daemon.ids()[0]);
            for connections in [1, 16] {
                let what = format!("one secret's metadata, {connections} connections");
                report.add(beside_hyper(&daemon, &path, connections, what));
            }
        } else {
            idle(&daemon, report);
        }
    }
}

fn beside_hyper(daemon: &Daemon, path: &str, connections: usize, what: String) -> Row {
    let bare = BareHyper::start(&daemon.env.path("."), &daemon.body(path));
    let request = daemon.get(path);
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let same = request.clone();
            let floor = load::run(bare.socket(), connections, Until::Time(ROUND), 200, move |_| same.clone());
            (floor.rate, daemon.load(connections, ROUND, request.clone()).rate)
        })
        .collect();
    let ratio = median(rounds.iter().map(|(floor, ours)| ours / floor).collect());
    Row {
        what,
        goal: format!("≥ {GOAL}×"),
        floor: rate(median(rounds.iter().map(|(floor, _)| *floor).collect())),
        ours: rate(median(rounds.iter().map(|(_, ours)| *ours).collect())),
        ratio: Some(ratio),
        margin: Some(ratio / GOAL),
    }
}

fn idle(daemon: &Daemon, report: &mut Report) {
    // The daemon tidies up within a second after the last write.
    std::thread::sleep(Duration::from_secs(2));
    let (before, start) = (daemon.waits(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let waits = (daemon.waits() - before) as f64 / start.elapsed().as_secs_f64();
    report.add(Row {
        what: "wake-ups when idle".to_owned(),
        goal: "0/s".to_owned(),
        floor: "0/s".to_owned(),
        ours: format!("{waits:.1}/s"),
        ratio: None,
        margin: Some(if waits == 0.0 { 1.0 } else { 0.0 }),
    });
    let resident = daemon.resident() as f64 / 1024.0;
    report.add(Row {
        what: "memory, 1,000 secrets, after the load".to_owned(),
        goal: "≤ 16 MiB".to_owned(),
        floor: "–".to_owned(),
        ours: format!("{resident:.1} MiB"),
        ratio: None,
        margin: Some(16.0 / resident),
    });
}
