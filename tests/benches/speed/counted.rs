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
    let served = (many - few) / (MANY - FEW) as u64;
    for (what, instructions) in
        [("one request for a list of 100, served", served), ("secretctl list of 100", client)]
    {
        report.add(Row {
            what: format!("instructions: {what}"),
            goal: "–".to_owned(),
            floor: "–".to_owned(),
            ours: rate(instructions as f64).replace("/s", ""),
            ratio: None,
            margin: None,
        });
    }
}

/// The instructions of a daemon that answers so many requests in its life, and those of one client of it.
fn serve(programs: Programs, requests: usize) -> (u64, u64) {
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

fn counted(out: &Path) -> u64 {
    let text = fs::read_to_string(out).unwrap();
    let line =
        text.lines().find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")));
    line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
}
