//! From end to end: an agent that works in a checkout, with real clients.

use std::fs;
use std::process::Command;

use hyper::Response;
use secretsd_tests::harness::skip;
use secretsd_tests::origin::Seen;
use secretsd_tests::{canary, process};
use serde_json::json;

use crate::place::Place;
use crate::world::{EVIL, VALUE};

/// What the agent runs: it asks its API, which streams, edits and commits, and installs what its project needs.
const AGENT: &str = r#"
set -eu
curl -sSfN "$API/v1/stream" -H "Authorization: Bearer $KEY" >answer
grep -c '^data:' answer
cp answer thing.txt
git add thing.txt
git -c user.name=agent -c user.email=agent@example.com commit -qm 'what the model says'
"$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --no-cache-dir --target python --index-url "$INDEX/simple/" thing
"$PYTHON" -c 'import sys; sys.path.insert(0, "python"); import thing; print("python", thing.NAME)'
npm install --silent --no-audit --no-fund --fetch-retries=0 --cache "$TMPDIR/npm" --registry "$INDEX/" thing
node -e 'console.log("node", require("thing").NAME)'
curl -sS -o refused -w '%{http_code}\n' https://elsewhere.test/ || true
grep -o '"host_not_allowed"' refused
"#;

#[test]
fn an_agent_works_in_its_checkout() {
    let test = "an_agent_works_in_its_checkout";
    let works = |words: &[&str]| {
        Command::new(words[0]).args(&words[1..]).output().is_ok_and(|output| output.status.success())
    };
    if !works(&["npm", "--version"]) || !works(&["/usr/bin/python3", "-m", "pip", "--version"]) {
        return skip(test, "npm or the system's pip is not installed");
    }
    let Some(place) = Place::new(test) else { return };
    let world = &place.world;
    world.origin.answer_by(|seen: &Seen, _| {
        let is_his = seen.header("authorization") == Some(format!("Bearer {VALUE}").as_str());
        let events: String = (0..50).map(|at| format!("data: {{\"token\":{at}}}\n\n")).collect();
        let answer = Response::builder().status(if is_his { 200 } else { 401 });
        Some(answer.header("content-type", "text/event-stream").body(events.into_bytes()).unwrap())
    });
    // Registries of packages, which are let through.
    let index = format!("https://{EVIL}:{}", world.evil.port);
    let (wheel, package) = packages(&place);
    let npm = json!({"name": "thing", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
        "name": "thing", "version": "1.0.0", "dist": {"tarball": format!("{index}/thing.tgz")}}}});
    world.evil.answer_by(move |seen: &Seen, _| {
        let page = "<a href=\"/files/thing-1.0-py3-none-any.whl\">thing-1.0-py3-none-any.whl</a>";
        let (kind, body) = match seen.line.split(' ').nth(1)? {
            "/simple/thing/" => ("text/html", page.as_bytes().to_vec()),
            "/files/thing-1.0-py3-none-any.whl" => ("application/zip", wheel.clone()),
            "/thing" => ("application/json", npm.to_string().into_bytes()),
            "/thing.tgz" => ("application/octet-stream", package.clone()),
            _ => return Some(Response::builder().status(404).body(Vec::new()).unwrap()),
        };
        Some(Response::builder().header("content-type", kind).body(body).unwrap())
    });
    place.git(&["init", "-q"]);
    place.write("package.json", "{\"name\": \"mine\", \"version\": \"1.0.0\"}");
    let allow = format!("{EVIL}:{}", world.evil.port);
    let mut command = place.command(&["--allow", &allow], &["sh", "-c", AGENT]);
    command.envs([("API", world.url("").as_str()), ("INDEX", &index), ("PYTHON", "/usr/bin/python3")]);
    let (pid, output) = process::run(&mut command, b"");
    let output = secretsd_tests::ctl::CtlOutput::of(pid, output);
    assert_eq!(
        (output.out().as_str(), output.code),
        ("50\npython thing\nnode thing\n403\n\"host_not_allowed\"\n", Some(0)),
        "{}",
        output.err()
    );
    world.assert_nowhere(&output);
    assert_eq!(place.git(&["log", "--format=%s"]), "what the model says\n");
    let audit = world.env.ctl(["audit", "--json"]).expect(0);
    assert!(audit.contains("/v1/stream") && audit.contains("host_not_allowed"), "{audit}");
    assert_eq!(canary::find(audit.as_bytes(), VALUE), None);
}

/// A wheel and a package for Node, of one module each.
fn packages(place: &Place) -> (Vec<u8>, Vec<u8>) {
    let env = &place.world.env;
    let code = "
import io, sys, tarfile, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('thing.py', 'NAME = \"thing\"\\n')
    wheel.writestr('thing-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n')
    wheel.writestr('thing-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('thing-1.0.dist-info/RECORD', '')
with tarfile.open(sys.argv[2], 'w:gz') as package:
    for name, text in [('package.json', '{\"name\": \"thing\", \"version\": \"1.0.0\"}'), ('index.js', 'exports.NAME = \"thing\";\\n')]:
        entry = tarfile.TarInfo('package/' + name)
        entry.size = len(text)
        package.addfile(entry, io.BytesIO(text.encode()))";
    let (wheel, package) = (env.path("thing-1.0-py3-none-any.whl"), env.path("thing.tgz"));
    assert!(Command::new("python3").args(["-c", code]).args([&wheel, &package]).status().unwrap().success());
    (fs::read(wheel).unwrap(), fs::read(package).unwrap())
}
