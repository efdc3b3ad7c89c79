//! Programs for the command line.

use crate::client::{bore, carried, has, installed, says, world};
use crate::world::{VALUE, World};

/// The beginning of what the host answers.
const ECHO: &str = "{\"body\":";

/// A world in which the secret is a token, if the machine has this client.
fn ready(test: &str, command: &[&str]) -> Option<World> {
    if has(test, command) { world(test, &["bearer"]) } else { None }
}

#[test]
fn curl() {
    let Some(world) = ready("tools::curl", &["curl", "--version"]) else { return };
    let url = world.url("/v1/echo");
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let form = "-w 'by %{http_version} '";
        let code = format!("curl -sSf {option} {form} -H \"Authorization: Bearer $KEY\" {url}");
        says(&world, &[], &["sh", "-c", &code], &format!("by {version} "));
    }
    bore(&world, 2);
}

#[test]
fn wget() {
    let Some(world) = ready("tools::wget", &["wget", "--version"]) else { return };
    let url = world.url("/v1/echo");
    let code = format!("wget -q -O - --header \"Authorization: Bearer $KEY\" {url}");
    says(&world, &[], &["sh", "-c", &code], ECHO);
    bore(&world, 1);
}

/// A program in Go: its libraries for HTTP and TLS are those of every other.
#[test]
fn gh() {
    let test = "tools::gh";
    let Some(gh) = installed(test, "python/bin/gh") else { return };
    let Some(world) = world(test, &["bearer"]) else { return };
    let code = format!("GH_ENTERPRISE_TOKEN=$KEY GH_HOST={} {gh} api user", world.host());
    says(&world, &[], &["sh", "-c", &code], ECHO);
    for seen in carried(&world, 1) {
        assert_eq!(seen.header("authorization"), Some(format!("token {VALUE}").as_str()));
    }
}
