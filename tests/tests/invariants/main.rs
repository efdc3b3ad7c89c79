//! The structure that docs/design/daemon.md and broker.md promise, checked in the sources. Each check is a function of
//! sources, so that a seeded violation can show that it fails; the real sources must give no finding.

mod broker;
mod mcp;

use secretsd_tests::imports::files_named_by;
use secretsd_tests::source::{Source, repository, sources};

/// The pipeline, left to right; modules of one rank do not know each other.
const STAGES: [(&str, u8); 11] = [
    ("listener", 0),
    ("server", 1),
    ("systemd_credentials", 1),
    ("auth", 2),
    ("router", 3),
    ("handler", 4),
    ("logind", 4),
    ("vault", 5),
    ("audit", 6),
    ("crypto", 6),
    ("store", 6),
];

/// What every stage may import. Leaf modules import only each other.
const LEAVES: [&str; 16] = [
    "answering",
    "caller",
    "client",
    "config",
    "exchange",
    "guarded",
    "http",
    "inherited",
    "key_provider",
    "listening",
    "memory",
    "permits",
    "process",
    "reach",
    "relaunch",
    "triggers",
];

/// The client's order, left to right. Its other modules know none of these.
const CLIENT: [&str; 4] = ["usage", "cli", "command", "context"];

/// What the program that holds the vault may do without a caller: none of it reaches a secret.
const LIFE_CYCLE: [&str; 8] =
    ["start", "resume", "shutdown", "lock_file", "unwritten", "wiped", "opened", "answers"];

/// All that `logind` does with the vault.
const BY_LOGIND: [&str; 2] = ["lock_if_open", "opened"];

/// What `auth` asks before there is a caller, to get one.
const BEFORE_THE_CALLER: &str = "identify";

/// Where the stages are put together. `fuzzing` exists only in fuzz targets.
const ROOTS: [&str; 4] = ["daemon", "fuzzing", "lib", "main"];

/// The files that may read what is inside a secret, each for a reason.
const MAY_EXPOSE: &[(&str, &str)] = &[
    ("proto/src/sensitive.rs", "the type itself"),
    ("proto/src/item/field.rs", "the type of an item's value"),
    ("proto/src/proof.rs", "looks whether what was typed has the form of a recovery key"),
    ("daemon/src/crypto/", "derives keys from passphrases and recovery keys"),
    ("daemon/src/vault/", "seals values and computes masks"),
    ("daemon/src/auth/", "compares tokens"),
    ("daemon/src/systemd_credentials/answer.rs", "sends a value to a unit's service manager"),
    ("daemon/src/listener.rs", "writes the owner token's file"),
    ("client/src/client.rs", "sends tokens in a header"),
    ("client/src/token.rs", "checks a token's form"),
    ("ctl/src/command/machine.rs", "shows the code that is to be typed on another machine"),
    ("ctl/src/mover.rs", "writes the mover's access token to a private file"),
    ("sync/src/settings.rs", "takes the store's credential out of the vault"),
    (
        "ctl/src/command/run/mod.rs",
        "puts values into a program's environment and files, takes them from its output",
    ),
    ("ctl/src/command/run/content.rs", "holds a value on its way to a program"),
    ("ctl/src/project/", "decodes, composes, makes and stores a project's values"),
    ("ctl/src/input.rs", "checks what was read as a value"),
    ("ctl/src/prompt.rs", "compares the passphrase with its repetition"),
    ("ctl/src/command/get.rs", "prints a value that was asked for"),
    ("ctl/src/command/export.rs", "writes values that were asked for"),
    ("ctl/src/handover.rs", "takes line ends off, for git and AWS"),
    ("ctl/src/helper/login.rs", "reads and writes a user and their secret as one value"),
    ("ctl/src/command/cargo_credential.rs", "stores the token that cargo was given"),
    ("ctl/src/command/kube_credential.rs", "tells a certificate from its key"),
    ("ctl/src/command/inject.rs", "puts values into a template"),
    ("ctl/src/command/import", "compares what was stored with what was read"),
    ("ctl/src/fuzzing.rs", "gives a fuzz target what was read, for comparison"),
    ("ctl/src/command/token.rs", "writes a fresh access token to a new private file"),
    ("ctl/src/mask.rs", "tells roughly how long a value is"),
    ("ctl/src/command/set.rs", "recognises a provider by the value's prefix"),
    ("ctl/src/command/init.rs", "counts a passphrase's characters"),
    (
        "ctl/src/command/written_down.rs",
        "compares the last group of a fresh recovery key with what was typed",
    ),
    ("ctl/src/once.rs", "prints a fresh recovery key or access token once"),
    ("ui/src/browse/", "shows and copies a value on a key press"),
    ("ui/src/clipboard.rs", "sends it to the terminal"),
    ("scan/src/values.rs", "prepares to look for values"),
    ("broker/src/forward", "gives values to what puts them in and to what takes them out of answers"),
];

type Findings = Vec<String>;

fn finding(source: &Source, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", source.path)
}

/// Every use of `word` in files that `allowed` does not accept.
fn only_in(sources: &[Source], word: &str, allowed: impl Fn(&Source) -> bool, what: &str) -> Findings {
    sources
        .iter()
        .filter(|source| !allowed(source))
        .flat_map(|source| {
            source
                .lines_with(word)
                .into_iter()
                .map(|line| finding(source, line, &format!("`{word}`: {what}")))
        })
        .collect()
}

fn in_module(modules: &[&str]) -> impl Fn(&Source) -> bool {
    move |source| modules.contains(&source.module())
}

fn every_module_has_a_place(sources: &[Source]) -> Findings {
    sources
        .iter()
        .filter(|source| {
            let module = source.module();
            !STAGES.iter().any(|(stage, _)| *stage == module)
                && !LEAVES.contains(&module)
                && !ROOTS.contains(&module)
        })
        .map(|source| {
            finding(source, 1, "a module without a place in the pipeline: add it to STAGES or LEAVES, and to docs/design/daemon.md")
        })
        .collect()
}

fn imports_point_right(sources: &[Source]) -> Findings {
    let rank = |module: &str| STAGES.iter().find(|(stage, _)| *stage == module).map(|(_, rank)| *rank);
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !ROOTS.contains(&source.module())) {
        let own = source.module();
        for (line, module) in source.crate_modules() {
            if module == own || LEAVES.contains(&module.as_str()) {
                continue;
            }
            let allowed = match (rank(own), rank(&module)) {
                (Some(own), Some(other)) => other > own,
                _ => false,
            };
            if !allowed {
                findings.push(finding(
                    source,
                    line,
                    &format!("`{own}` imports `{module}`, which is not to its right"),
                ));
            }
        }
    }
    findings
}

/// The vault's rooms, and which of them each may name. What the facade itself passes around is in the file of the whole
/// vault, which is no room.
fn the_vault_has_three_rooms(sources: &[Source]) -> Findings {
    let vault = "daemon/src/vault/";
    let room = |path: &str| match path.strip_prefix(vault).and_then(|inside| inside.split_once('/')) {
        Some(("format", _)) => "format",
        Some(("writer", _)) => "writer",
        _ if path.strip_prefix(vault) == Some("error.rs") => "errors",
        _ => "facade",
    };
    let allowed = |from: &str| match from {
        "format" => ["format", "errors", ""],
        _ => ["format", "errors", "writer"],
    };
    let mut findings = Vec::new();
    for (path, named) in files_named_by(sources) {
        let from = room(&path);
        for other in named.iter().filter(|other| path.starts_with(vault) && other.starts_with(vault)) {
            if from != "facade" && !allowed(from).contains(&room(other)) {
                findings.push(format!("{path} names {other}, which is no room after its own"));
            }
        }
    }
    findings
}

fn the_client_points_right(sources: &[Source]) -> Findings {
    let rank = |module: &str| CLIENT.iter().position(|other| *other == module);
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !["lib", "main", "fuzzing"].contains(&source.module())) {
        let own = source.module();
        for (line, module) in source.crate_modules().into_iter().filter(|(_, module)| module != own) {
            let is_left = rank(&module).is_some_and(|other| rank(own).is_none_or(|own| other <= own));
            if is_left {
                findings.push(finding(
                    source,
                    line,
                    &format!("`{own}` imports `{module}`, which is left of it"),
                ));
            }
        }
    }
    findings
}

fn http_and_json_have_their_places(sources: &[Source]) -> Findings {
    let what = "only http, the router and the server know HTTP, and only the first two JSON bodies";
    let mut findings = only_in(sources, "http_body_util", in_module(&["http", "server"]), what);
    findings.extend(only_in(sources, "hyper", in_module(&["http", "router", "server"]), what));
    findings.extend(only_in(
        sources,
        "hyper_util",
        in_module(&["server"]),
        "only the server runs connections",
    ));
    // The vault and the audit log store sealed JSON; that is an encoding on disk, not a wire type.
    findings.extend(only_in(sources, "serde_json", in_module(&["http", "router", "vault", "audit"]), what));
    for source in sources.iter().filter(|source| source.module() == "auth") {
        for word in ["http::body", "http::fields", "http::parts", "Incoming"] {
            findings.extend(source.lines_with(word).into_iter().map(|line| {
                finding(
                    source,
                    line,
                    &format!("`{word}`: auth sees a request's head and nothing else of HTTP"),
                )
            }));
        }
    }
    findings
}

/// The server gets the service that it hands requests to; nobody to the router's left knows that there is one.
fn nobody_imports_the_router(sources: &[Source]) -> Findings {
    let named = |source: &Source| source.crate_modules().into_iter().filter(|(_, module)| module == "router");
    let others = sources.iter().filter(|source| {
        let module = source.module();
        module != "router" && !ROOTS.contains(&module)
    });
    let what = "knows the router; words of HTTP are in `http`";
    others.flat_map(|source| named(source).map(|(line, _)| finding(source, line, what))).collect()
}

fn one_module_for_each_of_sqlite_and_cryptography(sources: &[Source]) -> Findings {
    let mut findings = only_in(sources, "rusqlite", in_module(&["store"]), "only the store knows SQLite");
    for word in ["ring", "argon2"] {
        findings.extend(only_in(sources, word, in_module(&["crypto"]), "only crypto does cryptography"));
    }
    for source in sources.iter().filter(|source| source.module() == "crypto") {
        for word in ["std::fs", "std::net", "std::io", "std::os", "std::process", "tokio", "rustix", "File"] {
            findings.extend(
                source
                    .lines_with(word)
                    .into_iter()
                    .map(|line| finding(source, line, &format!("`{word}`: crypto does no I/O"))),
            );
        }
        findings.extend(
            source
                .lines_with("store")
                .into_iter()
                .map(|line| finding(source, line, "crypto knows of the store")),
        );
    }
    for source in sources.iter().filter(|source| source.module() == "store") {
        findings.extend(
            source
                .lines_with("crypto")
                .into_iter()
                .map(|line| finding(source, line, "the store knows of crypto")),
        );
    }
    findings
}

fn every_operation_takes_a_caller(sources: &[Source]) -> Findings {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.module() == "vault") {
        for (start, block) in source.blocks("impl Vault {") {
            for (at, _) in block.match_indices("fn ") {
                let line_start = block[..at].rfind('\n').map_or(0, |at| at + 1);
                let visibility = block[line_start..at].trim_start();
                // What stays inside the vault is not an operation, but how the operations reach its thread.
                if !visibility.starts_with("pub") || visibility.starts_with("pub(super)") {
                    continue;
                }
                let signature = &block[at + 3..];
                let signature = &signature[..signature.find(['{', ';']).unwrap_or(signature.len())];
                let name = signature.split(['(', '<']).next().unwrap_or("");
                let parameters: String = signature.chars().filter(|c| !c.is_whitespace()).collect();
                let takes_caller = parameters.contains("(&self,")
                    && parameters.split(',').nth(1).is_some_and(|second| second.contains(":&Caller"));
                if !takes_caller && !LIFE_CYCLE.contains(&name) && name != BEFORE_THE_CALLER {
                    let line = start + block[..at].matches('\n').count();
                    findings.push(finding(
                        source,
                        line,
                        &format!("`Vault::{name}` does not take `&Caller` first"),
                    ));
                }
            }
        }
    }
    for source in sources {
        let compact: String = source.code.chars().filter(|c| !c.is_whitespace()).collect();
        if compact.contains("Option<Caller") || compact.contains("Option<&Caller") {
            findings.push(finding(source, 1, "`Option<Caller>`: there is no operation without a caller"));
        }
    }
    findings
}

/// Rights are given out where a peer has shown what it has: a token, or a unit's control group.
fn callers_are_made_in_few_places(sources: &[Source]) -> Findings {
    let mut findings = Vec::new();
    for (word, module) in
        [("Caller::owner", "auth"), ("Caller::items", "auth"), ("Caller::unit", "systemd_credentials")]
    {
        findings.extend(only_in(
            sources,
            word,
            in_module(&[module, "caller", "fuzzing"]),
            "a caller's rights come from what it has shown",
        ));
    }
    findings
}

/// What arrives on the bus can lock the vault, and do nothing else with it.
fn logind_can_only_lock(sources: &[Source]) -> Findings {
    let mut findings = only_in(sources, "zbus", in_module(&["logind"]), "only logind knows D-Bus");
    for source in sources.iter().filter(|source| source.module() == "logind") {
        for at in source.places("vault") {
            let rest = &source.code[at + "vault".len()..];
            let Some(called) = rest.strip_prefix('.') else { continue };
            let name = called.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            if !BY_LOGIND.contains(&name) && name != "clone" {
                let what = format!("`vault.{name}`: what logind says can lock and nothing else");
                findings.push(finding(source, source.line_at(at), &what));
            }
        }
    }
    findings
}

fn handlers_see_no_socket(sources: &[Source]) -> Findings {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.module() == "handler") {
        for word in [
            "UnixStream",
            "UnixListener",
            "hyper",
            "tokio",
            "http_body_util",
            "serde_json",
            "Peer",
            "StatusCode",
        ] {
            findings.extend(source.lines_with(word).into_iter().map(|line| {
                finding(source, line, &format!("`{word}`: a handler goes from typed request to typed reply"))
            }));
        }
    }
    findings
}

fn rows_are_not_wire_types(sources: &[Source]) -> Findings {
    let what = "wire types live in proto; rows are never serialized";
    let mut findings = Vec::new();
    // A fleet's keys are parts of a row that the vault seals, and of what machines seal to each other.
    let is_sealed_whole = |source: &Source| {
        ["vault", "audit"].contains(&source.module()) || source.path == "daemon/src/crypto/exchange.rs"
    };
    for source in sources.iter().filter(|source| !is_sealed_whole(source)) {
        for at in source.places("derive") {
            let list = &source.code[at..at + source.code[at..].find(']').unwrap_or(0)];
            if list.contains("Serialize") {
                findings.push(finding(source, source.line_at(at), what));
            }
        }
        findings.extend(
            source.lines_with("impl Serialize for").into_iter().map(|line| finding(source, line, what)),
        );
    }
    for source in sources.iter().filter(|source| source.module() == "store") {
        findings.extend(source.lines_with("serde").into_iter().map(|line| finding(source, line, what)));
    }
    findings
}

/// `Zeroizing<String>` prints its content, so that a type around it writes its own `Debug`.
fn secrets_do_not_print_themselves(sources: &[Source]) -> Findings {
    let mut findings = Vec::new();
    for source in sources {
        for at in source.places("derive") {
            let Some(close) = source.code[at..].find(")]") else { continue };
            if !source.code[at..at + close].contains("Debug") {
                continue;
            }
            let item = &source.code[at + close..];
            let end = item.find([';', '{']).unwrap_or(item.len());
            let end = if item[end..].starts_with('{') {
                item[end..].find("\n}").map_or(item.len(), |more| end + more)
            } else {
                end
            };
            if item[..end].contains("Zeroizing<") {
                findings.push(finding(
                    source,
                    source.line_at(at),
                    "derives `Debug` around `Zeroizing`, which prints its content",
                ));
            }
        }
    }
    findings
}

fn the_environment_is_read_once(daemon: &[Source], client: &[Source], shared: &[Source]) -> Findings {
    let words = [
        "env::var",
        "env::var_os",
        "env::vars",
        "env::vars_os",
        "directories",
        "from_default_env",
        "set_var",
        "remove_var",
    ];
    let mut findings = Vec::new();
    for word in words {
        findings.extend(only_in(
            daemon,
            word,
            // What was handed over to this process is no setting, and must be read before stray descriptors are closed.
            |source| {
                source.module() == "config"
                    || ["process", "relaunch"].contains(&source.module()) && word == "env::var"
            },
            "only config reads the environment",
        ));
        findings.extend(only_in(
            client,
            word,
            in_module(&["environment"]),
            "only environment reads the environment",
        ));
        findings.extend(only_in(
            shared,
            word,
            |_| false,
            "the programs read the environment, and say what is in it",
        ));
    }
    findings
}

fn unsafe_code_has_its_places(sources: &[Source]) -> Findings {
    let places = [
        "local/src/descriptors.rs",
        "local/src/foreground.rs",
        "local/src/memory.rs",
        "local/src/mounts.rs",
        "local/src/peer/calls.rs",
        "daemon/src/memory.rs",
        "daemon/src/process.rs",
        "ctl/src/closed.rs",
    ];
    let allowed = |source: &Source| places.contains(&source.path.as_str());
    let what = "unsafe code has its place in memory, calls, descriptors, foreground, process and closed";
    let mut findings = only_in(sources, "unsafe", allowed, what);
    findings.extend(only_in(sources, "allow(unsafe_code", allowed, what));
    // The client asks for it once, without a block.
    let block = |source: &Source| source.path != "ctl/src/closed.rs";
    findings.extend(only_in(sources, "unsafe {", block, "the client has no unsafe block"));
    findings
}

/// As thousands of references the list of words would cost each start of the client more than the reading of its command line.
fn the_list_of_words_is_named_once(sources: &[Source]) -> Findings {
    let place = |source: &Source| source.path == "ctl/src/passphrase.rs";
    only_in(sources, "EFF_LONG_WORDLIST", place, "ask passphrase::word")
}

fn secrets_are_exposed_in_few_places(sources: &[Source]) -> Findings {
    only_in(
        sources,
        "expose",
        |source| MAY_EXPOSE.iter().any(|(path, _)| source.path.starts_with(path)),
        "reads what is inside a secret; give MAY_EXPOSE a reason or find another way",
    )
}

/// Help and version go to standard output, before the daemon is one. The macros that print are clippy's to refuse.
fn the_daemon_prints_nothing(sources: &[Source]) -> Findings {
    only_in(sources, "io::stdout", in_module(&["lib"]), "the daemon logs, and prints nothing")
}

/// A transition takes the old state by value, so that nothing can use it afterwards.
fn transitions_consume_the_old_state(sources: &[Source]) -> Findings {
    [("impl Locked", "fn unlock("), ("impl Unlocked", "fn close(")]
        .into_iter()
        .filter(|(state, transition)| {
            !sources
                .iter()
                .filter(|source| source.module() == "vault")
                .flat_map(|source| source.blocks(state))
                .any(|(_, block)| {
                    block.match_indices(transition).any(|(at, _)| {
                        let receiver = block[at + transition.len()..].trim_start();
                        receiver.starts_with("self") || receiver.starts_with("mut self")
                    })
                })
        })
        .map(|(state, transition)| format!("daemon/src/vault: `{state}` has no `{transition}self, …)`"))
        .collect()
}

fn the_allocator_and_the_process_come_first(sources: &[Source]) -> Findings {
    let Some(root) = sources.iter().find(|source| source.path == "daemon/src/lib.rs") else {
        return vec!["daemon/src/lib.rs is missing".to_owned()];
    };
    let mut findings = Vec::new();
    if root.lines_with("global_allocator").is_empty() {
        findings.push(finding(root, 1, "no wiping global allocator"));
    }
    let first = root.blocks("pub fn main").first().map(|(_, body)| body.trim_start().to_owned());
    if !first.is_some_and(|body| body.lines().next().is_some_and(|line| line.contains("process::"))) {
        findings.push(finding(root, 1, "`main` does not begin with hardening the process"));
    }
    findings
}

#[track_caller]
fn assert_none(invariant: &str, findings: &Findings) {
    assert!(findings.is_empty(), "{invariant}:\n  {}", findings.join("\n  "));
}

/// Seeded code that a check must object to, at this path.
#[track_caller]
fn assert_found(check: impl Fn(&[Source]) -> Findings, path: &str, code: &str) {
    assert!(!check(&[Source::new(path, code)]).is_empty(), "nothing found in {path}: {code}");
}

#[track_caller]
fn assert_clean(check: impl Fn(&[Source]) -> Findings, path: &str, code: &str) {
    assert_none("seeded good code", &check(&[Source::new(path, code)]));
}

fn daemon() -> Vec<Source> {
    sources("daemon/src")
}

fn client() -> Vec<Source> {
    sources("ctl/src")
}

/// What programs share, other than by talking to each other.
fn shared() -> Vec<Source> {
    ["local/src", "runfiles/src", "scrub/src", "client/src"].into_iter().flat_map(sources).collect()
}

fn everything() -> Vec<Source> {
    [
        "proto/src",
        "local/src",
        "runfiles/src",
        "scrub/src",
        "client/src",
        "daemon/src",
        "ctl/src",
        "broker/src",
    ]
    .into_iter()
    .flat_map(sources)
    .collect()
}

fn one(path: &str) -> Source {
    let text =
        std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Source::new(path, &text)
}

#[test]
fn modules_have_a_place_and_import_only_to_the_right() {
    assert_none("each module has a place", &every_module_has_a_place(&daemon()));
    assert_none("a stage imports only stages to its right", &imports_point_right(&daemon()));

    assert_found(every_module_has_a_place, "daemon/src/util.rs", "");
    assert_clean(every_module_has_a_place, "daemon/src/store/rows.rs", "");
    assert_found(imports_point_right, "daemon/src/store/mod.rs", "use crate::vault::Error;");
    assert_found(imports_point_right, "daemon/src/crypto/mod.rs", "use crate::store::Row;");
    assert_found(imports_point_right, "daemon/src/vault/mod.rs", "use crate::{caller::Caller, router};");
    assert_found(imports_point_right, "daemon/src/permits.rs", "fn f() { crate::vault::x() }");
    assert_found(imports_point_right, "daemon/src/store.rs", "use super::vault;");
    assert_found(imports_point_right, "daemon/src/systemd_credentials/mod.rs", "use crate::server::End;");
    assert_found(
        imports_point_right,
        "daemon/src/vault/unit_grants.rs",
        "use crate::systemd_credentials::Policy;",
    );
    assert_clean(imports_point_right, "daemon/src/vault/mod.rs", "use crate::{caller::Caller, store::Row};");
    assert_clean(imports_point_right, "daemon/src/store/mod.rs", "// crate::vault\nuse crate::permits;");
}

#[test]
fn the_client_imports_only_to_the_right() {
    // The examples in the help are tried on the parser, which is a test.
    let client: Vec<Source> =
        client().into_iter().filter(|source| source.path != "ctl/src/cli/examples.rs").collect();
    assert_none("the client has an order", &the_client_points_right(&client));

    assert_found(the_client_points_right, "ctl/src/command/get.rs", "use crate::cli::Cli;");
    assert_found(the_client_points_right, "ctl/src/session.rs", "use crate::context::Context;");
    assert_found(the_client_points_right, "ctl/src/doctor/vault.rs", "crate::command::status::run()");
    assert_clean(the_client_points_right, "ctl/src/command/get.rs", "use crate::{context, session};");
    assert_clean(the_client_points_right, "ctl/src/cli/groups.rs", "use crate::command::GROUPS;");
}

#[test]
fn the_format_and_the_writer_know_nothing_to_their_left() {
    assert_none("the vault has three rooms", &the_vault_has_three_rooms(&daemon()));

    let with = |path: &str, code: &str| {
        let mut sources = daemon();
        let source = sources.iter_mut().find(|source| source.path == path).unwrap();
        source.code.push_str(code);
        the_vault_has_three_rooms(&sources)
    };
    let format = "daemon/src/vault/format/slots.rs";
    assert!(!with(format, "use crate::vault::writer::command::Command;").is_empty());
    assert!(!with(format, "fn f() { crate::vault::presets::all() }").is_empty());
    assert!(!with("daemon/src/vault/writer/batch/keys.rs", "use crate::vault::KeySources;").is_empty());
    assert_none("seeded good code", &with(format, "use crate::vault::Error as E;"));
}

#[test]
fn http_and_json_bodies_are_known_in_few_places() {
    assert_none("HTTP and JSON bodies have their places", &http_and_json_have_their_places(&daemon()));
    assert_none("nobody imports the router", &nobody_imports_the_router(&daemon()));

    let check = http_and_json_have_their_places;
    assert_found(check, "daemon/src/handler/list.rs", "use serde_json::json;");
    assert_found(check, "daemon/src/server/wire.rs", "use serde_json::json;");
    assert_found(check, "daemon/src/store/mod.rs", "serde_json::to_vec(&row)");
    assert_found(check, "daemon/src/vault/mod.rs", "use hyper::StatusCode;");
    assert_found(check, "daemon/src/auth/mod.rs", "use http_body_util::Full;");
    assert_found(check, "daemon/src/auth/mod.rs", "use crate::http::body::ignore;");
    assert_found(check, "daemon/src/auth.rs", "fn f(body: Incoming)");
    assert_clean(check, "daemon/src/auth.rs", "use crate::http::head::HeadFields;");
    assert_clean(check, "daemon/src/vault/format/record.rs", "serde_json::to_vec(&record)");
    assert_found(nobody_imports_the_router, "daemon/src/auth/mod.rs", "use crate::router::Router;");
    assert_found(nobody_imports_the_router, "daemon/src/http/mod.rs", "use crate::router;");
    assert_found(nobody_imports_the_router, "daemon/src/server/mod.rs", "use crate::router::Router;");
    assert_clean(nobody_imports_the_router, "daemon/src/daemon/set_up.rs", "use crate::router::Api;");
}

#[test]
fn sqlite_and_cryptography_have_one_module_each() {
    assert_none(
        "rusqlite in store, ring in crypto, neither knows the other, crypto does no I/O",
        &one_module_for_each_of_sqlite_and_cryptography(&daemon()),
    );

    let check = one_module_for_each_of_sqlite_and_cryptography;
    assert_found(check, "daemon/src/vault/mod.rs", "use rusqlite::Connection;");
    assert_found(check, "daemon/src/auth.rs", "let d = ring::digest::digest(x);");
    assert_found(check, "daemon/src/vault/mod.rs", "use argon2::Argon2;");
    assert_found(check, "daemon/src/crypto/slot.rs", "std::fs::read(path)");
    assert_found(check, "daemon/src/crypto/slot.rs", "use std::fs::File;");
    assert_found(check, "daemon/src/store/mod.rs", "use crate::crypto::seal;");
    assert_clean(check, "daemon/src/crypto/mod.rs", "use ring::aead; fn string() {}");
}

#[test]
fn every_vault_operation_takes_a_caller() {
    assert_none("check, act and audit happen behind a Caller", &every_operation_takes_a_caller(&daemon()));
    let operations: usize = ["daemon/src/vault/secrets.rs", "daemon/src/vault/vault_ops.rs"]
        .iter()
        .flat_map(|path| {
            one(path)
                .blocks("impl Vault {")
                .iter()
                .map(|(_, block)| block.matches("&Caller").count())
                .collect::<Vec<_>>()
        })
        .sum();
    assert!(operations > 10, "the check looks at {operations} operations: is the facade elsewhere?");

    let check = every_operation_takes_a_caller;
    let path = "daemon/src/vault/mod.rs";
    assert_found(check, path, "impl Vault {\n    pub(crate) async fn lock(&self) {}\n}");
    assert_found(
        check,
        path,
        "impl Vault {\n    pub(crate) fn secret(&self, id: Uuid, caller: &Caller) {}\n}",
    );
    assert_found(check, path, "impl Vault {\n    pub fn secret(&self, caller: Option<&Caller>) {}\n}");
    assert_found(check, "daemon/src/router.rs", "struct Request { caller: Option<Caller> }");
    assert_clean(
        check,
        path,
        "impl Vault {\n    pub(crate) fn start(s: Settings) {}\n    pub(crate) async fn list(\n        &self,\n        _caller: &Caller,\n    ) {}\n    fn inner(&self) {}\n}",
    );
}

#[test]
fn only_auth_and_credentials_make_callers_of_peers() {
    let check = callers_are_made_in_few_places;
    assert_none("callers are made where peers are identified", &check(&daemon()));

    assert_found(check, "daemon/src/router/mod.rs", "let caller = Caller::owner(peer);");
    assert_found(check, "daemon/src/router/items.rs", "let caller = Caller::items(peer);");
    assert_found(check, "daemon/src/server/mod.rs", "Caller::unit(peer, &process, None)");
    assert_clean(check, "daemon/src/systemd_credentials/mod.rs", "Caller::unit(peer, &process, None)");
}

#[test]
fn what_arrives_on_the_bus_can_only_lock() {
    assert_none("logind locks and does nothing else", &logind_can_only_lock(&daemon()));

    assert_found(logind_can_only_lock, "daemon/src/logind/mod.rs", "self.vault.unlock(&caller, key)");
    assert_found(logind_can_only_lock, "daemon/src/server/mod.rs", "use zbus::Connection;");
    assert_clean(logind_can_only_lock, "daemon/src/logind/mod.rs", "vault.lock_if_open(&caller).await");
    assert_found(imports_point_right, "daemon/src/logind/mod.rs", "use crate::handler::Locked;");
}

#[test]
fn handlers_are_plain_functions() {
    assert_none("handlers see no socket", &handlers_see_no_socket(&daemon()));

    assert_found(handlers_see_no_socket, "daemon/src/handler/list.rs", "fn f(stream: UnixStream)");
    assert_found(handlers_see_no_socket, "daemon/src/handler.rs", "use hyper::Request;");
    assert_clean(handlers_see_no_socket, "daemon/src/handler.rs", "use secrets_proto::vault::VaultStatus;");
}

#[test]
fn rows_are_never_serialized() {
    assert_none("wire types live in proto", &rows_are_not_wire_types(&daemon()));

    assert_found(
        rows_are_not_wire_types,
        "daemon/src/store/rows.rs",
        "#[derive(Debug, serde::Serialize)] struct Row;",
    );
    assert_found(rows_are_not_wire_types, "daemon/src/router/reply.rs", "#[derive(Serialize)] struct Reply;");
    assert_clean(
        rows_are_not_wire_types,
        "daemon/src/vault/format/record.rs",
        "#[derive(Serialize)] struct Record;",
    );
}

#[test]
fn secrets_stay_inside_their_types() {
    assert_none("no derived Debug around a secret", &secrets_do_not_print_themselves(&everything()));
    assert_none("secrets are exposed in few places", &secrets_are_exposed_in_few_places(&everything()));

    let check = secrets_do_not_print_themselves;
    assert_found(check, "a.rs", "#[derive(Clone, Debug)]\npub struct S(Zeroizing<String>);");
    assert_found(check, "a.rs", "#[derive(Debug)]\nstruct S {\n    a: u8,\n    b: Zeroizing<Vec<u8>>,\n}");
    assert_clean(
        check,
        "a.rs",
        "#[derive(Clone)]\nstruct S(Zeroizing<String>);\n#[derive(Debug)]\nstruct T(S);",
    );
    assert_found(secrets_are_exposed_in_few_places, "daemon/src/server.rs", "value.expose()");
    assert_found(secrets_are_exposed_in_few_places, "daemon/src/handler.rs", "SensitiveString::expose");
    assert_clean(secrets_are_exposed_in_few_places, "daemon/src/server.rs", "fn exposed() {}");
}

#[test]
fn settings_are_read_once() {
    assert_none(
        "the environment is read in one place a program",
        &the_environment_is_read_once(&daemon(), &client(), &shared()),
    );

    let check = |sources: &[Source]| the_environment_is_read_once(sources, sources, &[]);
    assert_found(check, "daemon/src/listener.rs", "std::env::var(name)");
    assert_found(check, "ctl/src/session.rs", "use directories::BaseDirs;");
    assert_clean(
        |sources| the_environment_is_read_once(sources, &[], &[]),
        "daemon/src/config.rs",
        "env::var_os(name)",
    );
    assert_clean(check, "daemon/src/listener.rs", "let environment = vars;");
    assert_found(
        |sources| the_environment_is_read_once(&[], &[], sources),
        "local/src/places.rs",
        "std::env::var_os(name)",
    );
}

#[test]
fn unsafe_code_is_in_few_modules() {
    assert_none("unsafe code has its place", &unsafe_code_has_its_places(&everything()));

    assert_found(unsafe_code_has_its_places, "daemon/src/store/mod.rs", "unsafe { x() }");
    assert_found(unsafe_code_has_its_places, "ctl/src/lib.rs", "#![allow(unsafe_code, reason = \"\")]");
    assert_found(unsafe_code_has_its_places, "ctl/src/closed.rs", "unsafe { x() }");
    assert_clean(unsafe_code_has_its_places, "ctl/src/closed.rs", "#[unsafe(link_section = \"\")]");
    assert_found(unsafe_code_has_its_places, "local/src/files.rs", "unsafe { x() }");
    assert_clean(unsafe_code_has_its_places, "daemon/src/memory.rs", "unsafe { x() }");
    assert_clean(unsafe_code_has_its_places, "local/src/memory.rs", "unsafe { x() }");
    assert_clean(unsafe_code_has_its_places, "proto/src/lib.rs", "#![forbid(unsafe_code)]");
}

#[test]
fn the_clients_list_of_words_costs_no_start() {
    assert_none("the list of words is named once", &the_list_of_words_is_named_once(&client()));
    let use_it = "use diceware_wordlists::EFF_LONG_WORDLIST;";
    assert_found(the_list_of_words_is_named_once, "ctl/src/command/machine.rs", use_it);
    assert_clean(the_list_of_words_is_named_once, "ctl/src/passphrase.rs", use_it);
}

#[test]
fn the_daemon_has_no_output_but_its_log() {
    assert_none("the daemon prints nothing", &the_daemon_prints_nothing(&daemon()));

    assert_found(the_daemon_prints_nothing, "daemon/src/router/mod.rs", "io::stdout()");
}

#[test]
fn locked_and_unlocked_are_types() {
    assert_none("a transition consumes the old state", &transitions_consume_the_old_state(&daemon()));

    let check = transitions_consume_the_old_state;
    let path = "daemon/src/vault/state.rs";
    assert_found(check, path, "impl Locked { fn unlock(&mut self) {} }\nimpl Unlocked { fn close(self) {} }");
    assert_found(check, path, "struct State { unlocked: bool }");
    assert_clean(
        check,
        path,
        "impl Locked { fn unlock(self, k: K) {} }\nimpl Unlocked { fn close(mut self) {} }",
    );
}

#[test]
fn hardening_comes_before_anything_else() {
    assert_none("the process is hardened first", &the_allocator_and_the_process_come_first(&daemon()));

    let check = the_allocator_and_the_process_come_first;
    let path = "daemon/src/lib.rs";
    assert_found(check, path, "pub fn main() { process::harden(); }");
    assert_found(
        check,
        path,
        "#[global_allocator]\nstatic A: X = X;\npub fn main() {\n    let c = config();\n    process::harden();\n}",
    );
    assert_clean(
        check,
        path,
        "#[global_allocator]\nstatic A: X = X;\npub fn main() {\n    if let Err(e) = process::harden() {\n    }\n}",
    );
}
