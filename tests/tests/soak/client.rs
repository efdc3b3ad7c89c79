//! One of many clients: it knows what its secrets must be, asks for this and that, and finds every answer that differs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::connection::Connection;
use secretsd_tests::random::Random;
use secretsd_tests::{Answer, Env};
use serde_json::{Value, json};

use crate::{World, passed};

/// How many names a client has: few, so that the vault stays as large as it is.
const NAMES: u64 = 6;
/// How many secrets a client leaves in the trash.
const TRASH: usize = 3;
/// How many values of a secret the vault keeps.
const VERSIONS: usize = 10;

/// What happened to requests, of one client or of all.
#[derive(Debug, Default)]
pub struct Record {
    /// By kind of request.
    pub kinds: BTreeMap<&'static str, Kind>,
    /// Connections that a lock has closed before the next answer.
    pub closed: u64,
    /// Requests that were asked again on another connection.
    pub resent: u64,
    /// Writes that were not answered and not done.
    pub silently_dropped: u64,
    /// Writes that were not answered and done.
    pub silently_done: u64,
    /// By action: how many entries the audit log has at least, and how many more at most.
    pub audit: BTreeMap<&'static str, (u64, u64)>,
    /// Secrets at the end.
    pub live: usize,
    /// Secrets in the trash at the end.
    pub trashed: usize,
}

/// The answers to one kind of request.
#[derive(Debug, Default)]
pub struct Kind {
    /// How many had which status.
    pub statuses: BTreeMap<u16, u64>,
    /// How long each took.
    pub micros: Vec<u32>,
}

impl Record {
    /// Adds another client's.
    pub fn add(&mut self, other: Self) {
        for (name, kind) in other.kinds {
            let own = self.kinds.entry(name).or_default();
            own.micros.extend(kind.micros);
            for (status, count) in kind.statuses {
                *own.statuses.entry(status).or_default() += count;
            }
        }
        for (action, (sure, unsure)) in other.audit {
            let own = self.audit.entry(action).or_default();
            *own = (own.0 + sure, own.1 + unsure);
        }
        self.closed += other.closed;
        self.resent += other.resent;
        self.silently_dropped += other.silently_dropped;
        self.silently_done += other.silently_done;
        self.live += other.live;
        self.trashed += other.trashed;
    }
}

/// What a client has in the vault.
#[derive(Debug, Clone, Default)]
struct Held {
    /// By name.
    live: BTreeMap<String, Secret>,
    /// By id: name and secret.
    trash: BTreeMap<String, (String, Secret)>,
}

/// A secret: its id, empty if the answer that tells it never came, and its kept values, the newest last.
#[derive(Debug, Clone)]
struct Secret {
    id: String,
    values: Vec<String>,
}

impl Secret {
    fn value(&self) -> &str {
        self.values.last().unwrap()
    }

    fn push(&mut self, value: String) {
        self.values.push(value);
        self.values.drain(..self.values.len().saturating_sub(VERSIONS));
    }
}

/// What the vault says that a client has.
#[derive(Debug)]
struct Seen {
    /// By name: id and value.
    live: BTreeMap<String, (String, String)>,
    /// The ids in the trash.
    trash: BTreeSet<String>,
}

impl Held {
    /// Whether it is this that was seen.
    fn is(&self, seen: &Seen) -> bool {
        let is_same = |(name, secret): (&String, &Secret)| {
            let found = seen.live.get(name);
            found.is_some_and(|(id, value)| {
                (secret.id.is_empty() || secret.id == *id) && secret.value() == value
            })
        };
        self.live.len() == seen.live.len()
            && self.live.iter().all(is_same)
            && self.trash.keys().eq(seen.trash.iter())
    }
}

/// A write that was not answered: its action in the audit log, and what there is if it was done.
#[derive(Debug)]
struct Unsure {
    action: &'static str,
    after: Held,
}

/// How a request ended.
enum Reply {
    /// With an answer other than that the vault is locked.
    Answer(Answer),
    /// The vault is locked, as it may be at this moment.
    Locked,
    /// A lock has closed the connection before the answer.
    Gone,
}

/// A client.
pub struct Client {
    prefix: String,
    token: String,
    /// Whether its token is bound to its names.
    is_bound: bool,
    /// With the phase at its last answer.
    connection: Option<(Connection, u64)>,
    random: Random,
    held: Held,
    unsure: Option<Unsure>,
    values: u64,
    record: Record,
}

impl Client {
    /// A client with names of its own; every eighth has a token that is bound to them.
    pub fn new(env: &Env, at: usize, random: Random) -> Self {
        let (prefix, is_bound) = (format!("S{at}_"), at.is_multiple_of(8));
        let token = if is_bound {
            let glob = format!("{prefix}*");
            let scopes = ["list", "write", "reveal"];
            let asked = json!({ "name": format!("client-{at}"), "scopes": scopes, "secrets": [glob] });
            text(&env.post("/tokens", &asked).expect(201)["token"])
        } else {
            env.token()
        };
        let (connection, held, record) = (None, Held::default(), Record::default());
        Self { prefix, token, is_bound, connection, random, held, unsure: None, values: 0, record }
    }

    /// Asks for something.
    pub fn step(&mut self, world: &World) {
        if !world.plan.pause.is_zero() {
            let most = u64::try_from(world.plan.pause.as_micros()).unwrap();
            thread::sleep(Duration::from_micros(self.random.below(most)));
        }
        if self.random.once_in(50) {
            self.connection = None;
        }
        if self.unsure.is_some() {
            return self.resolve(world);
        }
        match self.random.below(100) {
            0..8 => self.list(world),
            8..14 => self.list_filtered(world),
            14..34 => self.one(world),
            34..38 => self.versions(world, false),
            38..41 => self.trash(world),
            41..50 => self.open_routes(world),
            50..54 => self.audit(world),
            54..64 => self.reveal_one(world),
            64..66 => drop(self.observe(world)),
            66..75 => self.wrong(world),
            75 => self.token(world),
            76..79 => self.versions(world, true),
            _ => self.write(world),
        }
    }

    /// Finds out how the last write ended, checks everything once more, and tells what happened. The vault must be open.
    pub fn finish(mut self, world: &World) -> Record {
        self.resolve(world);
        let seen = (0..2).find_map(|_| self.observe(world)).expect("the vault is open, and yet locked");
        assert!(self.held.is(&seen), "{:?} is promised, {seen:?} is there", self.held);
        (self.record.live, self.record.trashed) = (seen.live.len(), seen.trash.len());
        self.record
    }

    fn list(&mut self, world: &World) {
        let Some(listed) = self.get(world, "list", "/user/secrets") else { return };
        let secrets = items(&listed["secrets"]);
        assert_eq!(listed["total"], secrets.len());
        assert!(secrets.windows(2).all(|two| two[0]["name"].as_str() < two[1]["name"].as_str()));
        if self.is_bound {
            assert_eq!(secrets.len(), self.held.live.len(), "a bound token sees what is not its own");
        }
        self.check_listed(secrets);
    }

    fn list_filtered(&mut self, world: &World) {
        let path = format!("/user/secrets?name={}*", self.prefix);
        let Some(listed) = self.get(world, "filtered", &path) else { return };
        assert_eq!(items(&listed["secrets"]).len(), self.held.live.len());
        self.check_listed(items(&listed["secrets"]));
    }

    fn check_listed(&self, secrets: &[Value]) {
        let own = secrets.iter().filter(|secret| secret["name"].as_str().unwrap().starts_with(&self.prefix));
        let own: Vec<(&str, &str)> =
            own.map(|secret| (secret["name"].as_str().unwrap(), secret["id"].as_str().unwrap())).collect();
        let held = self.held.live.iter().map(|(name, secret)| (name.as_str(), secret.id.as_str()));
        assert!(held.clone().eq(own.iter().copied()), "listed {own:?}, {:?}", held.collect::<Vec<_>>());
    }

    fn one(&mut self, world: &World) {
        let (name, held) = self.name();
        let Some(Secret { id, .. }) = held else { return self.list_filtered(world) };
        let Some(secret) = self.get(world, "one", &format!("/user/secrets/{id}")) else { return };
        assert_eq!((secret["id"].as_str(), secret["name"].as_str()), (Some(&*id), Some(&*name)));
    }

    /// The kept versions; and one of them again, if asked.
    fn versions(&mut self, world: &World, rolls_back: bool) {
        let (name, Some(held)) = self.name() else { return self.open_routes(world) };
        let path = format!("/user/secrets/{}", held.id);
        let Some(listed) = self.get(world, "versions", &format!("{path}/versions")) else { return };
        let listed = items(&listed["versions"]);
        assert_eq!(listed.len(), held.values.len(), "{name} has other versions");
        assert!(listed[0]["current"] == true);
        if !rolls_back {
            return;
        }
        let back = usize::try_from(self.random.below(listed.len() as u64)).unwrap();
        let mut after = self.held.clone();
        let value = held.values[held.values.len() - 1 - back].clone();
        after.live.get_mut(&name).unwrap().push(value);
        let body = json!({ "version": listed[back]["version"] });
        self.change(world, "rollback", ("POST", &format!("{path}/rollback"), Some(&body)), 200, after);
    }

    fn trash(&mut self, world: &World) {
        let Some(trash) = self.get(world, "trash", "/user/secrets/trash") else { return };
        let own = self.own(&trash);
        assert!(self.held.trash.keys().eq(own.iter()), "{:?} is in the trash, not {own:?}", self.held.trash);
    }

    fn own(&self, trash: &Value) -> BTreeSet<String> {
        let own = |secret: &&Value| secret["name"].as_str().unwrap().starts_with(&self.prefix);
        items(&trash["secrets"]).iter().filter(own).map(|secret| text(&secret["id"])).collect()
    }

    fn open_routes(&mut self, world: &World) {
        let (kind, target, key) = match self.random.below(9) {
            0..4 => ("status", "/api/v1/vault", "state"),
            4..7 => ("health", "/healthz", "status"),
            7 => ("presets", "/api/v1/user/secrets/presets", "presets"),
            _ => ("description", "/api/v1/openapi.json", "openapi"),
        };
        let before = world.phase.now();
        if let Reply::Answer(answer) = self.send(world, kind, "GET", target, "") {
            let body = answer.expect(200);
            assert!(!body[key].is_null(), "{target} has no {key}");
            let (now, state) = (world.phase.now(), &body["state"]);
            if kind == "status" && before == now && now % 2 == 0 {
                assert_eq!(state, if now % 4 == 0 { "unlocked" } else { "locked" });
            }
        }
    }

    /// The newest entries of the audit log, or all for one name.
    fn audit(&mut self, world: &World) {
        if self.is_bound {
            return self.one(world);
        }
        let path = format!("/audit?limit={}", 1 + self.random.below(50));
        let Some(page) = self.get(world, "audit", &path) else { return };
        let numbers = items(&page["entries"]).iter().map(|entry| entry["sequence"].as_u64().unwrap());
        let numbers: Vec<u64> = numbers.collect();
        assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "the audit log has a gap: {numbers:?}");
    }

    fn reveal_one(&mut self, world: &World) {
        let (name, held) = self.name();
        let by_id = self.random.once_in(2);
        let selector = held.as_ref().filter(|_| by_id).map_or(&name, |secret| &secret.id);
        let asked = json!({ "secrets": [selector], "purpose": "test" });
        match (self.ask(world, "reveal", ("POST", "/user/secrets/reveal", Some(&asked))), held) {
            (Reply::Answer(answer), Some(secret)) => {
                let revealed = answer.expect(200);
                assert_eq!(revealed["secrets"][0]["value"], secret.value(), "{name} has another value");
                self.entry(world, "reveal");
            }
            (Reply::Answer(answer), None) => drop(answer.expect_error(404, "not_found_error")),
            (Reply::Gone, Some(_)) => self.record.audit.entry("reveal").or_default().1 += 1,
            _ => {}
        }
    }

    /// Reads all that is there under the client's names; `None` if the vault is being locked.
    fn observe(&mut self, world: &World) -> Option<Seen> {
        let glob = format!("{}*", self.prefix);
        let listed = self.get(world, "filtered", &format!("/user/secrets?name={glob}"))?;
        let mut live = BTreeMap::new();
        if !items(&listed["secrets"]).is_empty() {
            let asked = json!({ "secrets": [glob], "purpose": "test" });
            match self.ask(world, "reveal all", ("POST", "/user/secrets/reveal", Some(&asked))) {
                Reply::Answer(answer) => {
                    for secret in items(&answer.expect(200)["secrets"]) {
                        live.insert(text(&secret["name"]), (text(&secret["id"]), text(&secret["value"])));
                    }
                    self.entry(world, "reveal");
                }
                Reply::Locked => return None,
                Reply::Gone => {
                    self.record.audit.entry("reveal").or_default().1 += 1;
                    return None;
                }
            }
        }
        let trash = self.get(world, "trash", "/user/secrets/trash")?;
        let seen = Seen { live, trash: self.own(&trash) };
        assert!(
            self.unsure.is_some() || self.held.is(&seen),
            "{:?} is promised, {seen:?} is there",
            self.held
        );
        Some(seen)
    }

    /// Finds out whether the write that was not answered was done.
    fn resolve(&mut self, world: &World) {
        let Some(Unsure { action, .. }) = self.unsure else { return };
        let Some(seen) = self.observe(world) else { return };
        let Unsure { after, .. } = self.unsure.take().unwrap();
        self.record.audit.get_mut(action).unwrap().1 -= 1;
        if self.held.is(&seen) {
            self.record.silently_dropped += 1;
            return;
        }
        assert!(after.is(&seen), "{action}: {:?} or {after:?} is promised, {seen:?} is there", self.held);
        self.record.silently_done += 1;
        self.entry(world, action);
        self.held = after;
        for (name, (id, _)) in seen.live {
            self.held.live.get_mut(&name).unwrap().id = id;
        }
    }

    /// What must be refused.
    fn wrong(&mut self, world: &World) {
        let secrets = "/api/v1/user/secrets";
        let nobody = format!("{secrets}/00000000-0000-4000-8000-000000000000");
        let taken =
            self.held.live.keys().next().map(|name| json!({ "name": name, "value": "x" }).to_string());
        let (method, target, body, status, kind) = match self.random.below(7) {
            0 => ("GET", nobody.as_str(), String::new(), 404, "not_found_error"),
            1 => ("GET", "/api/v1/nothing", String::new(), 404, "not_found_error"),
            2 => ("PUT", secrets, "{}".to_owned(), 404, "not_found_error"),
            3 => ("POST", secrets, r#"{"name":"A","value":"#.to_owned(), 400, "invalid_request_error"),
            4 => ("POST", secrets, r#"{"name":"1","value":"x"}"#.to_owned(), 422, "validation_error"),
            5 if taken.is_some() => ("POST", secrets, taken.unwrap(), 409, "already_exists_error"),
            _ => return self.stranger(world),
        };
        if let Reply::Answer(answer) = self.send(world, "wrong", method, target, &body) {
            answer.expect_error(status, kind);
        }
    }

    /// Somebody with a wrong token, on a connection of its own. Among many such, the answer may be to wait.
    fn stranger(&mut self, world: &World) {
        self.with_token("wrong", |client| {
            if let Reply::Answer(answer) = client.send(world, "stranger", "GET", "/api/v1/user/secrets", "") {
                match answer.status {
                    429 => answer.expect_error(429, "rate_limit_error"),
                    _ => answer.expect_error(401, "authentication_error"),
                };
            }
        });
    }

    /// Asks with another token, on a connection of its own.
    fn with_token(&mut self, token: &str, ask: impl FnOnce(&mut Self)) {
        let own = (self.connection.take(), std::mem::replace(&mut self.token, token.to_owned()));
        ask(self);
        (self.connection, self.token) = own;
    }

    /// A token from its beginning to its end.
    fn token(&mut self, world: &World) {
        if self.is_bound {
            return self.list(world);
        }
        // One that a lock has kept from being revoked keeps its name until it expires.
        self.values += 1;
        let name = format!("{}token-{}", self.prefix, self.values);
        let asked = json!({ "name": name, "scopes": ["list"], "ttl_seconds": 600 });
        let Reply::Answer(made) = self.ask(world, "token", ("POST", "/tokens", Some(&asked))) else { return };
        let made = made.expect(201);
        self.with_token(made["token"].as_str().unwrap(), |client| {
            client.get(world, "filtered", "/user/secrets?provider=none");
        });
        let path = format!("/tokens/{}", made["id"].as_str().unwrap());
        if let Reply::Answer(answer) = self.ask(world, "token", ("DELETE", &path, None)) {
            assert_eq!(answer.status, 204);
        }
    }

    fn write(&mut self, world: &World) {
        let (name, held) = self.name();
        let trashed = self.held.trash.iter().find(|(_, (trashed, _))| *trashed == name);
        let trashed = trashed.map(|(id, _)| id.clone());
        let Some(secret) = held else {
            return match trashed {
                Some(id) if self.random.once_in(2) => self.restore(world, &id),
                _ => self.create(world, name),
            };
        };
        let path = format!("/user/secrets/{}", secret.id);
        let mut after = self.held.clone();
        match self.random.below(10) {
            0..5 => {
                let value = self.value(&name);
                after.live.get_mut(&name).unwrap().push(value.clone());
                self.change(world, "update", ("PUT", &path, Some(&json!({ "value": value }))), 200, after);
            }
            5 => {
                let note = json!({ "note": format!("note {}", self.values) });
                self.change(world, "edit", ("PATCH", &path, Some(&note)), 200, after);
            }
            6..9 if self.held.trash.len() < TRASH => {
                after.live.remove(&name);
                after.trash.insert(secret.id.clone(), (name, secret));
                self.change(world, "delete", ("DELETE", &path, None), 204, after);
            }
            _ => {
                // From the trash if it is full, from what is in use otherwise.
                let id = match after.trash.keys().next().cloned() {
                    Some(id) if after.trash.len() >= TRASH => {
                        after.trash.remove(&id);
                        id
                    }
                    _ => after.live.remove(&name).unwrap().id,
                };
                let path = format!("/user/secrets/{id}?purge=true");
                self.change(world, "purge", ("DELETE", &path, None), 204, after);
            }
        }
    }

    fn create(&mut self, world: &World, name: String) {
        let (value, mut after) = (self.value(&name), self.held.clone());
        let body = json!({ "name": name, "value": value });
        after.live.insert(name.clone(), Secret { id: String::new(), values: vec![value] });
        let answer = self.change(world, "create", ("POST", "/user/secrets", Some(&body)), 201, after);
        if let Some(answer) = answer {
            self.held.live.get_mut(&name).unwrap().id = text(&answer.json()["id"]);
        }
    }

    fn restore(&mut self, world: &World, id: &str) {
        let mut after = self.held.clone();
        let (name, secret) = after.trash.remove(id).unwrap();
        after.live.insert(name, secret);
        let path = format!("/user/secrets/{id}/restore");
        self.change(world, "restore", ("POST", &path, Some(&json!({}))), 200, after);
    }

    /// Writes; `after` is what there is when it was done.
    fn change(
        &mut self,
        world: &World,
        action: &'static str,
        request: (&str, &str, Option<&Value>),
        status: u16,
        after: Held,
    ) -> Option<Answer> {
        match self.ask(world, action, request) {
            Reply::Answer(answer) => {
                assert_eq!(answer.status, status, "{action}: {}", answer.text());
                self.held = after;
                self.entry(world, action);
                Some(answer)
            }
            Reply::Locked => None,
            Reply::Gone => {
                self.record.audit.entry(action).or_default().1 += 1;
                self.unsure = Some(Unsure { action, after });
                None
            }
        }
    }

    /// The audit log has one more entry.
    fn entry(&mut self, world: &World, action: &'static str) {
        self.record.audit.entry(action).or_default().0 += 1;
        world.written.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn get(&mut self, world: &World, kind: &'static str, path: &str) -> Option<Value> {
        match self.ask(world, kind, ("GET", path, None)) {
            Reply::Answer(answer) => Some(answer.expect(200)),
            Reply::Locked | Reply::Gone => None,
        }
    }

    fn ask(
        &mut self,
        world: &World,
        kind: &'static str,
        (method, path, body): (&str, &str, Option<&Value>),
    ) -> Reply {
        let body = body.map(Value::to_string).unwrap_or_default();
        let before = world.phase.now();
        let reply = self.send(world, kind, method, &format!("/api/v1{path}"), &body);
        if let Reply::Answer(answer) = &reply {
            let is_locked = before % 4 == 2 && before == world.phase.now();
            assert!(!is_locked, "{kind} is answered by a locked vault: {}", answer.status);
        }
        reply
    }

    /// Sends a request and notes how it ended. A connection that a lock has closed is opened again, and what changes nothing
    /// is asked again, as any client would.
    fn send(&mut self, world: &World, kind: &'static str, method: &str, target: &str, body: &str) -> Reply {
        loop {
            let (connection, since) = self.connection.get_or_insert_with(|| {
                let since = world.phase.now();
                (Connection::with_token(world.env, self.token.clone()), since)
            });
            let (before, start) = (world.phase.now(), Instant::now());
            let answer = connection.exchange_text(method, target, body);
            let (now, took) = (world.phase.now(), start.elapsed());
            match answer {
                Ok(answer) => {
                    world.answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let kind = self.record.kinds.entry(kind).or_default();
                    *kind.statuses.entry(answer.status).or_default() += 1;
                    kind.micros.push(u32::try_from(took.as_micros()).unwrap());
                    *since = now;
                    if answer.header("connection") == Some("close") {
                        self.connection = None;
                    }
                    if answer.status == 403 {
                        answer.expect_error(403, "vault_locked_error");
                        let may_be = (1..4).any(|remainder| passed(before, now, remainder));
                        assert!(may_be, "{method} {target} finds an open vault locked");
                        return Reply::Locked;
                    }
                    return Reply::Answer(answer);
                }
                Err(error) => {
                    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
                    let is_closed = [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind());
                    assert!(is_closed, "{method} {target}: {error} after {took:?}");
                    assert!(passed(*since, now, 1), "{method} {target}: {error}, and no lock was near");
                    self.connection = None;
                    self.record.closed += 1;
                    if method != "GET" {
                        return Reply::Gone;
                    }
                    self.record.resent += 1;
                }
            }
        }
    }

    /// One of the client's names, and the secret that has it, if one does.
    fn name(&mut self) -> (String, Option<Secret>) {
        let name = format!("{}{}", self.prefix, self.random.below(NAMES));
        let secret = self.held.live.get(&name).cloned();
        (name, secret)
    }

    /// A value that no other write has; most are short, some fill pages.
    fn value(&mut self, name: &str) -> String {
        self.values += 1;
        let padding = match self.random.below(12) {
            0 => 9_000 + self.random.below(9_000),
            _ => self.random.below(200),
        };
        format!("{name} value {}{}", self.values, ".".repeat(usize::try_from(padding).unwrap()))
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
