//! Running a client in a session, and what must be so afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::harness::skip;
use secretsd_tests::origin::Seen;
use secretsd_tests::source::repository;
use secretsd_tests::{canary, process};

use crate::world::{VALUE, World};

/// What the hosts say as a model.
pub const SAID: &str = "hello from the host";

/// A client's program under cargo's target directory, where `install.sh` puts it; says aloud if it is not there.
pub fn installed(test: &str, path: &str) -> Option<String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(path);
    if program.exists() {
        return Some(program.to_str().unwrap().to_owned());
    }
    assert!(std::env::var_os("CI").is_none(), "{path} is not there: run tests/tests/clients/install.sh");
    skip(test, "its client is not there; run tests/tests/clients/install.sh");
    None
}

/// Whether the machine has a client, which this command shows; says aloud if not.
pub fn has(test: &str, command: &[&str]) -> bool {
    let works =
        Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success());
    if !works {
        skip(test, &format!("{} does not work here", command.join(" ")));
    }
    works
}

/// The machine's name of a kind of processor, as packages of npm have it.
pub fn processor() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" }
}

/// A file beside these tests.
pub fn file(name: &str) -> PathBuf {
    repository().join("tests/tests/clients/programs").join(name)
}

/// A world in which the secret may be used at the host, at these sites.
pub fn world(test: &str, sites: &[&str]) -> Option<World> {
    let world = World::new(test)?;
    for site in sites {
        world.rule(&["--host", &world.host(), "--site", site]);
    }
    Some(world)
}

/// Runs a command in a session, with these variables before it. It leaves its environment in a file, so that it is looked
/// through with all others.
pub fn run(world: &World, variables: &[(&str, &str)], command: &[&str]) -> CtlOutput {
    run_with(world, &["-s", "KEY"], variables, command)
}

/// The same with these arguments for `proxy run`.
pub fn run_with(
    world: &World,
    arguments: &[&str],
    variables: &[(&str, &str)],
    command: &[&str],
) -> CtlOutput {
    let mut words = vec!["sh", "-c", "env > environment; exec \"$@\"", "sh"];
    words.extend(command);
    let mut run = world.command_with(arguments, &words);
    run.envs(variables.iter().copied());
    let (pid, output) = process::run(&mut run, b"");
    let output = CtlOutput::of(pid, output);
    let environment = fs::read_to_string(world.env.path("environment")).unwrap_or_default();
    assert!(environment.contains("SECRETSD_PROXY="), "it did not run: {}", output.err());
    world.assert_nowhere(&output);
    output
}

/// Runs a command, which must end well and write this.
#[track_caller]
pub fn says(world: &World, variables: &[(&str, &str)], command: &[&str], answer: &str) {
    let output = run(world, variables, command);
    assert_eq!(output.code, Some(0), "{}{}", output.out(), output.err());
    assert!(output.out().contains(answer), "{}{}", output.out(), output.err());
}

/// The requests that carried the value, of which there must be this many at least. A placeholder never came to the host.
#[track_caller]
pub fn carried(world: &World, count: usize) -> Vec<Seen> {
    let seen = world.origin.seen();
    for seen in &seen {
        assert!(!seen.whole().contains("ssdph"), "the host has got a placeholder: {}", seen.whole());
    }
    let with: Vec<Seen> =
        seen.into_iter().filter(|seen| canary::find(seen.whole().as_bytes(), VALUE).is_some()).collect();
    assert!(with.len() >= count, "{} requests carried the value", with.len());
    with
}

/// That all these requests have the value as a token.
#[track_caller]
pub fn bore(world: &World, count: usize) {
    for seen in carried(world, count) {
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {VALUE}").as_str()), "{}", seen.line);
    }
}

/// That all these requests have the value as the password of this user.
#[track_caller]
pub fn logged_in(world: &World, user: &str, count: usize) {
    let basic = data_encoding::BASE64.encode(format!("{user}:{VALUE}").as_bytes());
    for seen in carried(world, count) {
        assert_eq!(seen.header("authorization"), Some(format!("Basic {basic}").as_str()), "{}", seen.line);
    }
}
