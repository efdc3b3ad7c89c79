//! Clients for Python.

use std::process::Command;

use hyper::Response;
use secretsd_tests::process;
use secretsd_tests::source::repository;
use serde_json::json;

use crate::client::{SAID, bore, file, installed, run_with, says, world};
use crate::world::{VALUE, World};

/// A world with this site, and Python with the packages.
fn ready(test: &str, site: &str) -> Option<(World, String)> {
    let python = installed(test, "python/bin/python")?;
    Some((world(test, &[site])?, python))
}

/// The first lines of what is asked by a word of code.
const HEADERS: &str =
    "import os, sys; headers = {'Authorization': 'Bearer ' + os.environ['KEY']}; url = sys.argv[1]";

/// Has this code ask for the URL of an echo, twice at least.
#[track_caller]
fn echoes(test: &str, code: &str) {
    let Some((world, python)) = ready(test, "bearer") else { return };
    let code = format!("{HEADERS}\n{code}");
    says(&world, &[], &[&python, "-c", &code, &world.url("/v1/echo")], "200 {\"body\":");
    bore(&world, 1);
}

#[test]
fn openai() {
    let Some((world, python)) = ready("python::openai", "bearer") else { return };
    let program = file("ask_openai.py");
    let answer = format!("whole: {SAID}\nstream: {SAID}\n");
    says(&world, &[], &[&python, program.to_str().unwrap(), &world.url("/v1")], &answer);
    bore(&world, 2);
}

#[test]
fn anthropic() {
    let Some((world, python)) = ready("python::anthropic", "bearer") else { return };
    let program = file("ask_anthropic.py");
    let answer = format!("whole: {SAID}\nstream: {SAID}\n");
    says(&world, &[], &[&python, program.to_str().unwrap(), &world.url("")], &answer);
    bore(&world, 2);
}

#[test]
fn requests() {
    let code = "import requests; answer = requests.get(url, headers=headers); print(answer.status_code, answer.text)";
    echoes("python::requests", code);
}

#[test]
fn httpx() {
    let code = "
import httpx
answer = httpx.get(url, headers=headers)
print(answer.status_code, answer.text)
with httpx.Client(http2=True) as client:
    answer = client.get(url, headers=headers)
    assert answer.http_version == 'HTTP/2', answer.http_version
    print(answer.status_code, answer.text)";
    echoes("python::httpx", code);
}

#[test]
fn aiohttp_with_trust_env() {
    let Some((world, python)) = ready("python::aiohttp_with_trust_env", "bearer") else { return };
    let program = file("ask_aiohttp.py");
    says(&world, &[], &[&python, program.to_str().unwrap(), &world.url("/v1/echo")], "200 {\"body\":");
    bore(&world, 1);
}

#[test]
fn urllib() {
    let code = "
import urllib.request
answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers))
print(answer.status, answer.read().decode())";
    echoes("python::urllib", code);
}

#[test]
fn grpcio() {
    let Some((world, python)) = ready("python::grpcio", "bearer") else { return };
    let program = file("ask_grpc.py");
    says(&world, &[], &[&python, program.to_str().unwrap(), &world.host()], "hello");
    bore(&world, 1);
    assert_eq!(world.origin.last().version, "HTTP/2.0");
}

/// The host has botocore itself say how each request must be signed.
#[test]
fn boto3() {
    let test = "python::boto3";
    let Some(python) = installed(test, "python/bin/python") else { return };
    let Some(world) = World::new(test) else { return };
    let keys = [("AWS_ACCESS_KEY_ID", "AKIACANARYKEYID01234"), ("AWS_SECRET_ACCESS_KEY", VALUE)];
    let host = world.host();
    for (name, value) in keys {
        world.env.store(name, value);
        let site = "aws-sigv4:AWS_ACCESS_KEY_ID";
        let rule = ["proxy", "rule", "set", name, "--private", "--host", &host, "--site", site];
        world.env.ctl(rule).expect(0);
    }
    let oracle = repository().join("tests/tests/broker/signed.py");
    let botocore = python.clone();
    world.origin.answer_by(move |seen, _| {
        let asked = json!([{ "line": seen.line, "headers": seen.headers, "body": seen.body, "host": host }]);
        let mut command = Command::new(&botocore);
        command.arg(&oracle).arg("expect").envs(keys);
        let (_, output) = process::run(&mut command, asked.to_string().as_bytes());
        let expected = String::from_utf8(output.stdout).unwrap();
        let is_signed = seen.header("authorization") == Some(expected.trim_end());
        let answer = match seen.line.split_once(' ') {
            _ if !is_signed => "{}",
            Some(("GET", _)) => "<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>",
            Some(("POST", _)) => "{\"TableNames\":[]}",
            _ => "",
        };
        let status = if is_signed { 200 } else { 403 };
        Some(Response::builder().status(status).body(answer.into()).unwrap())
    });
    let program = file("ask_boto3.py");
    let selected = ["-s", "AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY"];
    let output = run_with(&world, &selected, &[], &[&python, program.to_str().unwrap(), &world.url("")]);
    assert_eq!(output.out(), "buckets 0\ntables []\n", "{}", output.err());
    assert_eq!(world.origin.seen().len(), 3);
}
