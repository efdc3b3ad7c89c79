//! What was answered is on all machines in the end, whenever a machine is killed; and an object is durable in the directory
//! before the vault forgets it. A second implementation reads and writes objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use secretsd_tests::connection::Connection;
use secretsd_tests::harness::{behind, no_strace, skip, soak, strace};
use secretsd_tests::process::{self, until};
use secretsd_tests::random::Random;
use secretsd_tests::source::repository;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

use super::{has, join, sync, sync_all, update};

/// A machine whose vault a key file opens, which needs no stretching.
pub(super) fn quick() -> (Env, Value) {
    let env = Env::started(programs!());
    let key = json!({ "key_file": env.private_file("key", [0x4b; 32]) });
    env.post("/vault/init", &key).expect(201);
    (env, key)
}

/// What one machine was told that it has, of secrets that it alone changes.
#[derive(Default)]
struct Told {
    /// The value of each, as it was answered; none if its purge was.
    values: BTreeMap<String, Option<String>>,
    /// What was asked for when the daemon was killed: it may have been done.
    open: BTreeSet<String>,
}

impl Told {
    /// Asks for random changes until there is no answer.
    fn ask(&mut self, connection: &mut Connection, machine: usize, random: &mut Random) {
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for step in 0.. {
            let name = format!("M{machine}_{}", random.below(5));
            let value = format!("value {step} of {name}");
            let known = ids.get(&name).cloned();
            let (method, path, body) = match &known {
                None => ("POST", "/user/secrets".to_owned(), Some(json!({ "name": name, "value": value }))),
                Some(id) if random.once_in(6) => ("DELETE", format!("/user/secrets/{id}?purge=true"), None),
                Some(id) => ("PUT", format!("/user/secrets/{id}"), Some(json!({ "value": value }))),
            };
            self.open.insert(name.clone());
            let Ok(answer) = connection.exchange(method, &path, body.as_ref()) else { return };
            match (answer.status, method) {
                (201, _) => {
                    let id = answer.expect(201)["id"].as_str().unwrap().to_owned();
                    ids.insert(name.clone(), id);
                    self.values.insert(name.clone(), Some(value));
                }
                (200, _) => drop(self.values.insert(name.clone(), Some(value))),
                (204, _) => {
                    ids.remove(&name);
                    self.values.insert(name.clone(), None);
                }
                // It is there from before: found in the list.
                (409, "POST") => {
                    let list = connection.exchange("GET", "/user/secrets", None);
                    let Ok(list) = list else { return };
                    let list = list.expect(200);
                    let all = list["secrets"].as_array().unwrap();
                    if let Some(found) = all.iter().find(|secret| secret["name"] == name.as_str()) {
                        ids.insert(name.clone(), found["id"].as_str().unwrap().to_owned());
                    }
                }
                (status, method) => panic!("{method} {path}: {status}"),
            }
            self.open.remove(&name);
        }
    }

    fn check(&self, env: &Env) {
        for (name, value) in self.values.iter().filter(|(name, _)| !self.open.contains(*name)) {
            match value {
                Some(value) => assert_eq!(env.value(name), *value),
                None => assert!(!has(env, name), "{name} was purged"),
            }
        }
    }
}

#[test]
fn what_was_answered_is_on_all_machines_whichever_is_killed() {
    let mut random = Random::new();
    let (mut machines, keys): (Vec<Env>, Vec<Value>) = (0..3).map(|_| quick()).unzip();
    let store = machines[0].private_dir("store");
    machines[0].post("/fleet", &json!({ "name": "m0", "directory": &store })).expect(201);
    for joiner in 1..3 {
        join(&machines[0], &machines[joiner], &format!("m{joiner}"), &store);
    }
    let mut told: Vec<Told> = (0..3).map(|_| Told::default()).collect();
    for _ in 0..if soak() { 60 } else { 6 } {
        let killed = usize::try_from(random.below(3)).unwrap();
        let pause = Duration::from_millis(30 + random.below(600));
        let mut draws: Vec<Random> = (0..3).map(|_| random.fork()).collect();
        thread::scope(|scope| {
            for (at, ((env, told), random)) in machines.iter().zip(&mut told).zip(&mut draws).enumerate() {
                // Only the one that is killed works on until then: the others say what they have in between.
                let mut connection = Connection::open(env);
                if at == killed {
                    scope.spawn(move || told.ask(&mut connection, at, random));
                } else {
                    scope
                        .spawn(move || drop(connection.exchange("POST", "/fleet/merge", Some(&Value::Null))));
                }
            }
            // It only picks the moment.
            thread::sleep(pause);
            process::signal(machines[killed].pid(), rustix::process::Signal::KILL);
        });
        machines[killed].kill();
        machines[killed].start();
        machines[killed].post("/vault/unlock", &keys[killed]).expect(200);
        told[killed].check(&machines[killed]);
        let open = std::mem::take(&mut told[killed].open);
        for name in open {
            // Either may be: what is there now counts from here on.
            let value = has(&machines[killed], &name).then(|| machines[killed].value(&name));
            told[killed].values.insert(name, value);
        }
    }
    let all: Vec<&Env> = machines.iter().collect();
    sync_all(&all);
    sync_all(&all);
    for env in &all {
        told.iter().for_each(|told| told.check(env));
        env.post("/vault/verify", &json!({})).expect(200);
        assert!(!env.log().contains("panicked"), "{}", env.log());
        assert_eq!(env.get("/fleet").expect(200)["conflicts"], json!([]));
    }
}

/// The vault forgets an object once nothing can lose it any more.
#[test]
fn an_object_is_on_the_disk_before_the_vault_forgets_it() {
    if let Some(reason) = no_strace() {
        return skip("fsync of objects", reason);
    }
    let mut env = Env::new(programs!());
    let store = env.private_dir("store");
    let trace = env.path("trace");
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,pwrite64";
    let words = strace(trace.to_str().unwrap(), &["-y", "-s", "16", "-e", calls]);
    env.start_as(behind(&env, &words));
    env.post("/vault/init", &json!({ "key_file": env.private_file("key", [0x4b; 32]) })).expect(201);
    env.post("/fleet", &json!({ "name": "laptop", "directory": &store })).expect(201);
    for number in 0..5 {
        env.store(&format!("KEY{number}"), "value");
        sync(&env);
    }
    assert!(env.stop().success());
    let trace = fs::read_to_string(&trace).unwrap();
    let objects = order(&trace, &store).unwrap_or_else(|error| panic!("{error}"));
    assert!(objects >= 6, "the trace shows {objects} objects");
}

/// Follows a trace: every object is written, synced and renamed, and its directory synced, before the next word in the
/// vault's log. Gives their number.
fn order(trace: &str, store: &Path) -> Result<usize, String> {
    let store = store.to_str().unwrap();
    let (mut synced, mut renamed, mut objects) = (BTreeSet::new(), false, 0);
    for line in trace.lines() {
        let file = |line: &str| {
            let from = line.find(".tmp-")?;
            line[from..].split(['"', '>']).next().map(str::to_owned)
        };
        if line.contains("sync(") && line.contains(".tmp-") {
            synced.extend(file(line));
        } else if line.contains("rename") && line.contains(".tmp-") {
            let temporary = file(line).unwrap_or_default();
            if !synced.contains(&temporary) {
                return Err(format!("renamed before it was on the disk: {line}"));
            }
            (renamed, objects) = (true, objects + 1);
        } else if line.contains("sync(") && line.contains(&format!("<{store}>")) {
            renamed = false;
        } else if line.contains("pwrite64(") && line.contains("vault.db-wal>") && renamed {
            return Err(format!("forgotten before the directory was on the disk: {line}"));
        }
    }
    Ok(objects)
}

#[test]
fn the_order_of_objects_is_read_from_the_trace() {
    let store = Path::new("/store");
    let sync = "7 fsync(5</store/.tmp-l-1>) = 0\n";
    let rename = "7 rename(\"/store/.tmp-l-1\", \"/store/l-1\") = 0\n";
    let directory = "7 fsync(6</store>) = 0\n";
    let log = "8 pwrite64(5</d/vault.db-wal>, \"x\"..., 24, 0) = 24\n";
    let follow = |parts: &[&str]| order(&parts.concat(), store);
    assert_eq!(follow(&[log, sync, rename, directory, log]), Ok(1));
    for wrong in [vec![rename], vec![sync, rename, log]] {
        assert!(follow(&wrong).is_err(), "{wrong:?}");
    }
}

/// The second implementation, for a machine that is stopped.
pub(super) fn fleet1(env: &Env, store: &Path, more: &[&str]) -> Option<Value> {
    let python = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let check = Command::new(python).args(["-c", "import cryptography"]).output();
        check.is_ok_and(|output| output.status.success())
    })?;
    let mut command = env.command(python);
    command.arg("-B").arg(repository().join("tests/vectors/fleet1.py"));
    command.args([env.data_dir().join("vault.db"), env.path("key"), store.to_owned()]).args(more);
    let (_, output) = process::run(&mut command, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

pub(super) const LACKING: &str = "no python3 has the module cryptography";

#[test]
fn a_second_implementation_reads_and_writes_objects() {
    let (mut a, _) = quick();
    let (b, _) = quick();
    let store = a.private_dir("store");
    a.post("/fleet", &json!({ "name": "laptop", "directory": &store })).expect(201);
    join(&a, &b, "desktop", &store);
    a.store("KEY", "first");
    a.store("LONG", &"ä\u{1f511}\"\\".repeat(4_000));
    sync_all(&[&a, &b]);
    update(&b, "KEY", "second");
    sync_all(&[&b, &a]);
    assert!(a.stop().success());
    let Some(read) = fleet1(&a, &store, &[]) else { return skip("objects", LACKING) };
    let digest = |text: &str| {
        let (_, output) = process::run(&mut Command::new("sha256sum"), text.as_bytes());
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    let mut said: Vec<_> =
        read["values"]["KEY"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let mut expected = [digest("first"), digest("second")];
    said.sort();
    expected.sort();
    assert_eq!(said, expected);
    assert_eq!(read["values"]["LONG"].as_array().unwrap().len(), 1);
    assert!(read["objects"]["m"].as_u64().unwrap() >= 2, "{read}");
    // And the other way. What another key has signed is not taken, though all else is right.
    fleet1(&a, &store, &["--say", "FORGED", "by nobody", "--forge"]);
    assert_eq!(sync(&b)["fleet"]["refused"], 1);
    fleet1(&a, &store, &["--say", "FROM_PYTHON", "by another hand"]);
    until("its object is read", || has(&b, "FROM_PYTHON"));
    assert_eq!(b.value("FROM_PYTHON"), "by another hand");
    assert!(!has(&b, "FORGED"));
}

/// Though it goes on with another program that does not keep to the rules.
#[test]
fn who_was_removed_has_no_key_for_what_comes_and_nothing_it_writes_is_taken() {
    let (a, _) = quick();
    let ((b, _), (mut c, _)) = (quick(), quick());
    let store = a.private_dir("store");
    a.post("/fleet", &json!({ "name": "laptop", "directory": &store })).expect(201);
    join(&a, &b, "desktop", &store);
    join(&a, &c, "devbox", &store);
    a.store("KEY", "before");
    sync_all(&[&a, &b, &c]);
    a.ctl(["machine", "remove", "devbox"]).expect(0);
    sync(&b);
    c.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
    assert!(c.stop().success());
    let Some(epochs) = fleet1(&c, &store, &["--epochs"]) else { return skip("removal", LACKING) };
    update(&a, "KEY", "after");
    b.store("NEW", "after");
    sync_all(&[&a, &b]);
    let known: Vec<u64> = epochs.as_array().unwrap().iter().map(|epoch| epoch.as_u64().unwrap()).collect();
    let mut after = 0;
    for entry in fs::read_dir(&store).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_str().unwrap().starts_with(['l', 's']) {
            continue;
        }
        let bytes = fs::read(entry.path()).unwrap();
        let epoch = u64::from(u32::from_be_bytes(bytes[1..5].try_into().unwrap()));
        assert!(!known.contains(&epoch), "{:?} is of epoch {epoch}", entry.file_name());
        after += 1;
    }
    assert!(after >= 2, "{after}");
    fleet1(&c, &store, &["--say", "FROM_DEVBOX", "still here"]);
    for env in [&a, &b] {
        sync(env);
        assert!(!has(env, "FROM_DEVBOX"));
        // A machine has written it, and nothing of it is waited for.
        let status = env.get("/fleet").expect(200);
        assert_eq!((&status["refused"], &status["missing"]), (&json!(0), &json!(0)));
    }
}

#[test]
fn an_object_under_another_name_is_not_taken() {
    let (a, _) = quick();
    let (b, _) = quick();
    let store = a.private_dir("store");
    a.post("/fleet", &json!({ "name": "laptop", "directory": &store })).expect(201);
    join(&a, &b, "desktop", &store);
    sync_all(&[&a, &b]);
    b.post("/vault/lock", &Value::Null).expect(200);
    let before: BTreeSet<_> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    a.store("KEY", "value");
    sync(&a);
    a.post("/vault/lock", &Value::Null).expect(200);
    let new = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name());
    let new: Vec<_> = new.filter(|name| !before.contains(name)).collect();
    let [object] = new.as_slice() else { panic!("{new:?}") };
    let object = object.to_str().unwrap();
    // The hash is that of its bytes in each: as another's, with another number, as another kind.
    let (kind, writer, number, hash) = (&object[..1], &object[2..18], &object[19..29], &object[30..]);
    assert_eq!(kind, "l");
    let others = [
        format!("l-{}-{number}-{hash}", "a".repeat(16)),
        format!("l-{writer}-{:010}-{hash}", number.parse::<u32>().unwrap() + 7),
        format!("s-{writer}-{number}-{hash}"),
        format!("m-{writer}-{number}-{hash}"),
    ];
    let bytes = fs::read(store.join(object)).unwrap();
    fs::remove_file(store.join(object)).unwrap();
    others.iter().for_each(|name| fs::write(store.join(name), &bytes).unwrap());
    b.post("/vault/unlock", &json!({ "key_file": b.path("key") })).expect(200);
    let status = sync(&b);
    assert_eq!(
        (&status["fleet"]["refused"], &status["fleet"]["waiting"]),
        (&json!(4), &json!(0)),
        "{status}"
    );
    assert!(!has(&b, "KEY"));
}
