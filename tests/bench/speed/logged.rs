//! What costs more when the audit log is longer: it is never cut, and a vault of years has entries by the hundred thousand.

use std::time::Duration;

use secretsd_tests::Programs;

use crate::daemon::Daemon;
use crate::report::{Report, Row, columns, median, time};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 300_000];
const SECRETS: usize = 100;

/// The table of times with so many entries, in Markdown; and the unlock with the most of them beside one with few.
pub fn measure(programs: Programs, report: &mut Report) -> String {
    let (few, daemon) = (Daemon::with(programs, SECRETS), Daemon::with(programs, SECRETS));
    let empty = daemon.file();
    let mut entries = SECRETS;
    let rows = SIZES.map(|size| {
        daemon.log(size - entries);
        entries = size;
        // The last is of a name in the oldest entries alone: the whole log is read back.
        let [newest, named] = ["/audit?limit=100", "/audit?limit=100&name=BENCH_SECRET_000001_API_KEY"]
            .map(|path| daemon.load(1, Duration::from_millis(500), daemon.get(path)).median());
        let unlock = median((0..5).map(|_| daemon.unlock().as_secs_f64()).collect());
        let verify = daemon.whole("/vault/verify", false);
        let rotate = daemon.whole("/vault/rotate", true);
        let bytes = (daemon.file() - empty) / size as u64;
        [
            size.to_string(),
            time(newest.as_secs_f64()),
            time(named.as_secs_f64()),
            time(unlock),
            time(verify.as_secs_f64()),
            time(rotate.as_secs_f64()),
            format!("{bytes} bytes"),
        ]
    });
    let rounds: Vec<_> =
        (0..9).map(|_| (few.unlock().as_secs_f64(), daemon.unlock().as_secs_f64())).collect();
    let most = SIZES[SIZES.len() - 1];
    report.add(Row::of_times(
        &format!("unlock with {most} audit entries by one with {SECRETS}"),
        2.0,
        &rounds,
    ));
    let head =
        ["audit entries", "newest 100", "all of a name", "unlock", "verify", "rotate", "file, an entry"];
    columns(&head.map(str::to_owned), &rows)
}
