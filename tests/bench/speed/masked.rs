//! How fast output passes the mask of `run --mask`: log lines in which no value is, with more and longer values, beside
//! `sed` replacing one fixed text in the same file; and text that begins a value again and again.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use secrets_scrub::{Forms, Masker};
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::{Env, Programs};

use crate::report::{Report, Row, median, time};

const ROUNDS: usize = 7;
const SIZE: usize = 20_000_000;

/// The matcher alone, and the program around it.
pub fn measure(programs: Programs, report: &mut Report) {
    let env = Env::unlocked(programs);
    let (log, file) = (lines(), env.path("log"));
    std::fs::write(&file, &log).unwrap();
    let values = keys(100);
    let key = format!("-----BEGIN KEY-----\n{}\n-----END KEY-----\n", keys(25).join("\n"));
    let long: String = keys(6_500).iter().map(|key| format!("{}\n", &key[8..18])).collect();
    let letters = "a".repeat(SIZE);
    let begins = format!("{}b", "a".repeat(60));
    let candidates = [
        Candidate { what: "log, 1 value", text: &log, values: &values[..1] },
        Candidate { what: "log, 10 values", text: &log, values: &values[..10] },
        Candidate { what: "log, 100 values", text: &log, values: &values },
        Candidate { what: "log, a key of 27 lines", text: &log, values: &[key] },
        Candidate { what: "log, a value of 6,500 lines", text: &log, values: &[long] },
        Candidate {
            what: "a letter again and again, a value that begins so",
            text: letters.as_bytes(),
            values: &[begins],
        },
    ];
    for (index, value) in values.iter().enumerate() {
        env.store(&format!("KEY_{index}"), value);
    }
    let command = |secret: &[&str]| -> f64 {
        let mut command = env.command(env.programs().client);
        command.arg("run").args(secret).args(["--mask", "--", "cat"]).arg(&file);
        timed(&mut command)
    };
    let rounds: Vec<Vec<f64>> = (0..ROUNDS)
        .map(|_| {
            let ours = candidates.iter().map(Candidate::pass);
            let mut round: Vec<f64> = std::iter::once(sed(&file)).chain(ours).collect();
            round.extend([command(&["-s", "KEY_0"]), command(&["--all"])]);
            round
        })
        .collect();
    let whats = candidates.iter().map(|candidate| candidate.what);
    for (at, what) in
        (1..).zip(whats.chain(["cat of the log under run --mask, 1 value", "the same, 100 values"]))
    {
        // The first of each kind is beside sed, the others are beside the first.
        let (floor, goal) = match at {
            1 | 7 => (0, None),
            8 => (7, Some(2.0)),
            _ => (1, (at <= 3).then_some(2.0)),
        };
        let middle = |at: usize| median(rounds.iter().map(|times| times[at]).collect());
        let ratio = median(rounds.iter().map(|times| times[at] / times[floor]).collect());
        let beside = if floor == 0 { "sed" } else { "1 value" };
        report.add(Row {
            what: format!("masking 20 MB: {what}"),
            goal: goal.map_or("–".to_owned(), |goal| format!("≤ {goal}×")),
            floor: format!("{}, {beside}", time(middle(floor))),
            ours: time(middle(at)),
            ratio: Some(ratio),
            margin: goal.map(|goal| goal / ratio),
        });
    }
    for (what, values) in [("100 values", &values[..]), ("a value of 6,500 lines", candidates[4].values)] {
        let rounds = (0..ROUNDS).map(|_| {
            let start = Instant::now();
            black_box(Forms::new(values.iter().map(String::as_str)));
            start.elapsed().as_secs_f64()
        });
        report.add(Row {
            what: format!("preparing to mask {what}"),
            goal: "–".to_owned(),
            floor: "–".to_owned(),
            ours: time(median(rounds.collect())),
            ratio: None,
            margin: None,
        });
    }
}

struct Candidate<'a> {
    what: &'static str,
    text: &'a [u8],
    values: &'a [String],
}

impl Candidate<'_> {
    /// The seconds that all of the text takes.
    fn pass(&self) -> f64 {
        let forms = Forms::new(self.values.iter().map(String::as_str));
        let (mut masker, mut out, mut shown) = (Masker::new(&forms), Vec::new(), 0);
        let start = Instant::now();
        for piece in self.text.chunks(16 << 10) {
            masker.push(piece, &mut out);
            shown += out.len();
            out.clear();
        }
        masker.finish(&mut out);
        let took = start.elapsed().as_secs_f64();
        assert_eq!(shown + out.len(), self.text.len(), "{}: something is masked or lost", self.what);
        took
    }
}

fn sed(file: &Path) -> f64 {
    timed(Command::new("sed").env("LC_ALL", "C").arg("s/a fixed text/••••/g").arg(file))
}

fn timed(command: &mut Command) -> f64 {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    assert!(process::wait(&mut child, DEADLINE).success());
    start.elapsed().as_secs_f64()
}

/// What servers write, each line another.
fn lines() -> Vec<u8> {
    let line = |number: u64| {
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        format!(
            "2026-11-24T10:{:02}:{:02}.{:03}Z INFO server: GET /static/app-{random:x}.js?id={} 200 in {} ms; cache=hit; \
             peer=10.0.7.{}\n",
            number / 60 % 60,
            number % 60,
            random % 1000,
            random >> 20,
            random % 97,
            random % 251
        )
    };
    let mut text: Vec<u8> = (0..)
        .map(line)
        .scan(0, |size, line| {
            let before = *size;
            *size += line.len();
            (before < SIZE).then_some(line)
        })
        .flat_map(String::into_bytes)
        .collect();
    text.truncate(SIZE);
    text
}

/// Keys as providers make them.
pub fn keys(count: u64) -> Vec<String> {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    let mut random: u64 = 0x2545_f491_4f6c_dd1d;
    let mut letter = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        char::from(LETTERS[(random % 64) as usize])
    };
    let prefixes = ["sk-proj-", "ghp_", "AKIA", "xoxb-", ""];
    (0..count)
        .map(|key| {
            format!(
                "{}{}",
                prefixes[key as usize % 5],
                std::iter::repeat_with(&mut letter).take(40).collect::<String>()
            )
        })
        .collect()
}
