//! A program uses a value that it never sees: `secretctl proxy run` with the real broker, real clients, and hosts with TLS
//! on the loopback.

mod answers;
mod bodies;
mod connecting;
mod elsewhere;
mod hostile;
mod learning;
mod leases;
mod named;
mod nowhere;
mod session;
mod signatures;
mod upgrades;
mod wire;
mod world;

use world::{VALUE, World};

#[test]
fn a_program_uses_a_value_that_it_never_sees() {
    let Some(world) = World::new("a_program_uses_a_value_that_it_never_sees") else { return };
    world.rule(&["--host", &world.host()]);
    let url = world.url("/v1/echo?a=b");
    let script = format!("echo $KEY; curl -sS -d 'a body' -H \"Authorization: Bearer $KEY\" '{url}'");
    let output = world.run(&["sh", "-c", &script]);
    assert_eq!(output.code, Some(0), "{}", output.err());
    let placeholder = output.out().lines().next().unwrap().to_owned();
    assert!(placeholder.starts_with("sk-proj-ssdph"), "{placeholder}");
    assert!(output.err().contains("placeholders"), "{}", output.err());

    let seen = world.origin.last();
    assert_eq!(seen.line, "POST /v1/echo?a=b");
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {VALUE}").as_str()));
    assert_eq!(seen.body, "a body");
    world.assert_nowhere(&output);
    let log = std::fs::read_to_string(world.env.state_dir().join("secretsd-broker.log")).unwrap();
    assert!(log.contains("TRACE"), "the log does not hold all that can be logged: {log}");

    let audit = world.env.ctl(["audit", "--json"]).expect(0);
    assert!(audit.contains("\"use_begin\"") && audit.contains("\"use_end\""), "{audit}");
    assert!(audit.contains("/v1/echo") && !audit.contains("a=b"), "{audit}");
    let show = world.env.ctl(["show", "KEY"]).expect(0);
    assert!(show.contains("last used"), "{show}");
}

#[test]
fn a_value_stands_at_each_site_over_both_versions_of_http() {
    let Some(world) = World::new("a_value_stands_at_each_site_over_both_versions_of_http") else { return };
    let host = world.host();
    for site in ["bearer", "basic", "header:x-api-key", "query:key"] {
        world.rule(&["--host", &host, "--site", site]);
    }
    let url = world.url("/v1/echo");
    let script = format!(
        "set -e
        for version in --http1.1 --http2; do
            curl -sSf $version -H \"Authorization: Bearer $KEY\" {url}
            curl -sSf $version -u \"me:$KEY\" {url}
            curl -sSf $version -u \"$KEY:\" {url}
            curl -sSf $version -H \"X-Api-Key: $KEY\" {url}
            curl -sSf $version \"{url}?a=b&key=$KEY&c\"
        done"
    );
    let output = world.run(&["sh", "-c", &script]);
    assert_eq!(output.code, Some(0), "{}{}", output.out(), output.err());
    world.assert_nowhere(&output);
    let basic = |text: String| format!("Basic {}", data_encoding::BASE64.encode(text.as_bytes()));
    let seen = world.origin.seen();
    assert_eq!(seen.len(), 10);
    for five in seen.chunks(5) {
        let header = |at: usize, name| five[at].header(name).unwrap_or_default().to_owned();
        assert_eq!(header(0, "authorization"), format!("Bearer {VALUE}"));
        assert_eq!(header(1, "authorization"), basic(format!("me:{VALUE}")));
        assert_eq!(header(2, "authorization"), basic(format!("{VALUE}:")));
        assert_eq!(header(3, "x-api-key"), VALUE);
        assert_eq!(five[4].line, format!("GET /v1/echo?a=b&key={VALUE}&c"));
    }
}

#[test]
fn many_requests_at_a_time_all_have_the_value() {
    let Some(world) = World::new("many_requests_at_a_time_all_have_the_value") else { return };
    world.rule(&["--host", &world.host()]);
    let url = world.url("/v1/echo?[1-200]");
    let script = format!(
        "curl -sS --http1.1 --parallel --parallel-immediate --parallel-max 64 -o /dev/null \
            -w '%{{http_code}}\\n' -H \"Authorization: Bearer $KEY\" '{url}'"
    );
    let output = world.run(&["sh", "-c", &script]);
    let (out, bearer) = (output.out(), format!("Bearer {VALUE}"));
    assert_eq!(out.lines().filter(|code| *code == "200").count(), 200, "{out}{}", output.err());
    let seen = world.origin.seen();
    assert_eq!(seen.iter().filter(|seen| seen.header("authorization") == Some(&bearer)).count(), 200);
    world.assert_nowhere(&output);
}

#[test]
fn a_host_that_speaks_http_1_only_is_reached_from_http_2() {
    let Some(world) = World::with("a_host_that_speaks_http_1_only_is_reached_from_http_2", &["http/1.1"])
    else {
        return;
    };
    world.rule(&["--host", &world.host()]);
    let url = world.url("/v1/echo");
    let script = format!("curl -sSf --http2 -w '%{{http_version}}' -H \"Authorization: Bearer $KEY\" {url}");
    let output = world.run(&["sh", "-c", &script]);
    assert!(output.out().ends_with('2'), "{}{}", output.out(), output.err());
    assert_eq!(world.origin.last().version, "HTTP/1.1");
}

#[test]
fn git_works_through_the_broker() {
    let Some(world) = World::new("git_works_through_the_broker") else { return };
    world.rule(&["--host", &world.host(), "--site", "basic"]);
    let url = world.url("/me/project.git").replace("https://", "https://me:$KEY@");
    // The host is no git server; what counts is that git asks it, with the value.
    let output = world.run(&["sh", "-c", &format!("GIT_TERMINAL_PROMPT=0 git ls-remote {url}")]);
    let seen = world.origin.seen();
    let asked = seen.iter().find(|seen| seen.header("authorization").is_some());
    let asked = asked.unwrap_or_else(|| panic!("git sent no credentials: {}", output.err()));
    let basic = data_encoding::BASE64.encode(format!("me:{VALUE}").as_bytes());
    assert_eq!(asked.header("authorization"), Some(format!("Basic {basic}").as_str()));
    assert!(asked.line.starts_with("GET /me/project.git/info/refs?service=git-upload-pack"));
    world.assert_nowhere(&output);
}

#[test]
fn the_proxy_that_a_session_is_started_with_is_gone_through() {
    let Some(world) = World::new("the_proxy_that_a_session_is_started_with_is_gone_through") else { return };
    world.rule(&["--host", &world.host()]);
    world.env.store("OTHER", "sk-another-value-0123456789");
    world.env.ctl(["proxy", "rule", "set", "OTHER", "--host", "other.test"]).expect(0);
    let client = world.env.programs().client;
    let curl = format!("curl -sS -H \"Authorization: Bearer $KEY\" {}", world.url("/v1/echo"));
    let inner = [client, "proxy", "run", "-s", "KEY", "--", "sh", "-c", &curl];
    // A session around it is such a proxy: one that lets the host through, and one that does not.
    let output = world.run_with(&["-s", "OTHER", "--allow", &world.host()], &inner);
    assert!(output.out().contains("\"line\":\"GET /v1/echo\""), "{}{}", output.out(), output.err());
    assert_eq!(world.origin.last().header("authorization"), Some(format!("Bearer {VALUE}").as_str()));
    world.assert_nowhere(&output);
    let output = world.run_with(&["-s", "OTHER"], &inner);
    assert!(output.out().contains("\"host_not_allowed\""), "{}{}", output.out(), output.err());
    assert_eq!(world.origin.seen().len(), 1);
}
