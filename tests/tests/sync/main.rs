//! One vault on several machines by way of a store: daemons with homes of their own, the mover beside each, and real
//! servers of S3, Azure, Google Cloud Storage and WebDAV between them.

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
use secretsd_tests::stores::{ACCOUNT_KEY, Server};
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// The credential of the store, which must be in no request and no file.
const KEY_ID: &str = "CANARYKEYID0001";
const KEY: &str = "canary-of-the-credential-0001";

const MOVER: &str = env!("CARGO_BIN_EXE_secretctl-sync");

/// The credentials of the stores, each as its engine reads it. That of Google says not to ask for a token.
const CREDENTIALS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", KEY_ID),
    ("AWS_SECRET_ACCESS_KEY", KEY),
    ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY),
    (
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#,
    ),
];

/// A store's program that `install.sh` installs, unless it is not there, which is said.
fn installed(test: &str, program: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stores/bin").join(program);
    if !path.exists() {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
        harness::skip(test, &format!("{program} is not installed; run tests/tests/sync/install.sh"));
        return None;
    }
    Some(path)
}

/// S3, unless it is not installed here, which is said.
fn s3(test: &str) -> Option<Server> {
    installed(test, "moto_server").map(|program| Server::moto(&program))
}

/// `secretctl` with the store's credential in its environment.
fn ctl(env: &Env, words: &[&str]) -> Ctl {
    CREDENTIALS.into_iter().fold(env.ctl(words), |ctl, (variable, value)| ctl.env(variable, value))
}

/// The mover, with the store's credential in its environment.
fn mover(env: &Env, words: &[&str]) -> Output {
    let mut command = env.command(MOVER);
    command.args(words).envs(CREDENTIALS);
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
    // Each waits for the yes of the other.
    let yes = json!({ "accept": true });
    inviter.post(&waiting, &yes).expect_error(504, "gateway_timeout_error");
    joiner.post(&confirm, &yes).expect_error(504, "gateway_timeout_error");
    moved(joiner);
    moved(inviter);
    inviter.post(&waiting, &yes).expect(200);
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
