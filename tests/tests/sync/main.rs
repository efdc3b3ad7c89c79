//! One vault on several machines by way of a store: daemons with homes of their own, the mover beside each, and real
//! servers of S3 and WebDAV between them.

mod bounds;
mod faults;
mod fleet;
mod private;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use secretsd_tests::ctl::Ctl;
use secretsd_tests::harness;
use secretsd_tests::process;
use secretsd_tests::stores::Server;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// The credential of the store, which must be in no request and no file.
const KEY_ID: &str = "CANARYKEYID0001";
const KEY: &str = "canary-of-the-credential-0001";

const MOVER: &str = env!("CARGO_BIN_EXE_secretctl-sync");

/// S3, unless it is not installed here, which is said.
fn s3(test: &str) -> Option<Server> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stores/bin/moto_server");
    if !program.exists() {
        assert!(std::env::var_os("CI").is_none(), "moto is not installed");
        harness::skip(test, "moto is not installed; run tests/tests/sync/install.sh");
        return None;
    }
    Some(Server::moto(&program))
}

/// `secretctl` with the store's credential in its environment.
fn ctl(env: &Env, words: &[&str]) -> Ctl {
    let ctl = env.ctl(words).env("AWS_ACCESS_KEY_ID", KEY_ID);
    ctl.env("AWS_SECRET_ACCESS_KEY", KEY)
}

/// The mover, with the store's credential in its environment.
fn mover(env: &Env, words: &[&str]) -> Output {
    let mut command = env.command(MOVER);
    command.args(words).env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", KEY);
    process::run(&mut command, b"").1
}

/// What the mover says as JSON after a run without a failure.
#[track_caller]
fn moved(env: &Env) -> Value {
    let output = mover(env, &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The mover fails with this exit code and these words on standard error; what it says in `.status` as `error`.
#[track_caller]
fn fails(env: &Env, code: i32, words: &str) -> String {
    let output = mover(env, &[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(words), "{told}");
    status(env)["error"].as_str().unwrap_or_default().to_owned()
}

fn exchange(env: &Env) -> PathBuf {
    env.data_dir().join("exchange")
}

fn status(env: &Env) -> Value {
    serde_json::from_slice(&fs::read(exchange(env).join(".status")).unwrap()).unwrap()
}

/// The names of the objects in a machine's exchange.
fn objects(env: &Env) -> BTreeSet<String> {
    let names = fs::read_dir(exchange(env)).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with(['l', 's', 'm', 'i'])).collect()
}

/// Lets `joiner` in; both sides see the same words.
fn join(inviter: &Env, joiner: &Env, name: &str, store: &str) {
    let begun = mover(joiner, &["begin", store]);
    assert!(begun.status.success(), "{}", String::from_utf8_lossy(&begun.stderr));
    let invitation = inviter.post("/fleet/invitations", &Value::Null).expect(201);
    let waiting = format!("/fleet/invitations/{}", invitation["id"].as_str().unwrap());
    moved(inviter);
    moved(joiner);
    let request = json!({ "code": invitation["code"], "name": name, "directory": exchange(joiner) });
    let joining = joiner.post("/fleet/join", &request).expect(201);
    let confirm = format!("/fleet/invitations/{}", joining["id"].as_str().unwrap());
    moved(joiner);
    moved(inviter);
    let words = inviter.get(&waiting).expect(200)["words"].clone();
    // The inviter has settled on its answer, which the joiner now hears.
    moved(inviter);
    moved(joiner);
    assert_eq!((words.as_array().unwrap().len(), &words), (5, &joiner.get(&confirm).expect(200)["words"]));
    inviter.post(&waiting, &json!({ "accept": true })).expect(200);
    moved(inviter);
    moved(joiner);
    assert_eq!(joiner.post(&confirm, &json!({ "accept": true })).expect(200)["state"], "done");
    moved(joiner);
}

/// A machine that begins with this store.
fn begun(store: &str) -> Env {
    let env = Env::unlocked(programs!());
    ctl(&env, &["machine", "init", "--store", store, "--name", "laptop"]).expect(0);
    env
}

/// Two machines with one vault.
fn two(store: &str) -> (Env, Env) {
    let (a, b) = (begun(store), Env::unlocked(programs!()));
    join(&a, &b, "desktop", store);
    sync_all(&[&a, &b]);
    (a, b)
}

fn sync(env: &Env) -> Value {
    serde_json::from_str(&ctl(env, &["sync", "--json"]).expect(0)).unwrap()
}

/// What is new on any of them is known to all.
fn sync_all(all: &[&Env]) {
    for _ in 0..2 {
        all.iter().for_each(|env| drop(sync(env)));
    }
}

fn id(env: &Env, name: &str) -> String {
    let list = env.get("/user/secrets").expect(200);
    let found = list["secrets"].as_array().unwrap().iter().find(|secret| secret["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not there"))["id"].as_str().unwrap().to_owned()
}

fn update(env: &Env, name: &str, value: &str) {
    let path = format!("/user/secrets/{}", id(env, name));
    env.request("PUT", &path).json(&json!({ "value": value })).send().expect(200);
}

fn purge(env: &Env, name: &str) {
    let path = format!("/user/secrets/{}?purge=true", id(env, name));
    assert_eq!(env.request("DELETE", &path).send().status, 204);
}

fn has(env: &Env, name: &str) -> bool {
    env.get("/user/secrets").expect(200).to_string().contains(&format!("\"{name}\""))
}
