//! `proxy run --learn` with what fetches packages and repositories: the commands that it prints allow the same once more.

use crate::client::{has, installed, run_with};
use crate::packages::{npm_index, simple_index};
use crate::repositories;
use crate::world::World;

/// Runs this code in a session that learns, sets what it has learned in place of the rules, and runs the code again.
#[track_caller]
fn learns(world: &World, code: &str, expected: &str) {
    let run = |arguments: &[&str], dir: &str| {
        let code = format!("mkdir {dir} && cd {dir} && {code}");
        let output = run_with(world, arguments, &[], &["sh", "-c", &code]);
        assert_eq!(output.code, Some(0), "{}{}", output.out(), output.err());
        output.err()
    };
    let err = run(&["-s", "KEY", "--learn"], "first-time");
    let learned: Vec<&str> = err.lines().filter(|line| line.starts_with("secretctl proxy ")).collect();
    let host = world.host();
    assert_eq!(
        learned,
        [format!("secretctl proxy rule set KEY --host {host} {expected} --private")],
        "{err}"
    );
    world.env.ctl(["proxy", "rule", "rm", "KEY"]).expect(0);
    let client = world.env.programs().client;
    let set = format!("secretctl() {{ '{client}' \"$@\"; }}; {}", learned[0]);
    assert!(world.env.command("sh").args(["-c", &set]).status().unwrap().success());
    run(&["-s", "KEY"], "second-time");
}

#[test]
fn pip_download() {
    let test = "learning::pip_download";
    let Some(python) = installed(test, "python/bin/python") else { return };
    let Some(world) = simple_index(test, &python) else { return };
    let code = format!(
        "{python} -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir --index-url https://me:$KEY@{}/simple/ thing",
        world.host()
    );
    learns(
        &world,
        &code,
        "--method GET --path '/files/thing-1.0-py3-none-any.whl' --path '/simple/thing/' --site basic",
    );
}

#[test]
fn npm_install() {
    let test = "learning::npm_install";
    if !has(test, &["npm", "--version"]) {
        return;
    }
    let Some(world) = npm_index(test) else { return };
    let code = "npm install --silent --no-update-notifier --no-audit --no-fund --fetch-retries=0 --cache ./cache thing && test -f node_modules/thing/package.json";
    learns(&world, code, "--method GET --path '/thing' --path '/thing.tgz' --site bearer");
}

#[test]
fn git_clone() {
    let Some(world) = repositories::ready("learning::git_clone") else { return };
    let code = format!("git clone -q https://me:$KEY@{}/project.git clone", world.host());
    let paths = "--path '/project.git/git-upload-pack' --path '/project.git/info/refs'";
    learns(&world, &code, &format!("--method GET,POST {paths} --site basic"));
}
