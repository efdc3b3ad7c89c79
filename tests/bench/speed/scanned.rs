//! How fast `scan` looks through a checkout and through a history for 100 values, beside ripgrep with the same values as
//! fixed texts: `rg -F -f` over the same files, and over `git log -p`. ripgrep looks for the values as they are, `scan` in
//! every form. `SCAN_MB` sets the size of the checkout; it is a gigabyte.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use secretsd_tests::process;
use secretsd_tests::{Env, Programs};

use crate::masked::keys;
use crate::report::{Report, Row, median, time};

const ROUNDS: usize = 5;

/// Looking through a gigabyte on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(600);

/// Both, if git and ripgrep are there.
pub fn measure(programs: Programs, report: &mut Report) {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !has("rg") || !has("git") {
        println!("scan: not measured, git or ripgrep is not installed");
        return;
    }
    let env = Env::unlocked(programs);
    let values = keys(100);
    for (index, value) in values.iter().enumerate() {
        env.store(&format!("KEY_{index}"), value);
    }
    let patterns = env.private_file("patterns", values.join("\n"));
    let patterns = patterns.to_str().unwrap();
    let megabytes = std::env::var("SCAN_MB").ok().and_then(|size| size.parse().ok()).unwrap_or(1_000);
    let tree = env.private_dir("tree");
    checkout(&tree, megabytes);
    let history = env.private_dir("history");
    commits(&env, &history);
    let rg = ["rg", "--hidden", "--text", "--fixed-strings", "--file", patterns, "."];
    let log = format!("git log -p --all | rg --text --fixed-strings --file {patterns}");
    let client = env.programs().client;
    let kinds = [
        Kind { what: "a checkout", dir: &tree, floor: &rg, ours: &[client, "scan", "."], goal: 2.0 },
        Kind {
            what: "a history of 2,000 commits",
            dir: &history,
            floor: &["sh", "-c", &log],
            ours: &[client, "scan", "--history"],
            goal: 3.0,
        },
    ];
    for Kind { what, dir, floor, ours, goal } in kinds {
        // The first round fills the cache.
        let mut rounds: Vec<(f64, f64)> =
            (0..=ROUNDS).map(|_| (timed(&env, dir, floor, 1), timed(&env, dir, ours, 0))).collect();
        rounds.remove(0);
        let ratio = median(rounds.iter().map(|(floor, ours)| ours / floor).collect());
        let (floor, ours) = (
            median(rounds.iter().map(|round| round.0).collect()),
            median(rounds.iter().map(|round| round.1).collect()),
        );
        let size = if dir == tree { format!(" of {megabytes} MB") } else { String::new() };
        report.add(Row {
            what: format!("looking for 100 values in {what}{size}"),
            goal: format!("≤ {goal}×"),
            floor: format!("{}, rg", time(floor)),
            ours: time(ours),
            ratio: Some(ratio),
            margin: Some(goal / ratio),
        });
    }
}

/// What is looked through, by which commands.
struct Kind<'a> {
    what: &'a str,
    dir: &'a Path,
    floor: &'a [&'a str],
    ours: &'a [&'a str],
    goal: f64,
}

/// The seconds that it takes; both find nothing, and say so by different codes.
fn timed(env: &Env, dir: &Path, words: &[&str], code: i32) -> f64 {
    let mut command = env.command(words[0]);
    command
        .args(&words[1..])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    assert_eq!(process::wait(&mut child, PATIENCE).code(), Some(code), "{words:?}");
    start.elapsed().as_secs_f64()
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end) as usize
    }
}

/// Lines as sources have them: indented, of words and names, some empty, some a bracket.
fn lines(numbers: &mut Numbers) -> Vec<String> {
    const WORDS: [&str; 24] = [
        "let", "const", "return", "function", "if", "else", "for", "while", "match", "struct", "import",
        "from", "export", "class", "self", "None", "async", "result", "error", "token", "server", "secret",
        "map", "string",
    ];
    let names: Vec<String> = (0..4_000)
        .map(|_| {
            let length = 3 + numbers.below(12);
            (0..length).map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz_"[numbers.below(27)])).collect()
        })
        .collect();
    (0..60_000)
        .map(|_| {
            let mut line = "    ".repeat(numbers.below(5));
            match numbers.below(20) {
                0 | 1 => line.clear(),
                2 | 3 => line.push_str(["}", "});", "{", "]", "],"][numbers.below(5)]),
                _ => {
                    let join = [" ", ".", " = ", "(", ", "][numbers.below(5)];
                    for _ in 0..2 + numbers.below(7) {
                        let name = &names[numbers.below(4_000)];
                        let _ = match numbers.below(20) {
                            0..8 => write!(line, "{}{join}", WORDS[numbers.below(24)]),
                            8..17 => write!(line, "{name}{join}"),
                            17 | 18 => write!(line, "\"{name} {name}\"{join}"),
                            _ => write!(line, "0x{:08x}{join}", numbers.0 as u32),
                        };
                    }
                }
            }
            line
        })
        .collect()
}

fn text(lines: &[String], numbers: &mut Numbers, size: usize) -> String {
    let mut text = String::with_capacity(size + 200);
    while text.len() < size {
        text.push_str(&lines[numbers.below(lines.len() as u64)]);
        text.push('\n');
    }
    text
}

/// Files of some kilobytes each, most of them small, a few large.
fn checkout(dir: &Path, megabytes: u64) {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let lines = lines(&mut numbers);
    let (mut total, mut count) = (0, 0);
    while total < megabytes * 1_000_000 {
        let below = dir.join(format!("d{:03}/s{:02}", count / 500, count / 50 % 10));
        if count % 50 == 0 {
            fs::create_dir_all(&below).unwrap();
        }
        let size = 1_000 << numbers.below(8);
        let text = text(&lines, &mut numbers, size);
        fs::write(below.join(format!("f{count:05}.txt")), &text).unwrap();
        total += text.len() as u64;
        count += 1;
    }
}

/// Commits that each change some lines of three files out of 200.
fn commits(env: &Env, dir: &Path) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let lines = lines(&mut numbers);
    let mut files: Vec<Vec<String>> =
        (0..200).map(|_| (0..400).map(|_| lines[numbers.below(60_000)].clone()).collect()).collect();
    let mut stream = Vec::new();
    for commit in 0..2_000 {
        let head = format!(
            "commit refs/heads/main\ncommitter A <a@example.org> {} +0000\ndata 2\nx\n\n",
            1_700_000_000 + commit
        );
        stream.extend_from_slice(head.as_bytes());
        for _ in 0..3 {
            let file = numbers.below(200);
            for _ in 0..10 {
                let (at, line) = (numbers.below(400), numbers.below(60_000));
                files[file][at].clone_from(&lines[line]);
            }
            let text = files[file].join("\n");
            write!(stream, "M 100644 inline src/f{file:03}.txt\ndata {}\n{text}\n", text.len()).unwrap();
        }
    }
    let git = |words: &[&str], input: &[u8]| {
        let mut command = env.command("git");
        command
            .args(words)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        assert!(process::wait(&mut child, PATIENCE).success(), "{words:?}");
    };
    git(&["init", "--quiet", "--initial-branch=main", "."], b"");
    git(&["fast-import", "--quiet"], &stream);
    git(&["gc", "--quiet"], b"");
}
