//! Instructions instead of time, by valgrind's callgrind: the same on a busy machine as on a quiet one, so that a later
//! change can be held against the committed figures anywhere.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use secretsd_tests::connection::Connection;
use secretsd_tests::{Env, Programs};
use serde_json::json;

use crate::daemon::name;
use crate::report::{Report, Row, rate};

const FEW: usize = 50;
const MANY: usize = 550;

/// One request for the list of 100 secrets, served; and `secretctl list` of them.
pub fn measure(programs: Programs, report: &mut Report) {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        eprintln!("instructions are not counted: valgrind is not installed");
        return;
    }
    let (few, _) = serve(programs, FEW);
    let (many, client) = serve(programs, MANY);
    let each = |many: u64, few: u64| many.saturating_sub(few) as f64 / (MANY - FEW) as f64;
    let served = each(many.instructions, few.instructions);
    let allocated = each(many.allocations, few.allocations);
    for (what, ours) in [
        ("instructions: one request for a list of 100, served", rate(served).replace("/s", "")),
        ("allocations: one request for a list of 100, served", format!("{allocated:.2}")),
        ("instructions: secretctl list of 100", rate(client.instructions as f64).replace("/s", "")),
    ] {
        report.add(Row {
            what: what.to_owned(),
            goal: "–".to_owned(),
            floor: "–".to_owned(),
            ours,
            ratio: None,
            margin: None,
        });
    }
}

/// What a program has done in its life.
struct Counted {
    instructions: u64,
    /// Calls of the C library's allocator, whose name is known in a stripped program too.
    allocations: u64,
}

/// What a daemon does that answers so many requests in its life, and one client of it.
fn serve(programs: Programs, requests: usize) -> (Counted, Counted) {
    let mut env = Env::new(programs);
    let (daemon, client) = (env.path("daemon.callgrind"), env.path("client.callgrind"));
    let command = counting(&env, &daemon, programs.daemon);
    env.start_as(command);
    let key = env.private_file("key", [7; 32]);
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    for n in 0..100 {
        env.store(&name(n), "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz");
    }
    let mut connection = Connection::open(&env);
    for _ in 0..requests {
        assert_eq!(connection.ask("GET", "/user/secrets", None).status, 200);
    }
    let mut list = counting(&env, &client, programs.client);
    assert!(list.arg("list").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    env.stop();
    (counted(&daemon), counted(&client))
}

fn counting(env: &Env, out: &Path, program: &str) -> Command {
    let mut command = env.command("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(program);
    command
}

fn counted(out: &Path) -> Counted {
    let text = fs::read_to_string(out).unwrap();
    let line =
        text.lines().find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")));
    let instructions = line.unwrap().split_whitespace().next().unwrap().parse().unwrap();
    Counted {
        instructions,
        allocations: ["malloc", "calloc", "posix_memalign"].map(|name| calls(&text, name)).iter().sum(),
    }
}

/// How often a function was called. A name is written once, with a number that stands for it from then on: see
/// valgrind's manual, "Callgrind Format Specification".
fn calls(text: &str, function: &str) -> u64 {
    let suffix = format!(" {function}");
    let named =
        text.lines().filter_map(|line| line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")));
    let mut numbers = named.filter_map(|name| name.strip_suffix(&suffix));
    let Some(number) = numbers.next() else { return 0 };
    let callee = format!("cfn={number}");
    let mut lines = text.lines();
    let mut sum = 0;
    while let Some(line) = lines.next() {
        if line != callee && line.strip_prefix(&callee) != Some(&suffix) {
            continue;
        }
        let calls = lines.next().and_then(|line| line.strip_prefix("calls="));
        sum += calls.and_then(|calls| calls.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
    }
    sum
}
