//! A used and closed vault, and a daemon that is given edited copies of it, one after the other, while it is locked.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secretsd_tests::connection::Connection;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::{Answer, Env, programs};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How many secrets the vault holds, besides those in the trash.
const SECRETS: usize = 20;

/// The files of a closed vault, and what it holds.
#[derive(Debug, Clone)]
pub struct Specimen {
    /// `vault.db`
    pub vault: Vec<u8>,
    /// The anchor.
    pub anchor: Vec<u8>,
    /// What its owner sees of it.
    pub contents: Contents,
}

/// What an owner sees of an open vault: by question, the answer or the type of the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents(BTreeMap<String, Result<Value, String>>);

/// What became of an edited vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does not open: the error's type.
    Refused(String),
    /// It opens, and all is as it was.
    Intact,
    /// It opens, what it tells is as it was, and these questions are refused: question and error's type.
    Partly(Vec<(String, String)>),
    /// It opens as a vault that was rolled back: it can be listed, and neither revealed nor written.
    RolledBack,
}

/// A daemon whose vault is replaced while it is locked.
pub struct Bench {
    pub env: Env,
    /// Where the vault and its anchor lie: in memory, where there is such a place, because thousands of vaults are
    /// opened and closed and none of them has to survive anything.
    files: TempDir,
    pub connection: Connection,
    key: Value,
    /// The vault in an earlier state.
    pub older: Specimen,
    /// The vault.
    pub specimen: Specimen,
}

impl Bench {
    /// Makes a vault with some history.
    pub fn new() -> Self {
        let mut env = Env::new(programs!());
        let key = json!({ "key_file": env.private_file("key", [0x4b; 32]) });
        let memory = Path::new("/dev/shm");
        let files = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        start(&mut env, files.path());
        env.post("/vault/init", &key).expect(201);
        env.post("/vault/keys", &json!({ "passphrase": PASSPHRASE })).expect(201);
        let connection = Connection::open(&env);
        let nothing = Specimen { vault: Vec::new(), anchor: Vec::new(), contents: Contents(BTreeMap::new()) };
        let mut bench = Self { env, files, connection, key, older: nothing.clone(), specimen: nothing };

        let ids: Vec<String> = (0..SECRETS + 2).map(|number| bench.create(number)).collect();
        for id in &ids[..3] {
            bench.update(id, "second value");
        }
        bench.older = bench.close();
        bench.unlock().expect(200);
        for id in &ids[2..6] {
            bench.update(id, "third value");
        }
        for id in &ids[SECRETS..] {
            assert_eq!(bench.connection.ask("DELETE", &format!("/user/secrets/{id}"), None).status, 204);
        }
        bench.specimen = bench.close();
        bench.compact();
        bench
    }

    /// Takes the free space out of the specimen: bits that nothing reads are no test.
    fn compact(&mut self) {
        let path = self.scratch("compacted", &self.specimen.vault);
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        drop(db);
        self.specimen.vault = fs::read(&path).unwrap();
        println!("the vault has {} pages", self.specimen.vault.len() / 4_096);
    }

    /// A file with this content, away from the vault.
    pub fn scratch(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.files.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Starts the daemon again after it was killed.
    pub fn restart(&mut self) {
        start(&mut self.env, self.files.path());
        self.connection = Connection::open(&self.env);
    }

    fn create(&mut self, number: usize) -> String {
        let secret = json!({ "name": format!("S{number:02}"), "value": format!("value of number {number}") });
        let made = self.connection.ask("POST", "/user/secrets", Some(&secret)).expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    fn update(&mut self, id: &str, value: &str) {
        let value = json!({ "value": format!("{value} of {id}") });
        self.connection.ask("PUT", &format!("/user/secrets/{id}"), Some(&value)).expect(200);
    }

    /// Looks at the open vault, locks it and takes its files.
    fn close(&mut self) -> Specimen {
        // Once before it counts: a reveal changes when a secret was last used, and is itself in the audit log.
        self.look();
        let contents = self.look();
        assert!(contents.0.values().all(Result::is_ok), "{contents:?}");
        self.lock();
        let (vault, anchor) = (fs::read(self.vault()).unwrap(), fs::read(self.anchor()).unwrap());
        Specimen { vault, anchor, contents }
    }

    /// Where the vault lies.
    pub fn vault(&self) -> PathBuf {
        self.files.path().join("data/vault.db")
    }

    /// A file beside the vault: `-wal`, `-journal`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        self.files.path().join(format!("data/vault.db{suffix}"))
    }

    /// Where the anchor lies.
    pub fn anchor(&self) -> PathBuf {
        self.files.path().join("state/anchor")
    }

    /// Puts these files in the vault's and the anchor's place, with nothing beside them.
    pub fn place(&self, vault: &[u8], anchor: &[u8]) {
        for suffix in ["-wal", "-journal", "-shm"] {
            fs::remove_file(self.beside(suffix)).ok();
        }
        for (path, content) in [(self.vault(), vault), (self.anchor(), anchor)] {
            // Written in place where there is a file, and replaced where an earlier attack put something else.
            if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
                fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
            }
            write(&path, content);
        }
    }

    /// Puts a file beside the vault.
    pub fn place_beside(&self, suffix: &str, content: &[u8]) {
        write(&self.beside(suffix), content);
    }

    /// Opens the vault with its key file.
    pub fn unlock(&mut self) -> Answer {
        self.connection.ask("POST", "/vault/unlock", Some(&self.key))
    }

    /// Closes the vault.
    pub fn lock(&mut self) {
        self.connection.ask("POST", "/vault/lock", None).expect(200);
        // Locking restarts the program, with another token.
        self.connection = Connection::open(&self.env);
    }

    /// Closes a vault that did not open, if the daemon kept its file: a key may be wrong, and the next one right.
    fn let_go(&mut self) {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", self.env.pid())) else {
            return self.lock();
        };
        let vault = self.vault();
        if descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|open| open == vault)) {
            self.lock();
        }
    }

    /// What becomes of a vault with this content, beside an anchor with that.
    #[track_caller]
    pub fn judge(&mut self, vault: &[u8], anchor: &[u8]) -> Verdict {
        self.place(vault, anchor);
        self.judge_placed()
    }

    /// What becomes of the vault as it lies there.
    #[track_caller]
    pub fn judge_placed(&mut self) -> Verdict {
        let answer = self.unlock();
        let verdict = if answer.status == 200 {
            let verdict = self.judge_open(answer.json()["rolled_back"] == true);
            self.lock();
            verdict
        } else {
            self.let_go();
            Verdict::Refused(refusal(&answer))
        };
        if verdict == Verdict::Refused("wrong_key_error".to_owned()) {
            // Each wrong key in a row is answered later than the one before; a right one ends the row.
            let (vault, anchor) = (self.specimen.vault.clone(), self.specimen.anchor.clone());
            self.place(&vault, &anchor);
            self.unlock().expect(200);
            self.lock();
        }
        verdict
    }

    #[track_caller]
    fn judge_open(&mut self, rolled_back: bool) -> Verdict {
        let Contents(found) = self.look();
        let Contents(expected) = &self.specimen.contents;
        if rolled_back {
            assert!(found["list"].is_ok(), "{found:?}");
            assert_eq!(found["values"], Err("vault_corrupt_error".to_owned()));
            let new = json!({ "name": "NEW", "value": "x" });
            let refused = self.connection.ask("POST", "/user/secrets", Some(&new));
            refused.expect_error(500, "vault_corrupt_error");
            return Verdict::RolledBack;
        }
        let mut refused = Vec::new();
        for (question, answer) in &found {
            match answer {
                Ok(answer) => assert_eq!(Ok(answer), expected[question].as_ref(), "{question}"),
                Err(kind) => refused.push((question.clone(), kind.clone())),
            }
        }
        assert_eq!(found.len(), expected.len());
        if refused.is_empty() { Verdict::Intact } else { Verdict::Partly(refused) }
    }

    /// Asks everything that an owner can ask.
    pub fn look(&mut self) -> Contents {
        let mut contents = BTreeMap::new();
        let list = self.ask("GET", "/user/secrets", None);
        if let Ok(list) = &list {
            // The third was updated most often. That all other versions open is for the verification below.
            let id = list["secrets"][2]["id"].as_str().unwrap_or_default();
            let versions = self.ask("GET", &format!("/user/secrets/{id}/versions"), None);
            contents.insert("versions".to_owned(), versions);
        }
        contents.insert("list".to_owned(), list);
        let reveal = json!({ "secrets": ["*"], "purpose": "test" });
        contents.insert("values".to_owned(), self.ask("POST", "/user/secrets/reveal", Some(&reveal)));
        contents.insert("trash".to_owned(), self.ask("GET", "/user/secrets/trash", None));
        contents.insert("keys".to_owned(), self.ask("GET", "/vault/keys", None));
        // Looking adds entries at the end; those before must stay.
        let known = match self.specimen.contents.0.get("audit") {
            Some(Ok(entries)) => entries.as_array().unwrap().len(),
            _ => usize::MAX,
        };
        let audit = self.ask("GET", "/audit?limit=1000", None).map(|mut list| {
            let entries = list["entries"].as_array_mut().unwrap();
            entries.truncate(known);
            Value::Array(std::mem::take(entries))
        });
        contents.insert("audit".to_owned(), audit);
        let verified = self.ask("POST", "/vault/verify", Some(&json!({}))).map(|mut counts| {
            counts["audit_entries"].take();
            counts
        });
        contents.insert("verification".to_owned(), verified);
        Contents(contents)
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let answer = self.connection.ask(method, path, body);
        if answer.status == 200 { Ok(answer.json()) } else { Err(refusal(&answer)) }
    }
}

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Not at TRACE: one daemon sees thousands of vaults.
fn start(env: &mut Env, files: &Path) {
    let mut command = env.command(env.programs().daemon);
    command.args(["--log-level", "info"]).arg("--data-dir").arg(files.join("data"));
    command.arg("--state-dir").arg(files.join("state"));
    env.start_as(command);
}

/// The error's type. Only errors that speak of the vault are refusals.
#[track_caller]
fn refusal(answer: &Answer) -> String {
    let kind = answer.json()["type"].as_str().unwrap().to_owned();
    let status = match kind.as_str() {
        "vault_corrupt_error" | "storage_error" => 500,
        "wrong_key_error" => 403,
        other => panic!("{} {other}: {}", answer.status, answer.text()),
    };
    answer.expect_error(status, &kind);
    kind
}
