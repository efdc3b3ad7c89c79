//! What costs more when there are more secrets: the same requests at each power of ten.

use std::time::{Duration, Instant};

use secretsd_tests::Programs;
use secretsd_tests::connection::Connection;
use serde_json::json;

use crate::daemon::Daemon;
use crate::floors::BareHyper;
use crate::load::{self, Until};
use crate::report::{Report, Row, columns, median, time};

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
const ROUND: Duration = Duration::from_millis(500);

/// The middle times, in seconds, with so many secrets.
#[derive(Debug, Clone)]
pub struct Step {
    /// How many secrets.
    pub secrets: usize,
    /// Listing all of them.
    pub list: f64,
    /// Bare hyper, sending as many bytes.
    pub copy: f64,
    /// Listing them after a change, when the list has to be written again.
    pub changed: f64,
    /// Listing ten of them through a token that is bound to these.
    pub bound: f64,
    /// One secret's metadata.
    pub get: f64,
    /// A new value.
    pub set: f64,
    /// A value handed over.
    pub reveal: f64,
    /// An unlock with a key file.
    pub unlock: f64,
    /// Reading everything back, with the audit log of all this.
    pub verify: f64,
    /// A new data key, with the audit log of all this.
    pub rotate: f64,
    /// Resident memory in MiB.
    pub memory: f64,
}

/// All steps.
#[derive(Debug)]
pub struct Growth(pub Vec<Step>);

impl Growth {
    /// The table in Markdown.
    pub fn table(&self) -> String {
        let head = [
            "secrets",
            "list",
            "bare hyper, same bytes",
            "list after a change",
            "10 by a bound token",
            "get",
            "set",
            "reveal",
            "unlock",
            "verify",
            "rotate",
            "memory",
        ];
        let rows = self.0.iter().map(|step| {
            let Step { list, copy, changed, bound, get, set, reveal, unlock, verify, rotate, .. } = *step;
            let times = [list, copy, changed, bound, get, set, reveal, unlock, verify, rotate].map(time);
            let [list, copy, changed, bound, get, set, reveal, unlock, verify, rotate] = times;
            let (secrets, memory) = (step.secrets.to_string(), format!("{:.1} MiB", step.memory));
            [secrets, list, copy, changed, bound, get, set, reveal, unlock, verify, rotate, memory]
        });
        columns(&head.map(str::to_owned), &rows.collect::<Vec<_>>())
    }

    fn at(&self, secrets: usize) -> &Step {
        self.0.iter().find(|step| step.secrets == secrets).unwrap()
    }
}

/// Measures each size, and holds 10,000 against 100.
pub fn measure(programs: Programs, report: &mut Report) -> Growth {
    let mut daemon = Daemon::with(programs, 0);
    let mut growth = Growth(Vec::new());
    let bound = daemon.bound("BENCH_SECRET_00000?_API_KEY");
    for secrets in SIZES {
        daemon.grow(secrets);
        growth.0.push(step(&daemon, secrets, &bound));
        if secrets == 10_000 {
            report.add(unlock(&daemon));
        }
        if secrets >= 10_000 {
            for path in ["/user/secrets", "/user/secrets?view=full", "/user/secrets?provider=openai"] {
                report.add(first_after_a_change(&daemon, secrets, path));
            }
        }
    }
    report.add(flooded(&daemon));
    let (small, large) = (growth.at(100), growth.at(10_000));
    for (what, small, large) in [
        ("list at 10,000 by list at 100, copying apart", small.list / small.copy, large.list / large.copy),
        ("get at 10,000 by get at 100", small.get, large.get),
        ("set at 10,000 by set at 100", small.set, large.set),
    ] {
        let ratio = large / small;
        report.add(Row {
            what: what.to_owned(),
            goal: "≤ 3×".to_owned(),
            floor: "1×".to_owned(),
            ours: format!("{ratio:.2}×"),
            ratio: Some(ratio),
            margin: Some(3.0 / ratio),
        });
    }
    growth
}

fn step(daemon: &Daemon, secrets: usize, bound: &[u8]) -> Step {
    let body = daemon.body("/user/secrets");
    let ids = daemon.ids();
    let (list, get) = (daemon.get("/user/secrets"), daemon.get(&format!("/user/secrets/{}", ids[0])));
    let copy = {
        let bare = BareHyper::start(&daemon.env.path("."), &body);
        let list = list.clone();
        load::run(bare.socket(), 1, Until::Time(ROUND), 200, move |_| list.clone()).median()
    };
    let unlocks = (0..5).map(|_| daemon.unlock().as_secs_f64()).collect();
    // A rotation has everything in memory twice for a moment, which is not given back at once.
    let load = Step {
        secrets,
        list: daemon.load(1, ROUND, list).median().as_secs_f64(),
        copy: copy.as_secs_f64(),
        changed: median((0..9).map(|_| changed(daemon, &ids, "/user/secrets")).collect()),
        bound: daemon.load(1, ROUND, bound.to_vec()).median().as_secs_f64(),
        get: daemon.load(1, ROUND, get).median().as_secs_f64(),
        set: daemon.update(&ids, 1, ROUND).median().as_secs_f64(),
        reveal: daemon.reveal(1, ROUND).median().as_secs_f64(),
        unlock: median(unlocks),
        verify: 0.0,
        rotate: 0.0,
        memory: daemon.resident() as f64 / 1024.0,
    };
    Step {
        verify: daemon.whole("/vault/verify", false).as_secs_f64(),
        rotate: daemon.whole("/vault/rotate", true).as_secs_f64(),
        ..load
    }
}

/// A list after one change.
fn changed(daemon: &Daemon, ids: &[String], path: &str) -> f64 {
    let note = json!({ "note": "changed" });
    let patch = format!("/user/secrets/{}", ids[0]);
    Connection::open(&daemon.env).ask("PATCH", &patch, Some(&note)).expect(200);
    daemon.once(path).as_secs_f64()
}

/// A list after one change beside the same list asked for again.
fn first_after_a_change(daemon: &Daemon, secrets: usize, path: &str) -> Row {
    let ids = daemon.ids();
    daemon.once(path);
    let first = |_| {
        let first = changed(daemon, &ids, path);
        (daemon.once(path).as_secs_f64(), first)
    };
    let rounds: Vec<_> = (0..9).map(first).collect();
    let what = path.trim_start_matches("/user/secrets");
    let what = if what.is_empty() { "list" } else { what };
    Row::of_times(&format!("first {what} of {secrets} after a change by the next"), 3.0, &rounds)
}

/// Unlocking beside SQLite reading the same file and checking its structure.
fn unlock(daemon: &Daemon) -> Row {
    let file = daemon.copy();
    let rounds: Vec<_> =
        (0..9).map(|_| (read_all(&file).as_secs_f64(), daemon.unlock().as_secs_f64())).collect();
    Row::of_times("unlock with 10,000 secrets, without Argon2id", 2.5, &rounds)
}

/// Locking while others ask for all the work that they may, beside locking alone.
fn flooded(daemon: &Daemon) -> Row {
    let (ours, alone) = daemon.lock_under_flood();
    let (ours, alone) = (ours.as_secs_f64(), alone.as_secs_f64());
    Row {
        what: "lock with 100,000 secrets, eight hostile tokens asking".to_owned(),
        goal: "≤ 500 ms".to_owned(),
        floor: time(alone),
        ours: time(ours),
        ratio: Some(ours / alone),
        margin: Some(0.5 / ours),
    }
}

fn read_all(file: &std::path::Path) -> Duration {
    let start = Instant::now();
    let connection =
        rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
    let mut statement = connection.prepare("SELECT * FROM record").unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut bytes = 0;
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            if let rusqlite::types::ValueRef::Blob(blob) = row.get_ref(column).unwrap() {
                bytes += blob.len();
            }
        }
    }
    assert!(bytes > 0);
    start.elapsed()
}
