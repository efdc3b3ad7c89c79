//! schemathesis reads the description and sends what it allows and what it does not: thousands of requests to the real
//! daemon. No answer may be 5xx, have a status, body or header that is not described, or accept what is malformed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::{skip, soak};
use secretsd_tests::source::repository;
use secretsd_tests::{Env, process, programs};

/// How often each operation was answered with which status.
type Report = BTreeMap<String, BTreeMap<u16, u64>>;

/// Where `install.sh` puts it.
fn schemathesis() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis/bin/schemathesis");
    if program.exists() {
        return Some(program);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "schemathesis is not there: run tests/tests/openapi/install.sh"
    );
    None
}

/// Runs it with or without the owner's token, so many examples for each operation.
fn run(program: &Path, examples: u32, with_token: bool) -> Report {
    let env = Env::unlocked(programs!());
    let here = repository().join("tests/tests/openapi");
    let mut command = env.command(program);
    command
        .env("PYTHONPATH", &here)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SECRETSD_SOCKET", env.socket())
        .env("SECRETSD_PASSPHRASE", PASSPHRASE)
        .env("SECRETSD_REPORT", env.path("report.json"))
        .arg("--config-file")
        .arg(here.join("schemathesis.toml"))
        .args(["run", "--no-color", "--url", "http://localhost"])
        .args(["--max-examples", &examples.to_string(), "--seed", &seed().to_string()]);
    if with_token {
        command
            .env("SECRETSD_TOKEN", env.token())
            .args(["-H", &format!("Authorization: Bearer {}", env.token())]);
    } else {
        command.args(["--exclude-checks", "positive_data_acceptance,ignored_auth"]);
        command.args(["--phases", "fuzzing,stateful"]);
    }
    let output = File::create(env.path("output")).unwrap();
    command.stderr(output.try_clone().unwrap()).stdout(output);
    let mut child = command.arg(repository().join("daemon/openapi.json")).spawn().unwrap();
    let status = process::wait(&mut child, Duration::from_secs(if soak() { 3_600 } else { 1_200 }));
    let said = fs::read_to_string(env.path("output")).unwrap();
    assert!(status.success(), "schemathesis has findings:\n{said}");
    serde_json::from_slice(&fs::read(env.path("report.json")).unwrap()).unwrap()
}

/// A gate must not find today what it did not find yesterday; a long run should.
fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or(if soak() { u64::from(std::process::id()) } else { 4_711 })
}

fn cases(report: &Report) -> u64 {
    report.values().flat_map(BTreeMap::values).sum()
}

fn successes(answers: &BTreeMap<u16, u64>) -> u64 {
    answers.range(200..400).map(|(_, count)| count).sum()
}

/// Past the test harness, which would keep it for itself.
fn tell(what: &str, report: &Report, since: Instant) {
    let (cases, good) = (cases(report), report.values().map(successes).sum::<u64>());
    let line = format!(
        "\nschemathesis {what}: seed {}, {cases} cases in {:.0} s, {good} of them 2xx or 304\n",
        seed(),
        since.elapsed().as_secs_f64()
    );
    std::io::stderr().write_all(line.as_bytes()).ok();
}

#[test]
fn every_answer_to_the_owner_is_a_described_one() {
    let Some(program) = schemathesis() else {
        return skip(
            "every_answer_to_the_owner_is_a_described_one",
            "run tests/tests/openapi/install.sh first",
        );
    };
    let start = Instant::now();
    let report = run(&program, if soak() { 500 } else { 10 }, true);
    tell("with the owner's token", &report, start);
    assert!(cases(&report) > 1_000, "{report:?}");
    // What takes a guarded secret and a person is in `approvals.rs` and `bus/guarded.rs`: a guard would refuse everything else
    // here.
    let takes_a_person = |path: &str| {
        path.starts_with("/api/v1/approvals")
            || path.ends_with("/guard")
            || path == "/api/v1/items/{id}/rules"
    };
    // What takes a directory and other machines is in `machines.rs`.
    let takes_machines = |path: &str| path.starts_with("/api/v1/fleet");
    for route in secretsd::routes().filter(|route| !takes_a_person(route.path) && !takes_machines(route.path))
    {
        let answers = report.get(route.operation);
        // There is a vault already.
        let reached = if route.operation == "init_vault" {
            answers.is_some_and(|answers| answers.contains_key(&409))
        } else {
            answers.is_some_and(|answers| successes(answers) > 0)
        };
        assert!(reached, "{} was never reached: {answers:?}", route.operation);
    }
}

#[test]
fn every_answer_to_nobody_is_a_described_refusal() {
    let Some(program) = schemathesis() else {
        return skip(
            "every_answer_to_nobody_is_a_described_refusal",
            "run tests/tests/openapi/install.sh first",
        );
    };
    let start = Instant::now();
    let report = run(&program, if soak() { 200 } else { 20 }, false);
    tell("without a token", &report, start);
    assert!(cases(&report) > 200, "{report:?}");
}
