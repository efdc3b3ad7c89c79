//! Managers of packages, with an index of the test's own that wants a password or a token.

use std::fs;
use std::process::Command;

use hyper::Response;
use secretsd_tests::origin::Seen;
use serde_json::json;

use crate::client::{bore, carried, has, installed, logged_in, says, world};
use crate::world::{VALUE, World};

/// A file of an index: its path, its kind and what is in it.
type File = (&'static str, &'static str, Vec<u8>);

/// Has the host be an index, for those who prove this.
fn serve(world: &World, proof: String, challenge: &'static str, files: Vec<File>) {
    world.origin.answer_by(move |seen: &Seen, _| {
        let answer = Response::builder();
        if seen.header("authorization") != Some(&proof) {
            return Some(answer.status(401).header("www-authenticate", challenge).body(Vec::new()).unwrap());
        }
        let path = seen.line.split(' ').nth(1)?;
        let file = files.iter().find(|(name, ..)| *name == path);
        Some(match file {
            Some((_, kind, bytes)) => answer.header("content-type", *kind).body(bytes.clone()).unwrap(),
            None => answer.status(404).body(Vec::new()).unwrap(),
        })
    });
}

/// A world with an index of one package for Python, `thing`.
pub fn simple_index(test: &str, python: &str) -> Option<World> {
    let world = world(test, &["basic"])?;
    let wheel = world.env.path("thing-1.0-py3-none-any.whl");
    let code = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('thing.py', '')
    wheel.writestr('thing-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n')
    wheel.writestr('thing-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('thing-1.0.dist-info/RECORD', '')";
    assert!(Command::new(python).args(["-c", code]).arg(&wheel).status().unwrap().success());
    let page = b"<a href=\"/files/thing-1.0-py3-none-any.whl\">thing-1.0-py3-none-any.whl</a>".to_vec();
    let files = vec![
        ("/simple/thing/", "text/html", page),
        ("/files/thing-1.0-py3-none-any.whl", "application/zip", fs::read(wheel).unwrap()),
    ];
    let basic = data_encoding::BASE64.encode(format!("me:{VALUE}").as_bytes());
    serve(&world, format!("Basic {basic}"), "Basic realm=\"index\"", files);
    Some(world)
}

#[test]
fn pip() {
    let test = "packages::pip";
    let Some(python) = installed(test, "python/bin/python") else { return };
    let Some(world) = simple_index(test, &python) else { return };
    let code = format!(
        "{python} -m pip download --disable-pip-version-check --no-deps --no-cache-dir -d got --index-url https://me:$KEY@{}/simple/ thing && ls got",
        world.host()
    );
    says(&world, &[], &["sh", "-c", &code], "\nthing-1.0-py3-none-any.whl\n");
    logged_in(&world, "me", 2);
}

#[test]
fn uv() {
    let test = "packages::uv";
    let Some(python) = installed(test, "python/bin/python") else { return };
    let Some(world) = simple_index(test, &python) else { return };
    let code = format!(
        "{python} -m uv pip install --quiet --python {python} --no-cache --target got --index-url https://me:$KEY@{}/simple/ thing && ls got",
        world.host()
    );
    says(&world, &[], &["sh", "-c", &code], "thing.py\n");
    logged_in(&world, "me", 2);
}

#[test]
fn npm() {
    let test = "packages::npm";
    if !has(test, &["npm", "--version"]) {
        return;
    }
    let Some(world) = npm_index(test) else { return };
    says(&world, &[], &["npm", "view", "--fetch-retries=0", "thing", "version"], "1.2.3");
    bore(&world, 1);
}

/// A world with an index of one package for Node, `thing`.
pub fn npm_index(test: &str) -> Option<World> {
    let world = world(test, &["bearer"])?;
    let code = "mkdir package && echo '{\"name\":\"thing\",\"version\":\"1.2.3\"}' >package/package.json && tar -czf thing.tgz package && rm -r package";
    assert!(world.env.command("sh").args(["-c", code]).status().unwrap().success());
    let archive = fs::read(world.env.path("thing.tgz")).unwrap();
    let version = json!({"name": "thing", "version": "1.2.3", "dist": {"tarball": world.url("/thing.tgz")}});
    let thing = json!({"name": "thing", "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3": version}});
    let files = vec![
        ("/thing", "application/json", thing.to_string().into_bytes()),
        ("/thing.tgz", "application/octet-stream", archive),
    ];
    serve(&world, format!("Bearer {VALUE}"), "Bearer", files);
    // Settings of the user's own that would lead elsewhere.
    let settings = format!(
        "registry={}\n//{}/:_authToken=${{KEY}}\nhttps-proxy=http://127.0.0.1:9\nnoproxy=api.host.test\ncafile=/nowhere\n",
        world.url("/"),
        world.host()
    );
    world.env.private_file("home/.npmrc", settings);
    Some(world)
}

#[test]
fn cargo() {
    let test = "packages::cargo";
    // That which runs this test: the shim of a toolchain's installer would look for the toolchain in our home.
    let Some(cargo) = std::env::var("CARGO").ok().filter(|cargo| has(test, &[cargo, "--version"])) else {
        return;
    };
    let Some(world) = world(test, &["header:authorization"]) else { return };
    let config = json!({"dl": world.url("/dl"), "auth-required": true});
    let line = json!({
        "name": "thing", "vers": "1.2.3", "deps": [], "cksum": "0".repeat(64), "features": {}, "yanked": false
    });
    let files = vec![
        ("/index/config.json", "application/json", config.to_string().into_bytes()),
        ("/index/th/in/thing", "text/plain", line.to_string().into_bytes()),
    ];
    serve(&world, VALUE.to_owned(), "Cargo login_url=\"https://api.host.test/\"", files);
    world.env.private_dir("package/src");
    world.env.private_file("package/src/lib.rs", "");
    let manifest = "[package]\nname = \"mine\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\nthing = { version = \"1\", registry = \"test\" }\n";
    world.env.private_file("package/Cargo.toml", manifest);
    let code = format!(
        "cd package && CARGO_REGISTRIES_TEST_TOKEN=$KEY {cargo} generate-lockfile --quiet && grep -A1 '\"thing\"' Cargo.lock"
    );
    let index = format!("sparse+{}", world.url("/index/"));
    let variables = [
        ("CARGO_REGISTRIES_TEST_INDEX", index.as_str()),
        ("CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "cargo:token"),
        ("CARGO_NET_RETRY", "0"),
    ];
    says(&world, &variables, &["sh", "-c", &code], "version = \"1.2.3\"");
    for seen in carried(&world, 2) {
        assert_eq!(seen.header("authorization"), Some(VALUE));
    }
}
