//! Who may do what: every route, asked by every kind of peer with every kind of token in every state of the vault. What
//! must come of it is computed by a model here, which knows the routes by name and nothing of the daemon's code. A route
//! that has no entry in the table below fails the test.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use secretsd::{Access, routes};
use secretsd_tests::env::CHEAP_KDF;
use secretsd_tests::http::Request;
use secretsd_tests::{Answer, Env, harness, programs};
use serde_json::{Value, json};

/// A key of the right form that is no machine.
const MACHINE_KEY: &str = "000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFP-63ED";

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// What the tokens that are bound to the right names see, and what those bound to wrong ones do.
const RIGHT: [&str; 2] = ["T_*", "OPENAI_*"];
const WRONG: [&str; 1] = ["OTHER_*"];

/// The vault's states, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Uninitialized,
    Unlocked,
    Locked,
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Own,
    Other,
    Root,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shown {
    Nothing,
    Malformed(&'static str),
    Unknown,
    Revoked,
    Expired,
    /// Scopes, and whether it is bound to names: to those that are asked for, or to others.
    Scoped(&'static [&'static str], Bound),
    /// By one header or the other.
    Owner(&'static str),
    /// The token for items, which is good for a locked vault too.
    Items,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    No,
    Right,
    Wrong,
}

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Token,
    Scope(&'static str),
    Either(&'static str, &'static str),
}

/// What a route is about, for a token that is bound to names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// Whatever it sees.
    Sight,
    /// A secret that is there: outside its names it is not.
    Secret,
    /// A name that is to be taken.
    NewName,
    /// Something of the owner's alone: to a token it is not there.
    Owners,
    /// All of the vault.
    Whole,
}

/// A status, and the type of the error that goes with it.
type Outcome = (u16, &'static str);

const LOCKED: Outcome = (403, "vault_locked_error");
const FORBIDDEN: Outcome = (403, "forbidden_error");
const ABSENT: Outcome = (404, "not_found_error");

/// One route: what it needs, what it is about, what it gives to who may, in each state, and a request that is in order.
struct Entry {
    operation: &'static str,
    needs: Needs,
    about: About,
    uninitialized: Outcome,
    locked: Outcome,
    unlocked: Outcome,
    request: fn(&mut World) -> (String, Value),
}

/// The path of a request: `argument` is an id, a query behind `?`, or both.
fn path_of(pattern: &str, argument: &str) -> String {
    match argument.split_once('?') {
        Some((id, query)) => format!("{}?{query}", pattern.replace("{id}", id)),
        None => pattern.replace("{id}", argument),
    }
}

/// A route that wants an open vault.
const fn open_only(
    operation: &'static str,
    scope: &'static str,
    about: About,
    unlocked: u16,
    request: fn(&mut World) -> (String, Value),
) -> Entry {
    let needs = Needs::Scope(scope);
    Entry {
        operation,
        needs,
        about,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: (unlocked, ""),
        request,
    }
}

const OK: Outcome = (200, "");

fn at(path: &str) -> (String, Value) {
    (path.to_owned(), Value::Null)
}

/// Every route of the API. The scopes stand here a second time on purpose.
const TABLE: &[Entry] = &[
    Entry {
        operation: "health",
        needs: Needs::Nothing,
        about: About::Sight,
        uninitialized: OK,
        locked: OK,
        unlocked: OK,
        request: |_| at(""),
    },
    Entry {
        operation: "get_openapi",
        needs: Needs::Nothing,
        about: About::Sight,
        uninitialized: OK,
        locked: OK,
        unlocked: OK,
        request: |_| at(""),
    },
    open_only("list_secrets", "list", About::Sight, 200, |_| at("")),
    open_only("create_secret", "write", About::NewName, 201, |world| {
        (String::new(), json!({ "name": world.fresh_name(), "value": "x" }))
    }),
    open_only("write_secrets", "write", About::NewName, 200, |world| {
        (String::new(), json!({ "secrets": [{ "name": world.fresh_name(), "value": "x" }] }))
    }),
    open_only("get_provider_presets", "list", About::Sight, 200, |_| at("")),
    open_only("create_secret_from_preset", "write", About::NewName, 201, |world| {
        world.free_preset();
        (String::new(), json!({ "provider": "openai", "value": "x" }))
    }),
    open_only("get_secret", "list", About::Secret, 200, |world| at(&world.secret())),
    open_only("update_secret", "write", About::Secret, 200, |world| {
        (world.secret(), json!({ "value": "y" }))
    }),
    open_only("edit_secret", "write", About::Secret, 200, |world| (world.secret(), json!({ "note": "n" }))),
    open_only("delete_secret", "write", About::Secret, 204, |world| at(&world.secret())),
    open_only("reveal_secrets", "reveal", About::Secret, 200, |world| {
        (String::new(), json!({ "secrets": [world.secret()], "purpose": "test" }))
    }),
    open_only("find_same", "reveal", About::Secret, 200, |world| at(&world.secret())),
    open_only("list_versions", "list", About::Secret, 200, |world| at(&world.secret())),
    open_only("drop_version", "write", About::Secret, 204, |world| (world.replaced(), Value::Null)),
    open_only("rollback_secret", "write", About::Secret, 200, |world| {
        (world.secret(), json!({ "version": 1 }))
    }),
    open_only("get_rules", "list", About::Secret, 200, |world| at(&world.secret())),
    open_only("set_rules", "admin", About::Secret, 200, |world| {
        (world.secret(), json!({ "rules": [{ "host": "api.example.com", "site": "bearer" }] }))
    }),
    open_only("list_trash", "list", About::Sight, 200, |_| at("")),
    open_only("restore_secret", "write", About::Secret, 200, |world| at(&world.trashed())),
    Entry {
        operation: "get_vault",
        needs: Needs::Token,
        about: About::Sight,
        uninitialized: OK,
        locked: OK,
        unlocked: OK,
        request: |_| at(""),
    },
    Entry {
        operation: "init_vault",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: (201, ""),
        locked: (409, "already_exists_error"),
        unlocked: (409, "already_exists_error"),
        request: |world| (String::new(), world.key()),
    },
    Entry {
        operation: "unlock_vault",
        needs: Needs::Scope("admin"),
        about: About::Sight,
        uninitialized: LOCKED,
        locked: OK,
        unlocked: OK,
        request: |world| (String::new(), world.key()),
    },
    Entry {
        operation: "lock_vault",
        needs: Needs::Either("admin", "items"),
        about: About::Sight,
        uninitialized: OK,
        locked: OK,
        unlocked: OK,
        request: |_| at(""),
    },
    open_only("verify_vault", "admin", About::Whole, 200, |_| (String::new(), json!({}))),
    open_only("backup_vault", "admin", About::Whole, 200, |_| at("")),
    open_only("rotate_vault", "admin", About::Whole, 200, |world| (String::new(), world.key())),
    open_only("list_keys", "admin", About::Whole, 200, |_| at("")),
    open_only("add_key", "admin", About::Whole, 201, |_| (String::new(), json!({ "recovery": true }))),
    open_only("confirm_key", "admin", About::Whole, 204, |world| at(&world.key_to_lose())),
    open_only("remove_key", "admin", About::Whole, 204, |world| at(&world.key_to_lose())),
    open_only("list_tokens", "admin", About::Whole, 200, |_| at("")),
    open_only("create_token", "admin", About::Whole, 201, |world| {
        (String::new(), json!({ "name": world.fresh_name(), "scopes": ["admin"] }))
    }),
    open_only("revoke_token", "admin", About::Whole, 204, |world| at(&world.token_to_lose())),
    open_only("get_fleet", "list", About::Sight, 200, |_| at("")),
    // Fleets are the subject of `machines`; here there is none.
    Entry {
        operation: "begin_fleet",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: (422, "validation_error"),
        request: |_| (String::new(), json!({ "name": "laptop", "directory": "/nowhere/at/all" })),
    },
    Entry {
        operation: "merge_fleet",
        needs: Needs::Scope("list"),
        about: About::Sight,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| at(""),
    },
    Entry {
        operation: "change_filter",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| (String::new(), json!({ "list": "exclude", "glob": "DEV_*" })),
    },
    Entry {
        operation: "join_fleet",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: (422, "validation_error"),
        request: |_| {
            (
                String::new(),
                json!({ "code": "4T9K-Q2ZM-71AB", "name": "desktop", "directory": "/nowhere/at/all" }),
            )
        },
    },
    Entry {
        operation: "create_machine_key",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| (String::new(), json!({ "name": "paper", "role": "paper" })),
    },
    Entry {
        operation: "join_by_key",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: (422, "validation_error"),
        request: |_| {
            (
                String::new(),
                json!({ "key": MACHINE_KEY, "role": "runner", "name": "runner", "directory": "/nowhere/at/all" }),
            )
        },
    },
    Entry {
        operation: "invite_machine",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| at(""),
    },
    Entry {
        operation: "get_invitation",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| at(NOBODY),
    },
    Entry {
        operation: "confirm_invitation",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| (NOBODY.to_owned(), json!({ "accept": true })),
    },
    Entry {
        operation: "remove_machine",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| at(NOBODY),
    },
    Entry {
        operation: "rename_machine",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| (NOBODY.to_owned(), json!({ "name": "laptop" })),
    },
    Entry {
        operation: "keep_machine",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| at(NOBODY),
    },
    open_only("list_conflicts", "list", About::Sight, 200, |_| at("")),
    Entry {
        operation: "resolve_conflict",
        needs: Needs::Scope("write"),
        about: About::Secret,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |world| (world.secret(), json!({})),
    },
    open_only("begin_session", "use", About::Secret, 201, |world| {
        (String::new(), json!({ "secrets": [world.usable()], "purpose": "test" }))
    }),
    open_only("end_session", "use", About::Owners, 204, |world| at(&world.session_to_lose())),
    open_only("list_credentials", "admin", About::Whole, 200, |_| at("")),
    open_only("allow_credentials", "admin", About::Whole, 200, |world| {
        (String::new(), json!({ "unit": "web.service", "secrets": [world.name_for_units()] }))
    }),
    open_only("revoke_credentials", "admin", About::Whole, 204, |world| {
        world.allow_unit();
        at("?unit=web.service")
    }),
    open_only("set_local", "admin", About::Whole, 200, |world| (world.secret(), json!({ "local": false }))),
    open_only("set_guard", "admin", About::Whole, 200, |world| (world.secret(), json!({ "guarded": false }))),
    Entry {
        operation: "list_approvals",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: OK,
        unlocked: OK,
        request: |_| at(""),
    },
    Entry {
        operation: "ask_unlock",
        needs: Needs::Either("admin", "items"),
        about: About::Sight,
        uninitialized: LOCKED,
        locked: (201, ""),
        unlocked: (409, "conflict_error"),
        request: |_| (String::new(), json!({ "right": "unlock" })),
    },
    // Asks are the subject of `approvals`; here there is none.
    Entry {
        operation: "get_approval",
        needs: Needs::Token,
        about: About::Sight,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| at(NOBODY),
    },
    Entry {
        operation: "decide_approval",
        needs: Needs::Scope("admin"),
        about: About::Whole,
        uninitialized: LOCKED,
        locked: LOCKED,
        unlocked: ABSENT,
        request: |_| (NOBODY.to_owned(), json!({ "decision": "deny" })),
    },
    open_only("list_approval_rules", "admin", About::Whole, 200, |_| at("")),
    open_only("add_approval_rule", "admin", About::Whole, 201, |world| (String::new(), world.rule())),
    open_only("remove_approval_rule", "admin", About::Whole, 204, |world| at(&world.rule_to_lose())),
    open_only("search_items", "items", About::Whole, 200, |_| {
        (String::new(), json!({ "attributes": { "a": "b" } }))
    }),
    open_only("create_item", "items", About::Whole, 201, |_| {
        (String::new(), json!({ "label": "l", "attributes": {}, "value_base64": "" }))
    }),
    open_only("list_item_trash", "items", About::Whole, 200, |_| at("")),
    open_only("get_collection", "items", About::Whole, 200, |_| at("")),
    open_only("label_collection", "items", About::Whole, 200, |_| (String::new(), json!({ "label": "l" }))),
    Entry {
        operation: "watch_items",
        needs: Needs::Scope("items"),
        about: About::Whole,
        uninitialized: OK,
        locked: OK,
        unlocked: OK,
        request: |_| at(""),
    },
    open_only("get_item", "items", About::Whole, 200, |world| at(&world.item())),
    open_only("edit_item", "items", About::Whole, 200, |world| (world.item(), json!({ "label": "m" }))),
    open_only("delete_item", "items", About::Whole, 204, |world| at(&world.item())),
    open_only("update_item", "items", About::Whole, 200, |world| {
        (world.item(), json!({ "value_base64": "eQ==" }))
    }),
    open_only("reveal_item", "items", About::Whole, 200, |world| at(&world.item())),
    open_only("restore_item", "items", About::Whole, 200, |world| at(&world.trashed_item())),
    open_only("list_item_versions", "items", About::Whole, 200, |world| at(&world.item())),
    open_only("set_item_guard", "admin", About::Whole, 200, |world| {
        (world.item(), json!({ "guarded": false }))
    }),
    open_only("add_item_approval_rule", "admin", About::Whole, 201, |world| {
        let client = json!({ "token": "items", "program": "/usr/bin/agent" });
        (world.item(), json!({ "effect": "deny", "rights": ["reveal"], "client": client }))
    }),
    open_only("list_audit", "admin", About::Sight, 200, |_| at("")),
    open_only("verify_audit", "admin", About::Whole, 200, |_| at("")),
    open_only("archive_audit", "admin", About::Whole, 200, |_| (String::new(), json!({ "through": 1 }))),
];

/// What is no route is told to who has a token, and to nobody else.
const NO_ROUTE: Entry = Entry {
    operation: "(none)",
    needs: Needs::Token,
    about: About::Sight,
    uninitialized: ABSENT,
    locked: ABSENT,
    unlocked: ABSENT,
    request: |_| at(""),
};

/// Every method and path, with its entry.
fn everything_asked() -> Vec<(&'static str, &'static str, &'static Entry)> {
    let mut all = vec![
        ("GET", "/api/v1/nothing", &NO_ROUTE),
        ("GET", "/", &NO_ROUTE),
        ("DELETE", "/api/v1/vault", &NO_ROUTE),
        ("POST", "/healthz", &NO_ROUTE),
    ];
    for route in routes() {
        let entry = TABLE.iter().find(|entry| entry.operation == route.operation);
        let entry = entry.unwrap_or_else(|| panic!("{} has no entry in the table", route.operation));
        let told = match route.access {
            Access::Open => Needs::Nothing,
            Access::Token => Needs::Token,
            Access::Scope(scope) => Needs::Scope(scope),
            Access::Either(one, other) => Needs::Either(one, other),
        };
        assert_eq!(told, entry.needs, "what {} says that it needs", route.operation);
        all.push((route.method, route.path, entry));
    }
    assert_eq!(TABLE.len(), routes().count(), "the table has entries without a route");
    all
}

/// What must come of it.
fn expected(entry: &Entry, peer: Peer, state: State, shown: &Shown) -> Outcome {
    if peer != Peer::Own {
        return FORBIDDEN;
    }
    let granted = match state {
        State::Uninitialized => entry.uninitialized,
        State::Locked => entry.locked,
        State::Unlocked => entry.unlocked,
    };
    if entry.needs == Needs::Nothing {
        return granted;
    }
    let (scopes, bound) = match shown {
        Shown::Nothing | Shown::Malformed(_) => return (401, "authentication_error"),
        Shown::Owner(_) => return granted,
        Shown::Items => {
            let is_enough = match entry.needs {
                Needs::Nothing | Needs::Token => true,
                Needs::Scope(scope) => scope == "items",
                Needs::Either(one, other) => [one, other].contains(&"items"),
            };
            return if is_enough { granted } else { FORBIDDEN };
        }
        // Nobody can tell what they are.
        Shown::Unknown | Shown::Revoked | Shown::Expired | Shown::Scoped(..) if state != State::Unlocked => {
            return LOCKED;
        }
        Shown::Unknown | Shown::Revoked => return (401, "authentication_error"),
        Shown::Expired => return (401, "expired_token_error"),
        Shown::Scoped(scopes, bound) => (scopes, bound),
    };
    if let Needs::Scope(scope) = entry.needs
        && !scopes.contains(&scope)
    {
        return FORBIDDEN;
    }
    if let Needs::Either(one, other) = entry.needs {
        // Items have no names: a token that is bound to some has none of them.
        let is_enough = |scope| scopes.contains(&scope) && (scope != "items" || *bound == Bound::No);
        if !is_enough(one) && !is_enough(other) {
            return FORBIDDEN;
        }
    }
    match (entry.about, bound) {
        (About::Whole, Bound::Right | Bound::Wrong) | (About::NewName, Bound::Wrong) => FORBIDDEN,
        (About::Secret, Bound::Wrong) | (About::Owners, _) => ABSENT,
        _ => granted,
    }
}

const ALL: &[&str] = &["list", "write", "reveal", "admin", "use", "items"];

fn everything_shown() -> Vec<Shown> {
    let mut all = vec![
        Shown::Nothing,
        Shown::Malformed("nonsense"),
        Shown::Malformed("ssd_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg000000"),
        Shown::Malformed("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"),
        Shown::Unknown,
        Shown::Revoked,
        Shown::Expired,
        Shown::Owner("Authorization"),
        Shown::Owner("X-API-Key"),
        Shown::Items,
    ];
    for scopes in ALL.chunks(1).chain([ALL]) {
        all.extend([Bound::No, Bound::Right, Bound::Wrong].map(|bound| Shown::Scoped(scopes, bound)));
    }
    all
}

/// The daemon under an unprivileged uid if that can be had, and what the requests are about.
struct World {
    env: Env,
    own: Option<u32>,
    state: State,
    key: PathBuf,
    program: PathBuf,
    tokens: Vec<(Shown, String)>,
    named: u32,
    secret: Option<String>,
    item: Option<String>,
    trashed_item: Option<String>,
    trashed: Option<String>,
    key_to_lose: Option<String>,
    token_to_lose: Option<String>,
    has_name_for_units: bool,
    has_usable: bool,
    session_to_lose: Option<String>,
    /// Names that were refused, and so must not exist.
    refused: BTreeSet<String>,
}

impl World {
    fn new(own: Option<u32>) -> Self {
        let env = Env::new(programs!());
        // Every wrong token is answered by what is wrong with it, however many there are.
        env.settings(&format!("{CHEAP_KDF}[limits]\nwrong_tokens = 65536\n"));
        let key = env.private_file("key", [0x5a; 48]);
        let mut program = PathBuf::from(env.programs().daemon);
        if let Some(uid) = own {
            // Where the other user can reach it. A file that is still being written to, also by what another test has
            // just begun to start, cannot be executed; so there is no more than one copy.
            program = env.path("secretsd");
            fs::copy(env.programs().daemon, &program).unwrap();
            give(&env.path(""), uid);
            become_uid(uid);
        }
        let mut world = Self {
            env,
            own,
            state: State::Uninitialized,
            key,
            program,
            tokens: Vec::new(),
            named: 0,
            secret: None,
            item: None,
            trashed_item: None,
            trashed: None,
            key_to_lose: None,
            token_to_lose: None,
            has_name_for_units: false,
            has_usable: false,
            session_to_lose: None,
            refused: BTreeSet::new(),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let mut command = match self.own {
            Some(uid) => {
                let mut command = self.env.command("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()]);
                command.arg(&self.program);
                command
            }
            None => self.env.command(&self.program),
        };
        // Only the superuser can become another.
        self.as_uid(0, |world| world.env.spawn(&mut command));
        assert!(self.env.wait_ready(), "the daemon ends instead of answering; its log:\n{}", self.env.log());
    }

    /// Does something as this user; without another to come back to, as ourselves.
    fn as_uid<T>(&mut self, uid: u32, work: impl FnOnce(&mut Self) -> T) -> T {
        let Some(own) = self.own else { return work(self) };
        become_uid(uid);
        let done = work(self);
        become_uid(own);
        done
    }

    fn owner(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = self.env.request(method, path);
        if body.is_null() { request.send() } else { request.json(body).send() }
    }

    fn key(&self) -> Value {
        json!({ "key_file": self.key })
    }

    fn made(&self, path: &str, body: &Value) -> String {
        self.owner("POST", path, body).expect(201)["id"].as_str().unwrap().to_owned()
    }

    fn fresh_name(&mut self) -> String {
        self.named += 1;
        format!("T_{}", self.named)
    }

    /// A new secret; while there can be none, an id is as good as any.
    fn new_secret(&mut self) -> String {
        if self.state != State::Unlocked {
            return NOBODY.to_owned();
        }
        let name = self.fresh_name();
        self.made("/user/secrets", &json!({ "name": name, "value": "x" }))
    }

    fn secret(&mut self) -> String {
        let id = self.secret.clone().unwrap_or_else(|| self.new_secret());
        self.secret = Some(id.clone()).filter(|_| self.state == State::Unlocked);
        id
    }

    /// A secret with an earlier value, and the query that names it.
    fn replaced(&mut self) -> String {
        let id = self.new_secret();
        if self.state == State::Unlocked {
            self.owner("PUT", &format!("/user/secrets/{id}"), &json!({ "value": "y" })).expect(200);
        }
        format!("{id}?version=1")
    }

    /// A new item; while there can be none, an id is as good as any.
    fn new_item(&mut self) -> String {
        if self.state != State::Unlocked {
            return NOBODY.to_owned();
        }
        self.made("/items", &json!({ "label": "l", "attributes": { "a": "b" }, "value_base64": "eA==" }))
    }

    fn item(&mut self) -> String {
        let id = self.item.clone().unwrap_or_else(|| self.new_item());
        self.item = Some(id.clone()).filter(|_| self.state == State::Unlocked);
        id
    }

    fn trashed_item(&mut self) -> String {
        if let Some(id) = &self.trashed_item {
            return id.clone();
        }
        let id = self.new_item();
        if self.state == State::Unlocked {
            assert_eq!(self.owner("DELETE", &format!("/items/{id}"), &Value::Null).status, 204);
            self.trashed_item = Some(id.clone());
        }
        id
    }

    fn trashed(&mut self) -> String {
        if let Some(id) = &self.trashed {
            return id.clone();
        }
        let id = self.new_secret();
        if self.state == State::Unlocked {
            assert_eq!(self.owner("DELETE", &format!("/user/secrets/{id}"), &Value::Null).status, 204);
            self.trashed = Some(id.clone());
        }
        id
    }

    fn key_to_lose(&mut self) -> String {
        if self.state != State::Unlocked {
            return NOBODY.to_owned();
        }
        let known = self.key_to_lose.clone();
        let id = known.unwrap_or_else(|| self.made("/vault/keys", &json!({ "recovery": true })));
        self.key_to_lose = Some(id.clone());
        id
    }

    fn token_to_lose(&mut self) -> String {
        if self.state != State::Unlocked {
            return NOBODY.to_owned();
        }
        let name = self.fresh_name();
        let known = self.token_to_lose.clone();
        let id = known.unwrap_or_else(|| self.made("/tokens", &json!({ "name": name, "scopes": ["list"] })));
        self.token_to_lose = Some(id.clone());
        id
    }

    /// The name of a secret with a rule, that no other operation touches.
    fn usable(&mut self) -> &'static str {
        const NAME: &str = "T_USABLE";
        if self.state == State::Unlocked && !self.has_usable {
            let id = self.made("/user/secrets", &json!({ "name": NAME, "value": "x" }));
            let rules = json!({ "rules": [{ "host": "api.example.com", "site": "bearer" }] });
            self.owner("PUT", &format!("/user/secrets/{id}/rules"), &rules).expect(200);
            self.has_usable = true;
        }
        NAME
    }

    /// A session of the owner's; to a token it is one that it has not begun.
    fn session_to_lose(&mut self) -> String {
        if self.state != State::Unlocked {
            return NOBODY.to_owned();
        }
        let body = json!({ "secrets": [self.usable()], "purpose": "test" });
        let known = self.session_to_lose.clone();
        let id = known.unwrap_or_else(|| self.made("/use/sessions", &body));
        self.session_to_lose = Some(id.clone());
        id
    }

    /// A secret that no other operation touches, made when it is wanted for the first time.
    fn name_for_units(&mut self) -> &'static str {
        const NAME: &str = "T_UNITS";
        if self.state == State::Unlocked && !self.has_name_for_units {
            self.made("/user/secrets", &json!({ "name": NAME, "value": "x" }));
            self.has_name_for_units = true;
        }
        NAME
    }

    /// An approval rule, about a client that there is not.
    fn rule(&mut self) -> Value {
        let client = json!({ "token": "owner", "program": "/nowhere" });
        json!({ "effect": "deny", "secret": self.name_for_units(), "rights": ["reveal"], "client": client })
    }

    /// The id of an approval rule, created unless there is one.
    fn rule_to_lose(&mut self) -> String {
        if self.state != State::Unlocked {
            return NOBODY.to_owned();
        }
        let rule = self.rule();
        self.made("/approvals/rules", &rule)
    }

    /// Makes sure that the unit may load something.
    fn allow_unit(&mut self) {
        if self.state == State::Unlocked {
            let body = json!({ "unit": "web.service", "secrets": [self.name_for_units()] });
            self.owner("POST", "/credentials", &body).expect(200);
        }
    }

    /// Makes sure that the preset's name is free.
    fn free_preset(&mut self) {
        if self.state != State::Unlocked {
            return;
        }
        let list = self.owner("GET", "/user/secrets?name=OPENAI_API_KEY", &Value::Null).expect(200);
        if let Some(id) = list["secrets"][0]["id"].as_str() {
            let path = format!("/user/secrets/{id}?purge=true");
            assert_eq!(self.owner("DELETE", &path, &Value::Null).status, 204);
        }
    }

    /// What an operation that was done has used up.
    fn used_up(&mut self, operation: &str) {
        match operation {
            "delete_secret" => self.secret = None,
            "delete_item" => self.item = None,
            "restore_item" => self.trashed_item = None,
            "restore_secret" => self.trashed = None,
            "remove_key" | "rotate_vault" => self.key_to_lose = None,
            "revoke_token" => self.token_to_lose = None,
            "end_session" => self.session_to_lose = None,
            "init_vault" | "unlock_vault" | "lock_vault" => self.bring_back(),
            _ => {}
        }
    }

    /// Brings the vault back into its state.
    fn bring_back(&mut self) {
        match self.state {
            State::Unlocked => drop(self.owner("POST", "/vault/unlock", &self.key()).expect(200)),
            State::Locked => drop(self.owner("POST", "/vault/lock", &Value::Null).expect(200)),
            State::Uninitialized => {
                if self.env.state() == "uninitialized" {
                    return;
                }
                self.env.stop();
                fs::remove_dir_all(self.env.data_dir()).unwrap();
                fs::remove_dir_all(self.env.state_dir()).unwrap();
                self.start();
            }
        }
    }

    /// Makes a vault with tokens of each kind.
    fn make_vault(&mut self) {
        self.owner("POST", "/vault/init", &self.key()).expect(201);
        self.state = State::Unlocked;
        for shown in everything_shown() {
            let name = self.fresh_name();
            let mut request = json!({ "name": name, "scopes": ALL });
            match &shown {
                Shown::Revoked => {}
                Shown::Expired => request["ttl_seconds"] = json!(1),
                Shown::Scoped(scopes, bound) => {
                    request["scopes"] = json!(scopes);
                    match bound {
                        Bound::No => {}
                        Bound::Right => request["secrets"] = json!(RIGHT),
                        Bound::Wrong => request["secrets"] = json!(WRONG),
                    }
                }
                Shown::Nothing | Shown::Malformed(_) | Shown::Unknown | Shown::Owner(_) | Shown::Items => {
                    continue;
                }
            }
            let made = self.owner("POST", "/tokens", &request).expect(201);
            if shown == Shown::Revoked {
                let path = format!("/tokens/{}", made["id"].as_str().unwrap());
                assert_eq!(self.owner("DELETE", &path, &Value::Null).status, 204);
            }
            let token = made["token"].as_str().unwrap().to_owned();
            self.tokens.push((shown, token));
        }
        let (_, expired) = self.tokens.iter().find(|(shown, _)| *shown == Shown::Expired).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while self.env.anonymous("GET", "/vault").bearer(expired).send().status == 200 {
            assert!(Instant::now() < end, "it does not expire");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The header that shows it.
    fn header(&self, shown: &Shown) -> Option<(&'static str, String)> {
        let bearer = |token: &str| ("Authorization", format!("Bearer {token}"));
        match shown {
            Shown::Nothing => None,
            Shown::Malformed(text) => Some(bearer(text)),
            Shown::Unknown => Some(bearer(UNKNOWN)),
            Shown::Owner("X-API-Key") => Some(("X-API-Key", self.env.token())),
            Shown::Owner(_) => Some(bearer(&self.env.token())),
            Shown::Items => Some(bearer(&self.env.items_token())),
            // Before there is a vault there is none that knows it; any well-formed one will do.
            Shown::Revoked | Shown::Expired | Shown::Scoped(..) => {
                let found = self.tokens.iter().find(|(known, _)| known == shown);
                Some(bearer(found.map_or(UNKNOWN, |(_, token)| token)))
            }
        }
    }

    /// Asks, and compares the answer with the model's.
    fn ask(&mut self, entry: &Entry, route: (&str, &str), peer: Peer, shown: &Shown) -> Option<String> {
        let (method, pattern) = route;
        let (argument, body) = (entry.request)(self);
        let path = path_of(pattern, &argument);
        let mut request = Request::new(&self.env.socket(), method, &path);
        if let Some((name, value)) = self.header(shown) {
            request = request.header(name, &value);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = match peer {
            Peer::Own => request.send(),
            Peer::Other => self.as_uid(OTHER, |_| request.send()),
            Peer::Root => self.as_uid(0, |_| request.send()),
        };
        let found = (answer.status, kind(&answer));
        let (status, error) = expected(entry, peer, self.state, shown);
        let deviates = found != (status, error.to_owned());
        if peer == Peer::Own && answer.status < 300 {
            self.used_up(entry.operation);
        } else {
            let new = match entry.operation {
                "create_secret" => body["name"].as_str(),
                "write_secrets" => body["secrets"][0]["name"].as_str(),
                _ => None,
            };
            self.refused.extend(new.map(str::to_owned));
        }
        deviates.then(|| {
            let state = self.state;
            format!("{method} {pattern} {peer:?} {state:?} {shown:?}: {found:?}, not {:?}", (status, error))
        })
    }
}

/// The type of an error; empty for what is none.
fn kind(answer: &Answer) -> String {
    if answer.status < 400 {
        return String::new();
    }
    let body = answer.json();
    assert_eq!(body["code"], answer.status);
    assert!(answer.header("x-request-id").is_some());
    body["type"].as_str().unwrap().to_owned()
}

/// Neither the daemon nor the superuser.
const OTHER: u32 = 61_236;
/// The daemon's, where we are the superuser.
const OWN: u32 = 61_235;

/// Well-formed, its checksum made elsewhere: `zlib.crc32` of the first 47 characters, in base 62.
const UNKNOWN: &str = "ssd_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg1H99Fq";

fn become_uid(uid: u32) {
    let root = Uid::ROOT;
    // Only this thread's; its real and saved ids stay, so that it can come back, by way of the superuser.
    set_thread_res_uid(root, root, root).unwrap();
    set_thread_res_uid(root, Uid::from_raw(uid), root).unwrap();
}

/// Whether we are the superuser, and the user is one that there can be: not in every container.
fn can_become(uid: u32) -> bool {
    let [root, uid] = [Uid::ROOT, Uid::from_raw(uid)];
    let try_it = move || {
        rustix::process::geteuid().is_root()
            && set_thread_res_uid(root, root, root).is_ok()
            && set_thread_res_uid(root, uid, root).is_ok()
    };
    thread::spawn(try_it).join().unwrap()
}

/// Gives a directory and all in it to a user.
fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid);
        }
    }
}

#[test]
fn every_route_answers_every_caller_as_the_model_says() {
    let asked = everything_asked();
    let root = can_become(OWN) && can_become(OTHER);
    if !root {
        harness::skip("matrix (peers of other users)", "becoming another user needs root");
    }
    let mut world = World::new(root.then_some(OWN));
    let foreign: &[Peer] = if root { &[Peer::Other, Peer::Root] } else { &[] };
    let (mut cases, mut deviations) = (0, Vec::new());
    for state in [State::Uninitialized, State::Unlocked, State::Locked] {
        match state {
            State::Uninitialized => {}
            State::Unlocked => world.make_vault(),
            State::Locked => {
                world.owner("POST", "/vault/lock", &Value::Null).expect(200);
                world.state = State::Locked;
            }
        }
        // Other users first: nothing that they ask for may have an effect. The modes that keep them out are opened up.
        for mode in [0o755, 0o700] {
            let run = [world.env.path(""), world.env.path("run"), world.env.runtime_dir()];
            for directory in run {
                fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
            }
            let socket = if mode == 0o755 { 0o666 } else { 0o600 };
            fs::set_permissions(world.env.socket(), Permissions::from_mode(socket)).unwrap();
            let peers = if mode == 0o755 { foreign } else { &[Peer::Own] };
            for peer in peers {
                for shown in everything_shown() {
                    for (method, path, entry) in &asked {
                        cases += 1;
                        deviations.extend(world.ask(entry, (method, path), *peer, &shown));
                    }
                }
            }
        }
    }
    assert!(cases > if root { 6_000 } else { 2_000 }, "{cases} cases");
    assert!(deviations.is_empty(), "{} of {cases}:\n{}", deviations.len(), deviations.join("\n"));

    // What was refused has had no effect.
    world.state = State::Unlocked;
    world.bring_back();
    let list = world.owner("GET", "/user/secrets", &Value::Null).expect(200);
    let names: BTreeSet<String> = list["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(world.refused.len() > 50 && names.len() > 3);
    assert_eq!(names.intersection(&world.refused).count(), 0, "a refused secret was stored");
    world.as_uid(0, |world| world.env.stop());
    if world.own.is_some() {
        become_uid(0);
    }
}

#[test]
fn a_token_that_may_only_use_values_gets_none_by_any_route() {
    const VALUE: &str = "value-to-be-used-0123456789abcdef";
    let mut world = World::new(None);
    world.make_vault();
    world.secret = Some(world.made("/user/secrets", &json!({ "name": "T_VALUE", "value": VALUE })));
    let mut cases = 0;
    for (method, path, entry) in everything_asked() {
        for bound in [Bound::No, Bound::Right] {
            let (argument, body) = (entry.request)(&mut world);
            let path = path_of(path, &argument);
            let (header, token) = world.header(&Shown::Scoped(&ALL[4..5], bound)).unwrap();
            let request = Request::new(&world.env.socket(), method, &path).header(header, &token);
            let answer = if body.is_null() { request.send() } else { request.json(&body).send() };
            assert!(!answer.text().contains(VALUE), "{method} {path}");
            if let Needs::Scope(scope) = entry.needs
                && scope != "use"
            {
                assert_eq!(answer.status, 403, "{method} {path} takes {scope}");
                cases += 1;
            }
        }
    }
    assert!(cases > 50, "{cases} cases");
    world.env.stop();
}

/// Requests that are in no order: the type and the text of a body, if there is one, and what is put behind the path.
const DISORDER: [(&str, &str, &str); 9] = [
    ("application/json", "{", ""),
    ("application/json", "", ""),
    ("application/json", "[1]", ""),
    ("application/json", r#"{"surplus":1}"#, ""),
    ("application/json", r#"{"name":1,"value":{},"secrets":"x","passphrase":[],"version":"x"}"#, ""),
    ("text/plain", "x", ""),
    ("", "", "?surplus=1"),
    ("application/json", "{}", "?purge=perhaps&limit=x&view=none&unit=..%2f"),
    ("application/json", "{}", "?%ff"),
];

#[test]
fn a_caller_that_may_not_ask_is_told_so_whatever_it_sends() {
    let mut world = World::new(None);
    world.make_vault();
    let mut cases = 0;
    let mut deviations = Vec::new();
    for (method, path, entry) in everything_asked() {
        let Needs::Scope(_) = entry.needs else { continue };
        for shown in everything_shown() {
            let Shown::Scoped(..) = shown else { continue };
            if expected(entry, Peer::Own, State::Unlocked, &shown) != FORBIDDEN
                || entry.about == About::NewName
            {
                continue;
            }
            let (header, token) = world.header(&shown).unwrap();
            for (content_type, body, query) in DISORDER {
                cases += 1;
                let path = format!("{}{query}", path.replace("{id}", "no-id"));
                let request = Request::new(&world.env.socket(), method, &path).header(header, &token);
                let request =
                    if content_type.is_empty() { request } else { request.text(content_type, body) };
                let answer = request.header("If-Match", "no version").send();
                if (answer.status, kind(&answer).as_str()) != FORBIDDEN {
                    deviations.push(format!("{method} {path} {shown:?} {body:?}: {}", answer.status));
                }
            }
        }
    }
    assert!(cases > 2_000, "{cases} cases");
    assert!(deviations.is_empty(), "{} of {cases}:\n{}", deviations.len(), deviations.join("\n"));
    world.env.stop();
}

#[test]
fn a_refusal_is_written_down_once_and_as_what_was_asked_for() {
    let mut world = World::new(None);
    world.make_vault();
    let routes: Vec<_> =
        everything_asked().into_iter().filter(|(_, _, entry)| entry.needs != Needs::Nothing).collect();
    for (number, (method, path, entry)) in routes.into_iter().enumerate() {
        let Needs::Scope(scope) = entry.needs else { continue };
        // Each route is asked by a token of its own, once in order and once not; the log must say the same of both.
        let others: Vec<&&str> = ALL.iter().filter(|other| **other != scope).collect();
        let name = format!("asks {number}");
        let made = world.owner("POST", "/tokens", &json!({ "name": name, "scopes": others })).expect(201);
        let token = made["token"].as_str().unwrap().to_owned();
        let (argument, body) = (entry.request)(&mut world);
        let ask = |path: &str| Request::new(&world.env.socket(), method, path).bearer(&token);
        let in_order = path_of(path, &argument);
        let request = ask(&in_order);
        let request = if body.is_null() { request } else { request.json(&body) };
        request.send().expect_error(403, "forbidden_error");
        let disorder = path.replace("{id}", "no-id");
        ask(&disorder).text("application/json", "{").send().expect_error(403, "forbidden_error");
        let log = world.owner("GET", "/audit", &Value::Null).expect(200);
        let entries = log["entries"].as_array().unwrap();
        let of_token: Vec<&Value> =
            entries.iter().filter(|written| written["caller"]["token"] == name).collect();
        let count: u64 = of_token.iter().map(|written| written["count"].as_u64().unwrap_or(1)).sum();
        assert_eq!(count, 2, "{}: {of_token:?}", entry.operation);
        let told: BTreeSet<String> = of_token
            .iter()
            .map(|written| format!("{} {} {}", written["action"], written["outcome"], written["refusal"]))
            .collect();
        assert_eq!(told.len(), 1, "{}: {told:?}", entry.operation);
        assert!(told.iter().all(|told| told.ends_with(r#""denied" "scope""#)), "{told:?}");
    }
    // And as what, where the request alone tells.
    let (_, token) =
        world.tokens.iter().find(|(shown, _)| *shown == Shown::Scoped(&ALL[..1], Bound::No)).unwrap();
    let path = format!("/api/v1/user/secrets/{NOBODY}?purge=true");
    Request::new(&world.env.socket(), "DELETE", &path)
        .bearer(token)
        .send()
        .expect_error(403, "forbidden_error");
    let log = world.owner("GET", "/audit", &Value::Null).expect(200);
    assert_eq!(log["entries"].as_array().unwrap().last().unwrap()["action"], "purge");
    world.env.stop();
}
