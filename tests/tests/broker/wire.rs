//! Hosts and programs that say odd things on the wire: the value stays where it is, what is cut short is not taken for
//! whole, and the broker goes on.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use secretsd_tests::harness::skip;
use secretsd_tests::origin::{Odd, Origin};
use secretsd_tests::raw::{End, RawOrigin, Said, fields, frame};

use crate::hostile::{has_python, said};
use crate::session::wait_until;
use crate::world::{HOST, VALUE, World};

/// Kinds of frames, and their flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What the program sees of an answer.
struct Expected {
    /// What is in it.
    has: &'static [&'static str],
    /// What is not, beside the value.
    lacks: &'static [&'static str],
    /// Whether curl takes it for whole.
    is_whole: bool,
}

const fn whole(has: &'static [&'static str]) -> Expected {
    Expected { has, lacks: &[], is_whole: true }
}

const CUT: Expected = Expected { has: &[], lacks: &[], is_whole: false };

/// One answer of a host.
struct Case {
    name: &'static str,
    said: Said,
    expected: Expected,
}

fn case(name: &'static str, said: Said, expected: Expected) -> Case {
    Case { name, said, expected }
}

/// Says an answer of HTTP/1.1 in which `@` stands for the value.
fn open(text: &str) -> Said {
    Said::new(text.replace('@', VALUE), End::Open)
}

fn closed(text: &str) -> Said {
    Said::new(text.replace('@', VALUE), End::Closed)
}

fn cut(text: &str) -> Said {
    Said::new(text.replace('@', VALUE), End::Cut)
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn coded(body: &[u8], length: usize, end: End) -> Said {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
    Said::new([head.as_bytes(), body].concat(), end)
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn of_http_1() -> Vec<Case> {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
    let packed = gzipped(&format!("key={VALUE}"));
    let half = &VALUE[..VALUE.len() / 2];
    let many = "HTTP/1.1 100 Continue\r\n\r\n".repeat(5_000);
    let fields: String = (0..300).map(|number| format!("x-{number}: @\r\n")).collect();
    vec![
        case("a-100", open(&format!("HTTP/1.1 100 @\r\nx-echo: @\r\n\r\n{ok}")), whole(&["fine"])),
        case(
            "a-103",
            open(&format!("HTTP/1.1 103 @\r\nlink: <@>\r\nx-secretsd-denied: -\r\n\r\n{ok}")),
            Expected { has: &["200", "fine"], lacks: &["103", "link:", "x-secretsd-denied"], is_whole: true },
        ),
        case(
            "many-of-them",
            open(&format!("HTTP/1.1 102 @\r\n\r\nHTTP/1.1 199 @\r\nx-@: @\r\n\r\n{ok}")).by(3),
            Expected { has: &["200", "fine"], lacks: &["102", "199"], is_whole: true },
        ),
        case("a-flood-of-100", open(&format!("{many}{ok}")), whole(&["fine"])),
        case(
            "a-100-alone",
            closed("HTTP/1.1 100 @\r\nx-echo: @\r\n\r\n"),
            whole(&["502", "upstream_protocol"]),
        ),
        case("a-101", open("HTTP/1.1 101 @\r\nupgrade: @\r\n\r\n@"), whole(&["502", "upstream_protocol"])),
        case(
            "in-chunk-extensions",
            open(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;@=@\r\nfi\r\n2 ; a=\"@\"\r\nne\r\n0;@\r\n\r\n",
            ),
            whole(&["fi", "ne"]),
        ),
        case(
            "in-trailers-not-announced",
            open(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\nx-echo: @\r\nx-@: @\r\n\r\n",
            ),
            whole(&["fine"]),
        ),
        case(
            "odd-trailers",
            open(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end, connection, content-length, x-secretsd-denied\r\n\r\n4\r\nfine\r\n0\r\nx-end: @\r\nconnection: x-end\r\ncontent-length: 3\r\ntransfer-encoding: x\r\nx-secretsd-denied: -\r\n\r\n",
            ),
            whole(&["fine"]),
        ),
        case(
            "a-length-that-is-not-true",
            open(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
            ),
            whole(&["fine"]),
        ),
        case(
            "two-equal-lengths",
            open("HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\nfine"),
            whole(&["fine"]),
        ),
        case(
            "two-lengths",
            closed("HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nfine@"),
            whole(&["502"]),
        ),
        case("no-length", closed("HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\nfine@"), whole(&["502"])),
        case(
            "chunks-that-are-not-read",
            closed(&format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n{:x}\r\n{half}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                half.len(),
                VALUE.len() - half.len(),
                &VALUE[half.len()..]
            )),
            whole(&["502", "content_coding"]),
        ),
        case(
            "chunks-in-http-1-0",
            closed("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"),
            whole(&["502"]),
        ),
        case("too-short", closed("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfine"), CUT),
        case("too-short-and-cut", cut("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfine @"), CUT),
        case(
            "chunks-without-end",
            closed("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n"),
            CUT,
        ),
        case("a-chunk-cut", cut("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nfine"), CUT),
        case("to-the-end", closed("HTTP/1.1 200 OK\r\n\r\nfine @").by(5), whole(&["fine"])),
        // Somebody on the way may have cut it.
        case("to-the-end-and-cut", cut("HTTP/1.1 200 OK\r\n\r\nfine @"), CUT),
        case("of-http-1-0", closed("HTTP/1.0 200 @\r\nx-echo: @\r\n\r\nfine @"), whole(&["200", "fine"])),
        case(
            "in-the-reason",
            open("HTTP/1.1 401 bad key @\r\ncontent-length: 4\r\n\r\nfine"),
            Expected { has: &["401", "fine"], lacks: &["bad key"], is_whole: true },
        ),
        case("no-http", closed("@ is your key\r\n\r\n"), whole(&["502", "upstream_protocol"])),
        case("nothing", closed(""), whole(&["502", "upstream_protocol"])),
        case("a-head-cut", cut("HTTP/1.1 200 OK\r\nx-echo: @"), whole(&["502", "upstream_protocol"])),
        case(
            "many-fields",
            closed(&format!("HTTP/1.1 200 OK\r\n{fields}content-length: 4\r\n\r\nfine")),
            whole(&["502", "upstream_protocol"]),
        ),
        case(
            "a-long-head",
            closed(&format!(
                "HTTP/1.1 200 OK\r\nx-long: {}@\r\ncontent-length: 4\r\n\r\nfine",
                "x".repeat(200_000)
            )),
            whole(&["502", "upstream_protocol"]),
        ),
        case(
            "a-folded-field",
            closed(&format!(
                "HTTP/1.1 200 OK\r\nx-echo: a\r\n {half}\r\n {}\r\ncontent-length: 4\r\n\r\nfine",
                &VALUE[half.len()..]
            )),
            whole(&["502"]),
        ),
        case(
            "a-null-in-a-field",
            closed("HTTP/1.1 200 OK\r\nx-echo: a\0@\r\ncontent-length: 4\r\n\r\nfine"),
            whole(&["502"]),
        ),
        case(
            "lines-without-a-return",
            closed("HTTP/1.1 200 OK\nx-echo: @\ncontent-length: 4\n\nfine"),
            whole(&["fine"]),
        ),
        case(
            "a-204-with-a-body",
            closed("HTTP/1.1 204 No Content\r\ncontent-length: 44\r\nx-echo: @\r\n\r\n@"),
            whole(&["204"]),
        ),
        case(
            "a-304-with-a-length",
            closed("HTTP/1.1 304 Not Modified\r\ncontent-length: 44\r\netag: \"@\"\r\n\r\n"),
            whole(&["304"]),
        ),
        case(
            "in-a-charset",
            open(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=@\r\nset-cookie: a=@; path=/\r\nset-cookie: b=x@\r\ncontent-length: 4\r\n\r\nfine",
            ),
            whole(&["fine"]),
        ),
        case("packed", coded(&packed, packed.len(), End::Open).by(2), whole(&["key="])),
        case("packed-and-cut", coded(&packed[..packed.len() - 9], packed.len(), End::Cut), CUT),
        case("packed-without-its-end", coded(&packed[..packed.len() - 9], packed.len() - 9, End::Open), CUT),
        case(
            "packed-with-more-behind",
            coded(&[&packed, VALUE.as_bytes()].concat(), packed.len() + VALUE.len(), End::Open),
            CUT,
        ),
        case("packed-twice", coded(&packed.repeat(2), 2 * packed.len(), End::Open), whole(&["key="])),
        case("not-packed-at-all", coded(VALUE.as_bytes(), VALUE.len(), End::Open), CUT),
    ]
}

/// The answers to these requests by curl in this version of HTTP, each with curl's exit status.
fn asked(world: &World, version: &str, urls: &[String]) -> Vec<(String, i32)> {
    let curl = format!(
        "curl -sSi --suppress-connect-headers --max-time 30 {version} -H TE:trailers -H \"Authorization: Bearer $KEY\""
    );
    // What chunks say beside themselves is seen in the raw alone.
    let raw = |url: &str| if url.contains("chunk-extensions") { "--raw" } else { "" };
    let one = |url: &String| format!("{curl} {} '{url}' 2>&1; printf '\\036%s\\036' $?\n", raw(url));
    let each: String = urls.iter().map(one).collect();
    let output = world.run(&["sh", "-c", &each]);
    world.assert_nowhere(&output);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let parts: Vec<&str> = out.split('\u{1e}').collect();
    assert_eq!(parts.len(), 2 * urls.len() + 1, "{out}{}", output.err());
    parts.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].parse().unwrap())).collect()
}

/// What is wrong about an answer.
fn wrong(version: &str, case: &Case, (out, status): &(String, i32)) -> Vec<String> {
    let expected = &case.expected;
    let mut wrong = Vec::new();
    // Not even a part of it.
    if out.contains(&VALUE[VALUE.len() / 2..]) {
        wrong.push("it has the value".to_owned());
    }
    if (*status == 0) != expected.is_whole {
        wrong.push(format!("it is whole: {}", !expected.is_whole));
    }
    wrong.extend(
        expected.has.iter().filter(|part| !out.contains(**part)).map(|part| format!("{part} is missing")),
    );
    wrong.extend(
        expected.lacks.iter().filter(|part| out.contains(**part)).map(|part| format!("{part} is there")),
    );
    wrong.iter().map(|wrong| format!("{} {version}: {wrong}: status {status}: {out}", case.name)).collect()
}

/// Asks for each over both versions of HTTP.
#[track_caller]
fn assert_all(world: &World, host: &str, cases: &[Case]) {
    let urls: Vec<_> = cases.iter().map(|case| format!("https://{host}/v1/{}", case.name)).collect();
    let mut all = Vec::new();
    for version in ["--http1.1", "--http2"] {
        let answers = asked(world, version, &urls);
        all.extend(cases.iter().zip(&answers).flat_map(|(case, answer)| wrong(version, case, answer)));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn odd_answers_over_http_1_hold_no_value_and_are_not_whole_by_mistake() {
    let test = "odd_answers_over_http_1_hold_no_value_and_are_not_whole_by_mistake";
    let Some(world) = World::new(test) else { return };
    let cases = of_http_1();
    let by_name: Vec<_> = cases.iter().map(|case| (case.name, case.said.clone())).collect();
    let origin = RawOrigin::start(world.authority.config(&[HOST], Odd::Not, &["http/1.1"]), move |head| {
        let name = head.split(' ').nth(1).unwrap_or_default().trim_start_matches("/v1/");
        by_name.iter().find(|(known, _)| *known == name).map(|(_, said)| said.clone()).unwrap()
    });
    let host = format!("{HOST}:{}", origin.port);
    world.rule(&["--host", &host]);
    assert_all(&world, &host, &cases);
    let carried = |text: &str| text.contains(&format!("authorization: Bearer {VALUE}"));
    let heard = origin.heard();
    assert!(heard.len() >= 2 * cases.len() && heard.iter().all(|heard| carried(&heard.text)), "{heard:?}");
}

/// Says frames behind the settings that a host begins with.
fn frames(frames: &[Vec<u8>], end: End) -> Said {
    Said::new([frame(SETTINGS, 0, 0, &[]), frames.concat()].concat(), end)
}

fn head(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &fields(&[&[(":status", "200")], more].concat()))
}

fn informational(status: &str) -> Vec<u8> {
    let name = format!("x-{VALUE}");
    frame(HEADERS, END_HEADERS, 1, &fields(&[(":status", status), ("link", VALUE), (&name, "1")]))
}

fn of_http_2() -> Vec<Case> {
    let fine = || frame(DATA, END_STREAM, 1, b"fine");
    let some = || frame(DATA, 0, 1, b"fine ");
    let last = |more: &[(&str, &str)]| frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(more));
    let number = |number: u32| number.to_be_bytes().to_vec();
    // Which stream was the last one, why, and whatever words.
    let go_away = |last: u32, why: u32| {
        frame(GOAWAY, 0, 0, &[number(last), number(why), VALUE.as_bytes().to_vec()].concat())
    };
    let pushed =
        [number(2), fields(&[(":method", "GET"), (":scheme", "https"), (":path", "/"), ("x", VALUE)])];
    vec![
        case(
            "informational",
            frames(&[informational("100"), informational("103"), head(&[]), fine()], End::Closed),
            Expected { has: &["200", "fine"], lacks: &["103", "link:"], is_whole: true },
        ),
        case("a-101", frames(&[informational("101"), fine()], End::Closed), whole(&["502"])),
        case(
            "trailers",
            frames(
                &[
                    head(&[]),
                    some(),
                    last(&[("x-end", VALUE), ("x-secretsd-denied", "-"), ("content-length", "3")]),
                ],
                End::Closed,
            ),
            Expected { has: &["200", "fine"], lacks: &["x-secretsd-denied"], is_whole: true },
        ),
        case("reset", frames(&[head(&[]), some(), frame(RESET, 0, 1, &number(2))], End::Closed), CUT),
        case("words-at-parting", frames(&[go_away(0, 0)], End::Closed), whole(&["502"])),
        case("words-in-anger", frames(&[go_away(0, 11)], End::Cut), whole(&["502"])),
        case("words-in-between", frames(&[head(&[]), some(), go_away(1, 2)], End::Cut), CUT),
        case(
            "words-that-change-nothing",
            frames(&[head(&[]), go_away(1, 0), fine()], End::Closed),
            whole(&["fine"]),
        ),
        case("too-short", frames(&[head(&[("content-length", "100")]), fine()], End::Closed), CUT),
        case("too-long", frames(&[head(&[("content-length", "2")]), fine()], End::Closed), CUT),
        case("cut", frames(&[head(&[]), some()], End::Cut), CUT),
        case(
            "pushed",
            frames(&[frame(PUSH, END_HEADERS, 1, &pushed.concat()), head(&[]), fine()], End::Closed),
            whole(&["502"]),
        ),
        case("of-one-step", frames(&[head(&[("connection", VALUE)]), fine()], End::Closed), whole(&["502"])),
        case(
            "no-status",
            frames(&[frame(HEADERS, 5, 1, &fields(&[("x", VALUE)]))], End::Closed),
            whole(&["502"]),
        ),
        case("another-version", closed("HTTP/1.1 200 @\r\ncontent-length: 4\r\n\r\nfine"), whole(&["502"])),
        case("nothing", closed(""), whole(&["502"])),
    ]
}

#[test]
fn odd_answers_over_http_2_hold_no_value_and_are_not_whole_by_mistake() {
    let test = "odd_answers_over_http_2_hold_no_value_and_are_not_whole_by_mistake";
    let Some(world) = World::new(test) else { return };
    let cases = of_http_2();
    let all: Vec<_> = cases.iter().map(|case| case.said.clone()).collect();
    // Each ends its connection, so that the next one is for the next.
    let origin = RawOrigin::start(world.authority.config(&[HOST], Odd::Not, &["h2"]), move |head| {
        let number: usize = head.trim_start_matches("h2 ").parse().unwrap();
        all[number % all.len()].clone()
    });
    let host = format!("{HOST}:{}", origin.port);
    world.rule(&["--host", &host]);
    assert_all(&world, &host, &cases);
    assert_eq!(origin.heard().len(), 2 * cases.len());
}

#[test]
fn what_a_host_says_unasked_answers_no_request() {
    let Some(world) = World::new("what_a_host_says_unasked_answers_no_request") else { return };
    let origin = RawOrigin::start(world.authority.config(&[HOST], Odd::Not, &["http/1.1"]), |head| {
        let own = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown";
        if head.contains("/more") {
            open(&format!("{own}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"))
        } else {
            open(own)
        }
    });
    let host = format!("{HOST}:{}", origin.port);
    world.rule(&["--host", &host]);
    for header in ["Authorization: Bearer $KEY", "X-None: 1"] {
        let curl =
            format!("curl -sS --http1.1 -H \"{header}\" https://{host}/v1/more https://{host}/v1/next");
        let output = world.run(&["sh", "-c", &format!("for turn in 1 2 3 4 5; do {curl}; done")]);
        assert_eq!(output.out(), "own".repeat(10), "{header}: {}", output.err());
    }
}

#[test]
fn each_version_of_http_on_one_side_meets_each_on_the_other() {
    let test = "each_version_of_http_on_one_side_meets_each_on_the_other";
    let protocols: [&[&str]; 4] = [&["h2"], &["http/1.1"], &[], &["h2", "http/1.1"]];
    let Some(world) = World::new(test) else { return };
    for offered in protocols {
        let origin = Origin::with(&world.authority, &[HOST], Odd::Not, offered);
        let host = format!("{HOST}:{}", origin.port);
        world.rule(&["--host", &host]);
        for version in ["--http1.1", "--http2", "--no-alpn", "--http2-prior-knowledge"] {
            let url = format!("https://{host}/v1/echo");
            let script = format!(
                "printf body | curl -sS {version} -T - -X POST -w ' %{{http_code}}' -H \"Authorization: Bearer $KEY\" {url}"
            );
            let output = world.run(&["sh", "-c", &script]);
            world.assert_nowhere(&output);
            let about = format!("{offered:?} {version}: {}{}", output.out(), output.err());
            assert!(output.out().ends_with(" 200"), "{about}");
            let seen = origin.last();
            assert_eq!(seen.header("authorization"), Some(format!("Bearer {VALUE}").as_str()), "{about}");
            assert_eq!(seen.body, "body", "{about}");
            let is_h2 = offered.contains(&"h2");
            assert_eq!(seen.version, if is_h2 { "HTTP/2.0" } else { "HTTP/1.1" }, "{about}");
        }
    }
    // A WebSocket is of HTTP/1.1 (RFC 6455, section 4.1): a host that speaks HTTP/2 alone has none.
    let origin = Origin::with(&world.authority, &[HOST], Odd::Not, &["h2"]);
    let host = format!("{HOST}:{}", origin.port);
    world.rule(&["--host", &host]);
    let script = format!(
        "curl -sS --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H \"Authorization: Bearer $KEY\" https://{host}/v1/echo"
    );
    let output = world.run(&["sh", "-c", &script]);
    assert!(output.out().contains("\"upstream_tls\""), "{}{}", output.out(), output.err());
    assert!(origin.seen().is_empty());
}

#[test]
fn a_tunnel_to_what_is_no_host_reaches_nobody() {
    let test = "a_tunnel_to_what_is_no_host_reaches_nobody";
    if !has_python() {
        return skip(test, "python3 is not installed");
    }
    let Some(world) = World::new(test) else { return };
    world.rule(&["--host", &world.host()]);
    let (host, port) = (world.host(), world.origin.port);
    let get = format!(
        "GET /v1/echo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer KEY\r\n\r\n"
    );
    let long = "a".repeat(64);
    let longer = format!("{}test", "a.".repeat(150));
    let refused = [
        HOST.to_owned(),
        String::new(),
        "*".to_owned(),
        "/".to_owned(),
        ":443".to_owned(),
        format!("{HOST}:"),
        format!("{HOST}:0"),
        format!("{HOST}:65536"),
        format!("{HOST}:-1"),
        format!("{HOST}:+{port}"),
        format!("{HOST}:{port}:{port}"),
        format!("{HOST}:{port}/v1"),
        format!("https://{HOST}:{port}"),
        format!("me@{HOST}:{port}"),
        format!("me:x@{HOST}:{port}"),
        format!("{HOST} :{port}"),
        format!("{HOST}\t:{port}"),
        format!("%61pi.host.test:{port}"),
        format!("[{HOST}]:{port}"),
        format!("*.host.test:{port}"),
        format!("**:{port}"),
        format!("..{HOST}:{port}"),
        format!("{long}.test:{port}"),
        format!("{longer}:{port}"),
        format!("\u{e4}pi.host.test:{port}"),
        // Addresses, in all forms that the system's own lookup takes for one.
        format!("127.0.0.1:{port}"),
        format!("127.1:{port}"),
        format!("2130706433:{port}"),
        format!("0x7f000001:{port}"),
        format!("0x7f.1:{port}"),
        format!("017700000001:{port}"),
        format!("0:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::]:{port}"),
        format!("::1:{port}"),
        format!("[::1%25lo]:{port}"),
        format!("localhost:{port}"),
        format!("xn--:{port}"),
    ];
    let cases: Vec<_> = refused
        .iter()
        // Once as what it is, and once as if it were the host.
        .flat_map(|connect| [get.replacen(&host, connect, 1), get.clone()].map(|raw| (connect, raw)))
        .map(|(connect, raw)| serde_json::json!({ "connect": connect, "sni": HOST, "raw": raw }))
        .collect();
    // Letting hosts of a name through opens no address.
    for arguments in [&["-s", "KEY"][..], &["-s", "KEY", "--allow", "*.host.test", "--allow", "localhost"]] {
        let answers = said(&world, arguments, &cases);
        for (case, answer) in cases.iter().zip(&answers) {
            assert!(!answer.starts_with("200"), "{}: {answer}", case["connect"]);
            // The program is told something, and not left alone.
            assert!(
                answer != "closed at CONNECT" && !answer.contains("Timeout"),
                "{}: {answer}",
                case["connect"]
            );
        }
    }
    assert!(world.origin.seen().is_empty(), "{:?}", world.origin.seen());

    // As it is meant, in letters of any case; and TLS that shares no protocol ends that connection alone.
    let upper = host.to_uppercase();
    let cases = [
        serde_json::json!({ "connect": upper, "sni": HOST, "raw": get }),
        serde_json::json!({ "connect": host, "sni": HOST, "raw": get, "protocols": ["spdy/3"] }),
        serde_json::json!({ "connect": host, "sni": HOST, "raw": "\u{16}\u{3}\u{1}\u{ff}\u{ff}", "plain": true }),
        serde_json::json!({ "connect": host, "sni": HOST, "raw": get }),
    ];
    let answers = said(&world, &["-s", "KEY"], &cases);
    assert!(answers[0].starts_with("200") && answers[3].starts_with("200"), "{answers:?}");
    assert!(
        answers[1].starts_with("failed") && ["closed", "no HTTP"].contains(&answers[2].as_str()),
        "{answers:?}"
    );
}

#[test]
fn a_body_that_is_cut_is_not_whole_for_the_host_either() {
    let test = "a_body_that_is_cut_is_not_whole_for_the_host_either";
    let Some(world) = World::new(test) else { return };
    let begun = Arc::new(AtomicUsize::new(0));
    let begins = begun.clone();
    let origin = RawOrigin::start(world.authority.config(&[HOST], Odd::Not, &["http/1.1"]), move |head| {
        begins.fetch_add(1, Ordering::SeqCst);
        let early = "HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlarge";
        if head.contains("/early") {
            closed(early).early()
        } else {
            open("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")
        }
    });
    let host = format!("{HOST}:{}", origin.port);
    world.rule(&["--host", &host]);
    let curl = "curl -sS -H \"Authorization: Bearer $KEY\"";
    // An answer that comes before all is said is one. Over HTTP/2 curl 7.88 does not read it then.
    let script = format!(
        "head -c 3000000 /dev/zero | {curl} --http1.1 -H 'Content-Type: x/y' --data-binary @- -w ' %{{http_code}}' https://{host}/v1/early"
    );
    // curl may find that it cannot say the rest before it reads the answer.
    let mut said = (0..20).map(|_| world.run(&["sh", "-c", &script]).out());
    assert!(said.any(|said| said == "large 413"), "curl never got the answer");
    for version in ["--http1.1", "--http2"] {
        for method in ["POST", "GET"] {
            let script = format!("exec {curl} {version} -X {method} -T - https://{host}/v1/cut");
            let (before, heads) = (origin.heard().len(), begun.load(Ordering::SeqCst));
            let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", &script]);
            let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            child.stdin.as_mut().unwrap().write_all(b"some of it").unwrap();
            wait_until("a request", || begun.load(Ordering::SeqCst) > heads);
            // It is all one process, from `unshare` to curl.
            child.kill().unwrap();
            child.wait().unwrap();
            wait_until("what the host has heard", || origin.heard().len() > before);
            let heard = origin.heard().pop().unwrap();
            assert!(!heard.is_whole, "{heard:?}");
        }
        // Who waits until he may say it need not.
        let script = format!("{curl} {version} -H 'Expect: 100-continue' -d body https://{host}/v1/waits");
        let output = world.run(&["sh", "-c", &script]);
        assert_eq!(output.out(), "fine", "{version}: {}", output.err());
        let heard = origin.heard().pop().unwrap().text;
        assert!(heard.ends_with("\r\n\r\nbody") && !heard.to_lowercase().contains("expect"), "{heard}");
    }
}

#[test]
fn trailers_of_a_request_hold_no_value() {
    let test = "trailers_of_a_request_hold_no_value";
    if !has_python() {
        return skip(test, "python3 is not installed");
    }
    let Some(world) = World::new(test) else { return };
    let origin = RawOrigin::start(world.authority.config(&[HOST], Odd::Not, &["http/1.1"]), |_| {
        open("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")
    });
    let host = format!("{HOST}:{}", origin.port);
    world.rule(&["--host", &host]);
    let post = |trailer: &str, trailers: &str| {
        let raw = format!(
            "POST /v1/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer KEY\r\nTransfer-Encoding: chunked\r\nTrailer: {trailer}\r\n\r\n4;KEY=KEY\r\nbody\r\n0;KEY\r\n{trailers}\r\n"
        );
        serde_json::json!({ "connect": host, "sni": HOST, "raw": raw })
    };
    let cases = [
        post("x-end", "x-end: KEY\r\n"),
        post("x-end, authorization, host", "x-end: 1\r\nauthorization: Bearer KEY\r\nhost: evil.test\r\n"),
        post("KEY", "content-length: 3\r\ntransfer-encoding: chunked\r\n"),
    ];
    let answers = said(&world, &["-s", "KEY"], &cases);
    assert!(answers[0].starts_with("200") && answers[1].starts_with("200"), "{answers:?}");
    // That is in the head.
    assert!(answers[2].contains("\"placeholder_repeated\""), "{answers:?}");
    let heard = origin.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    for heard in heard {
        let (head, rest) = heard.text.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.matches(VALUE).count(), 1, "{head}");
        assert!(!rest.contains(VALUE) && rest.starts_with("4\r\nbody\r\n0\r\n"), "{rest}");
        assert!(!rest.contains("evil.test") && !rest.contains("authorization"), "{rest}");
    }
}

#[test]
fn a_part_of_an_answer_is_not_asked_for_with_a_value() {
    let test = "a_part_of_an_answer_is_not_asked_for_with_a_value";
    let Some(world) = World::with(test, &["http/1.1"]) else { return };
    world.rule(&["--host", &world.host()]);
    let curl = |more: &str| format!("curl -sS -H 'If-Range: \"1\"' {more} {}", world.url("/v1/echo"));
    // In two parts, nothing would be found in either.
    let with = curl("-r 0-40 -H \"Authorization: Bearer $KEY\"");
    world.run(&["sh", "-c", &format!("{with}; {}", curl("-r 0-40"))]);
    let seen = world.origin.seen();
    assert_eq!((seen[0].header("range"), seen[0].header("if-range")), (None, None));
    assert_eq!(seen[1].header("range"), Some("bytes=0-40"));
}

#[test]
fn without_tls_no_connection_becomes_something_else() {
    let Some(world) = World::new("without_tls_no_connection_becomes_something_else") else { return };
    world.rule(&["--host", &world.host()]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("{HOST}:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nmore");
        }
    });
    let script = format!("curl -sS --max-time 20 -H 'Connection: Upgrade' -H 'Upgrade: x' http://{host}/");
    let output = world.run_with(&["-s", "KEY", "--allow", &host], &["sh", "-c", &script]);
    assert!(output.out().contains("\"upstream_protocol\""), "{}{}", output.out(), output.err());
}
