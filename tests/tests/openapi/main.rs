//! The API's description: written from the routes and the wire types, committed, served, and true.

mod document;
mod errors;
mod operations;
mod schemathesis;

use std::fs;

use secretsd_tests::http::Request;
use secretsd_tests::source::repository;
use secretsd_tests::{Answer, Env, programs};
use serde::Serialize;
use serde_json::Value;

fn written() -> String {
    let document = document::document(secretsd::routes(), operations::operations());
    let document = document.unwrap_or_else(|error| panic!("{error}"));
    let mut bytes = Vec::new();
    // One space: for people to compare, and not too large to be part of the daemon.
    let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
    document.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, format)).unwrap();
    bytes.push(b'\n');
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_committed_description_is_the_one_that_the_sources_give() {
    let path = repository().join("daemon/openapi.json");
    let written = written();
    if std::env::var_os("RENEW").is_some_and(|renew| renew == "1") {
        fs::write(&path, &written).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    let differs = committed.lines().zip(written.lines()).position(|(a, b)| a != b);
    assert!(
        committed == written,
        "daemon/openapi.json is not up to date (first at line {}); run `make openapi` and look at what changed",
        differs.map_or(committed.lines().count().min(written.lines().count()) + 1, |line| line + 1)
    );
}

#[test]
fn a_route_that_is_not_described_is_found_and_a_description_without_a_route_too() {
    let mut fewer = operations::operations();
    let removed = fewer.remove(3);
    let error = document::document(secretsd::routes(), fewer).unwrap_err();
    assert!(error.contains(removed.operation), "{error}");
    let mut more = operations::operations();
    more.push(document::op("nothing", "Does nothing"));
    let error = document::document(secretsd::routes(), more).unwrap_err();
    assert!(error.contains("nothing"), "{error}");
}

/// Every `$ref` leads somewhere.
#[test]
fn references_lead_somewhere() {
    fn follow(whole: &Value, part: &Value) {
        match part {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let place = reference.strip_prefix('#').and_then(|pointer| whole.pointer(pointer));
                    assert!(place.is_some(), "{reference}");
                }
                members.values().for_each(|member| follow(whole, member));
            }
            Value::Array(items) => items.iter().for_each(|item| follow(whole, item)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(&written()).unwrap();
    follow(&document, &document);
}

#[test]
fn the_description_is_served_to_anybody_and_not_twice() {
    let env = Env::started(programs!());
    let answer = env.anonymous("GET", "/openapi.json").send();
    let document = answer.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(document == serde_json::from_str::<Value>(&written()).unwrap(), "another description is served");
    let tag = answer.header("etag").unwrap();
    let ask = |tag: &str| -> Answer {
        Request::new(&env.socket(), "GET", "/api/v1/openapi.json").header("If-None-Match", tag).send()
    };
    let again = ask(tag);
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)));
    assert_eq!(ask("\"other\"").status, 200);
}
