//! What docs/design/broker.md promises of the broker.

use secretsd_tests::source::{Source, sources};

use super::{Findings, assert_clean, assert_found, assert_none, finding, in_module, one, only_in};

/// The way of a request, left to right; modules of one rank do not know each other.
const STAGES: [(&str, u8); 12] = [
    ("check", 0),
    ("session", 0),
    ("control", 1),
    ("ready", 1),
    ("accept", 2),
    ("tunnel", 3),
    ("forward", 4),
    ("answer", 5),
    ("inspect", 6),
    ("decide", 6),
    ("place", 6),
    ("upstream", 6),
];

/// What every stage may import. They import each other alone.
const LEAVES: [&str; 18] = [
    "address",
    "authorities",
    "bodies",
    "body",
    "certificate",
    "coding",
    "denial",
    "environment",
    "field",
    "grants",
    "learn",
    "placeholders",
    "random",
    "sigv4",
    "sought",
    "step",
    "stream",
    "websocket",
];

fn broker() -> Vec<Source> {
    sources("broker/src")
}

fn imports_point_right(sources: &[Source]) -> Findings {
    let rank = |module: &str| STAGES.iter().find(|(stage, _)| *stage == module).map(|(_, rank)| *rank);
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !["fuzzing", "lib", "main"].contains(&source.module())) {
        let own = source.module();
        if rank(own).is_none() && !LEAVES.contains(&own) {
            let what = "a module without a place: add it to STAGES or LEAVES, and to docs/design/broker.md";
            findings.push(finding(source, 1, what));
        }
        for (line, module) in source.crate_modules() {
            let is_right = rank(own).zip(rank(&module)).is_some_and(|(own, other)| other > own);
            if module != own && !is_right && !LEAVES.contains(&module.as_str()) {
                let what = format!("`{own}` imports `{module}`, which is not to its right");
                findings.push(finding(source, line, &what));
            }
        }
    }
    findings
}

fn tls_has_two_places(sources: &[Source]) -> Findings {
    let at_the_ends = "only `tunnel` and `upstream` hold connections with TLS";
    let mut findings = only_in(sources, "tokio_rustls", in_module(&["tunnel", "upstream"]), at_the_ends);
    for word in ["tokio_rustls::server", "ServerConfig", "LazyConfigAcceptor"] {
        let where_it_is = in_module(&["tunnel", "certificate"]);
        findings.extend(only_in(sources, word, where_it_is, "only `tunnel` serves TLS"));
    }
    for word in ["TlsConnector", "ClientConfig"] {
        findings.extend(only_in(sources, word, in_module(&["upstream"]), at_the_ends));
    }
    let with_its_files = ["tunnel", "upstream", "certificate", "authorities"];
    let what = "TLS is known to `tunnel` and `upstream`, and its certificates to two more";
    findings.extend(only_in(sources, "rustls", in_module(&with_its_files), what));
    for source in sources.iter().filter(|source| source.module() == "authorities") {
        let places = source.places("rustls").into_iter();
        let others = places.filter(|at| !source.code[*at..].starts_with("rustls::pki_types"));
        findings
            .extend(others.map(|at| finding(source, source.line_at(at), "more than a certificate's bytes")));
    }
    findings.extend(only_in(sources, "rcgen", in_module(&["certificate"]), "one place makes certificates"));
    findings
}

fn values_have_their_places(sources: &[Source]) -> Findings {
    let what =
        "`forward` takes values to `place` and `sought`, and `body` looks for them; nothing else sees one";
    let mut findings = only_in(sources, "expose", in_module(&["forward"]), what);
    findings.extend(only_in(sources, "SecretValue", in_module(&["forward", "place"]), what));
    findings.extend(only_in(sources, "Zeroizing", in_module(&["forward", "place", "sought"]), what));
    // Placeholders are looked for in the same way.
    let who_look = ["forward", "sought", "body", "grants", "placeholders", "websocket"];
    findings.extend(only_in(sources, "secrets_scrub", in_module(&who_look), what));
    // Neither knows where values come from, or go to.
    for source in sources.iter().filter(|source| ["place", "body", "sought"].contains(&source.module())) {
        for word in ["tokio::net", "tracing", "TakeReply"] {
            let lines = source.lines_with(word).into_iter();
            findings.extend(lines.map(|line| finding(source, line, &format!("`{word}` beside a value"))));
        }
    }
    findings
}

fn the_daemon_is_asked_in_one_place(sources: &[Source]) -> Findings {
    let what = "only `decide` speaks to the daemon";
    let mut findings = only_in(sources, "secrets_client", in_module(&["decide"]), what);
    // Those of the launcher and of programs, which come to us.
    findings.extend(only_in(sources, "UnixStream", in_module(&["session", "control", "stream"]), what));
    findings.extend(only_in(sources, "UnixStream::connect", |_| false, what));
    findings.extend(only_in(sources, "TakeReply", in_module(&["decide"]), what));
    findings
}

fn the_network_has_one_place(sources: &[Source]) -> Findings {
    let what = "only `upstream` connects to the network";
    let mut findings = Vec::new();
    for word in ["TcpStream::connect", "TcpStream::connect_timeout"] {
        // It tries the loopback, where it has no session.
        findings.extend(only_in(sources, word, in_module(&["upstream", "check"]), what));
    }
    for word in ["TcpSocket", "lookup_host", "ToSocketAddrs", "hyper_util::client"] {
        findings.extend(only_in(sources, word, in_module(&["upstream"]), what));
    }
    for word in ["UdpSocket", "net::socket(", "net::connect("] {
        findings.extend(only_in(sources, word, |_| false, what));
    }
    // Who has the other end of a connection is a question to the kernel.
    findings.extend(only_in(sources, "socket_with", in_module(&["accept"]), what));
    let chosen = "where to listen is handed over, never chosen";
    for word in ["bind", "net::listen(", "UnixListener::bind"] {
        findings.extend(only_in(sources, word, in_module(&["check"]), chosen));
    }
    findings.extend(only_in(sources, "UnixListener", in_module(&["session", "control"]), chosen));
    findings
}

fn files_are_written_in_one_place(sources: &[Source]) -> Findings {
    let what = "only `environment` writes files, and only certificates";
    let mut findings = only_in(sources, "RunFiles", in_module(&["environment"]), what);
    for word in
        ["fs::write", "File::create", "OpenOptions", "create_dir", "fs::rename", "rustix::fs", "tokio::fs"]
    {
        findings.extend(only_in(sources, word, |_| false, what));
    }
    findings.extend(only_in(sources, "fs", in_module(&["session", "authorities"]), what));
    findings.extend(only_in(sources, "Command", |_| false, "the broker starts no program"));
    findings
}

fn the_environment_is_read_at_the_ends(sources: &[Source]) -> Findings {
    let mut findings = Vec::new();
    for word in ["env::var", "env::vars", "env::vars_os", "env::args", "set_var"] {
        findings.extend(only_in(sources, word, |_| false, "a session is known by its first message"));
    }
    let what_is_read = "what the machine trusts, and how much is logged";
    findings.extend(only_in(sources, "env::var_os", in_module(&["authorities", "session"]), what_is_read));
    findings.extend(only_in(
        sources,
        "args_os",
        in_module(&["lib"]),
        "a session is known by its first message",
    ));
    findings.extend(only_in(sources, "from_env", in_module(&["upstream"]), "a proxy before the hosts"));
    findings.extend(only_in(
        sources,
        "io::stdout",
        in_module(&["check"]),
        "a session logs, and prints nothing",
    ));
    findings
}

fn hardening_comes_first(sources: &[Source]) -> Findings {
    let mut findings = Vec::new();
    let of = |path: &str| sources.iter().find(|source| source.path == path);
    if of("broker/src/lib.rs").is_none_or(|source| source.lines_with("global_allocator").is_empty()) {
        findings.push("broker/src/lib.rs has no wiping global allocator".to_owned());
    }
    for function in ["pub(crate) fn main", "fn run("] {
        let body = of("broker/src/session.rs")
            .and_then(|source| source.blocks(function).first().map(|(_, body)| body.trim_start().to_owned()));
        if !body.is_some_and(|body| body.starts_with("hardening::")) {
            findings.push(format!(
                "broker/src/session.rs: `{function}` does not begin with hardening the process"
            ));
        }
    }
    findings
}

#[test]
fn the_brokers_modules_import_only_to_the_right() {
    assert_none("a stage imports only stages to its right", &imports_point_right(&broker()));

    let check = imports_point_right;
    assert_found(check, "broker/src/util.rs", "");
    assert_found(check, "broker/src/place.rs", "use crate::forward::Forwarder;");
    assert_found(check, "broker/src/place.rs", "use crate::decide::Daemon;");
    assert_found(check, "broker/src/upstream.rs", "crate::place::put(head)");
    assert_found(check, "broker/src/denial.rs", "use crate::inspect;");
    assert_clean(check, "broker/src/forward.rs", "use crate::{body::Body, place, upstream::Upstream};");
}

#[test]
fn the_broker_speaks_tls_in_two_places() {
    assert_none("TLS is in tunnel and upstream", &tls_has_two_places(&broker()));

    let check = tls_has_two_places;
    assert_found(check, "broker/src/forward.rs", "use rustls::ClientConnection;");
    assert_found(check, "broker/src/forward.rs", "use tokio_rustls::TlsConnector;");
    assert_found(check, "broker/src/tunnel.rs", "use tokio_rustls::TlsConnector;");
    assert_found(check, "broker/src/upstream.rs", "use tokio_rustls::server::TlsStream;");
    assert_found(check, "broker/src/certificate.rs", "rustls::ClientConfig::builder()");
    assert_found(check, "broker/src/authorities.rs", "use rustls::ServerConfig;");
    assert_found(check, "broker/src/session.rs", "use rcgen::KeyPair;");
    assert_clean(check, "broker/src/authorities.rs", "use rustls::pki_types::CertificateDer;");
}

#[test]
fn the_broker_sees_values_in_few_places() {
    assert_none("values are in forward, place, sought and body", &values_have_their_places(&broker()));

    let check = values_have_their_places;
    assert_found(check, "broker/src/decide.rs", "reply.value.expose()");
    assert_found(check, "broker/src/place.rs", "value.expose()");
    assert_found(check, "broker/src/upstream.rs", "use secrets_proto::SecretValue;");
    assert_found(check, "broker/src/tunnel.rs", "use secrets_scrub::Forms;");
    assert_found(check, "broker/src/place.rs", "tracing::debug!(value)");
    assert_found(check, "broker/src/body.rs", "use tokio::net::TcpStream;");
    assert_clean(check, "broker/src/forward.rs", "place::put(head, reply.value.expose())");
}

#[test]
fn the_broker_asks_the_daemon_in_one_place() {
    assert_none("only decide asks the daemon", &the_daemon_is_asked_in_one_place(&broker()));
    assert!(!one("broker/src/decide.rs").lines_with("secrets_client").is_empty());

    let check = the_daemon_is_asked_in_one_place;
    assert_found(check, "broker/src/forward.rs", "use secrets_client::Client;");
    assert_found(check, "broker/src/accept.rs", "use tokio::net::UnixStream;");
    assert_found(check, "broker/src/session.rs", "UnixStream::connect(path)");
    assert_clean(check, "broker/src/session.rs", "UnixStream::from(input)");
}

#[test]
fn the_broker_connects_to_the_network_in_one_place() {
    assert_none("only upstream connects", &the_network_has_one_place(&broker()));
    assert!(!one("broker/src/upstream.rs").lines_with("hyper_util::client").is_empty());

    let check = the_network_has_one_place;
    assert_found(check, "broker/src/tunnel.rs", "TcpStream::connect(host).await");
    assert_found(check, "broker/src/grants.rs", "tokio::net::lookup_host(name)");
    assert_found(check, "broker/src/decide.rs", "use hyper_util::client::legacy::Client;");
    assert_found(check, "broker/src/upstream.rs", "rustix::net::socket(family, kind, None)");
    assert_found(check, "broker/src/accept.rs", "TcpListener::bind(address)");
    assert_found(check, "broker/src/control.rs", "UnixListener::bind(path)");
    assert_found(check, "broker/src/tunnel.rs", "use tokio::net::UnixListener;");
    assert_clean(check, "broker/src/tunnel.rs", "use tokio::net::TcpStream;");
}

#[test]
fn the_broker_writes_files_in_one_place() {
    assert_none("only environment writes files", &files_are_written_in_one_place(&broker()));
    assert!(!one("broker/src/environment.rs").lines_with("RunFiles").is_empty());

    let check = files_are_written_in_one_place;
    assert_found(check, "broker/src/session.rs", "std::fs::write(path, pem)");
    assert_found(check, "broker/src/certificate.rs", "use std::fs;");
    assert_found(check, "broker/src/tunnel.rs", "RunFiles::create(runtime)");
    assert_found(check, "broker/src/session.rs", "use std::process::Command;");
    assert_clean(check, "broker/src/session.rs", "std::fs::File::open(path)");
}

#[test]
fn the_broker_is_told_by_its_first_message_alone() {
    assert_none("the environment is read at the ends", &the_environment_is_read_at_the_ends(&broker()));

    let check = the_environment_is_read_at_the_ends;
    assert_found(check, "broker/src/session.rs", "std::env::var(name)");
    assert_found(check, "broker/src/session.rs", "std::env::args()");
    assert_found(check, "broker/src/forward.rs", "Matcher::from_env()");
    assert_found(check, "broker/src/session.rs", "io::stdout()");
    assert_found(check, "broker/src/decide.rs", "std::env::var_os(name)");
    assert_clean(check, "broker/src/session.rs", "std::env::var_os(name)");
}

#[test]
fn the_broker_hardens_itself_first() {
    assert_none("the broker is hardened first", &hardening_comes_first(&broker()));

    let check = |main: &str, run: &str| {
        let session = format!("pub(crate) fn main() {{ {main} }}\nfn run() {{ {run} }}");
        let allocator = "#[global_allocator]\nstatic A: X = X;";
        hardening_comes_first(&[
            Source::new("broker/src/lib.rs", allocator),
            Source::new("broker/src/session.rs", &session),
        ])
    };
    assert_none("seeded good code", &check("hardening::a();", "hardening::b()?;"));
    assert!(!check("log(); hardening::a();", "hardening::b()?;").is_empty());
    assert!(!check("hardening::a();", "receive()?; hardening::b()?;").is_empty());
}
