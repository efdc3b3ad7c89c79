//! Clients for Python.

use crate::client::{SAID, bore, file, installed, says, world};
use crate::world::World;

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
