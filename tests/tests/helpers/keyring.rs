//! Python's keyring command, and pip, uv, twine and poetry themselves.

use std::fs;

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::source::repository;
use serde_json::json;

use crate::{Server, TOKEN, World, assert_ends, has, installed};

fn keyring(world: &World, words: &[&str], input: &str) -> CtlOutput {
    world.run(&[&["keyring"], words].concat(), input)
}

/// What it prints; nothing where it has nothing, without a word.
fn get(world: &World, words: &[&str]) -> Option<String> {
    let output = keyring(world, words, "");
    if output.code == Some(1) {
        assert_eq!((output.out().as_str(), output.err().as_str()), ("", ""), "{words:?}");
        return None;
    }
    output.assert_code(0);
    Some(output.out())
}

#[test]
fn a_password_is_stored_given_and_deleted_for_its_host_and_user() {
    let world = World::new();
    let url = "https://pypi.example/simple/";
    assert_eq!(get(&world, &["get", url, "me"]), None);
    for (service, password) in [(url, format!("{TOKEN}\n")), ("pypi.example:8443", "x\r\n".into())] {
        let output = keyring(&world, &["set", service, "me"], &password);
        assert_ends(&output, true);
        assert_eq!((output.out(), output.err()), (String::new(), String::new()));
    }
    let line = Some(format!("{TOKEN}\n"));
    for same in [url, "pypi.example", "https://PYPI.example:443", "https://me:x@pypi.example/other?q"] {
        assert_eq!(get(&world, &["get", same, "me"]), line, "{same}");
        assert_eq!(get(&world, &["get", same, "you"]), None, "{same}");
    }
    assert_eq!(get(&world, &["get", "https://pypi.example:8443/", "me"]), Some("x\n".into()));
    for other in ["example", "sub.pypi.example", "pypi.example:80", "https://pypi.example.evil.example/"] {
        assert_eq!(get(&world, &["get", other, "me"]), None, "{other}");
    }
    // The forms of newer versions.
    assert_eq!(get(&world, &["get", url, "--mode", "creds"]), Some(format!("me\n{TOKEN}\n")));
    let creds = get(&world, &["--mode=creds", "--output=json", "get", url]).unwrap();
    assert_eq!(creds, format!("{{\"username\":\"me\",\"password\":\"{TOKEN}\"}}\n"));
    assert_eq!(
        get(&world, &["--output=json", "get", "pypi.example:8443", "me"]),
        Some("{\"password\":\"x\"}\n".into())
    );
    assert_eq!(get(&world, &["--mode=creds", "get", url, "you"]), None);
    // Another user's is neither overwritten nor deleted.
    for words in [["set", url, "you"], ["del", url, "you"]] {
        keyring(&world, &words, "new").assert_code(6);
    }
    assert_eq!(get(&world, &["get", url, "me"]), line);
    assert_ends(&keyring(&world, &["set", url, "me"], "new"), true);
    assert_eq!(get(&world, &["get", url, "me"]), Some("new\n".into()));
    assert_ends(&keyring(&world, &["del", url, "me"], ""), true);
    keyring(&world, &["del", url, "me"], "").assert_code(4);
    assert_eq!(world.names(), ["KEYRING__PYPI_EXAMPLE___8443"]);
}

#[test]
fn a_password_that_was_set_by_hand_is_given() {
    let world = World::new();
    world.env.store("KEYRING__A_EXAMPLE", TOKEN);
    world.note("KEYRING__B_EXAMPLE", "tok\n", "user=__token__");
    assert_eq!(get(&world, &["get", "https://a.example/", "anybody"]), Some(format!("{TOKEN}\n")));
    assert_eq!(get(&world, &["get", "b.example", "__token__"]), Some("tok\n".into()));
    assert_eq!(get(&world, &["get", "b.example", "me"]), None);
    assert_eq!(get(&world, &["--mode=creds", "get", "b.example"]), Some("__token__\ntok\n".into()));
    assert_eq!(get(&world, &["--mode=creds", "get", "a.example", "me"]), Some(format!("me\n{TOKEN}\n")));
    let output = keyring(&world, &["--mode=creds", "get", "a.example"], "");
    output.assert_code(1);
    assert!(output.err().contains("secretctl edit KEYRING__A_EXAMPLE --note user=NAME"), "{}", output.err());
    // Nobody knows whose it is.
    keyring(&world, &["set", "a.example", "me"], "x").assert_code(6);
    keyring(&world, &["del", "a.example", "me"], "").assert_code(6);
    world.expire("KEYRING__B_EXAMPLE");
    let output = keyring(&world, &["get", "b.example", "__token__"], "");
    output.assert_code(1);
    assert!(output.err().contains("KEYRING__B_EXAMPLE expired at 2020"), "{}", output.err());
}

#[test]
fn bad_input_is_refused_and_not_shown() {
    let world = World::new();
    let long = "x".repeat(65_537);
    for (words, input, code) in [
        (&["get", "https://canary canary/", "me"][..], "", 7),
        (&["get", "http://canary.example/", "me"], "", 7),
        (&["get", "canary.example"], "", 2),
        (&["get"], "", 2),
        (&["diagnose"], "", 2),
        (&["canary", "a", "b"], "", 2),
        (&["--mode=canary", "get", "a", "b"], "", 2),
        (&["set", "canary.example"], "x", 2),
        (&["set", "a.example", "me"], "", 7),
        (&["set", "a.example", "me"], "can\nary", 7),
        (&["set", "a.example", "me"], &long, 7),
        (&["set", "a.example", "can\tary"], "x", 7),
        (&["set", "a.example", "me", "canary"], "x", 2),
    ] {
        let output = keyring(&world, words, input);
        output.assert_code(code);
        assert_ends(&output, false);
    }
    assert_eq!(world.names(), [""; 0]);
}

/// A vault with the password of an index, which demands it.
fn index() -> (World, Server, String) {
    let world = World::new();
    let server = Server::basic(&world.env, "me", TOKEN);
    let host = format!("127.0.0.1:{}", server.port);
    assert_ends(&keyring(&world, &["set", &host, "me"], TOKEN), true);
    (world, server, host)
}

#[test]
fn pip_and_uv_download_from_an_index_that_demands_the_password() {
    let test = "pip_and_uv_download_from_an_index_that_demands_the_password";
    let (world, _server, host) = index();
    let index = |user: &str| format!("http://{user}{host}/simple/");
    let clean = |output: &CtlOutput, succeeds: bool| assert_ends(output, succeeds);
    if let Some(python) = installed(test, "python") {
        let pip = |index: &str| {
            let words = [
                "-m",
                "pip",
                "--isolated",
                "download",
                "--no-cache-dir",
                "--no-deps",
                "--no-input",
                "-d",
                "pip",
            ];
            let more = ["--keyring-provider", "subprocess", "--index-url", index, "acme"];
            world.run(&[&[python.as_str()], &words[..], &more].concat(), "")
        };
        clean(&pip(&index("me@")), true);
        // Newer ones ask for the user, too.
        clean(&pip(&index("")), true);
        clean(&pip(&index("you@")), false);
        assert!(world.env.path("pip/acme-1.0-py3-none-any.whl").exists());
    }
    if let Some(uv) = installed(test, "uv") {
        let words = ["pip", "install", "--no-cache", "--no-config", "--no-deps", "--offline"];
        let uv = |index: &str| {
            let more =
                ["--target", "uv", "--keyring-provider", "subprocess", "--default-index", index, "acme"];
            world.run(&[&[uv.as_str()], &words[..5], &more].concat(), "")
        };
        clean(&uv(&index("you@")), false);
        clean(&uv(&index("me@")), true);
        assert!(world.env.path("uv/acme.py").exists());
    }
}

/// The backend that the manual shows, for programs that ask Python's keyring itself.
fn backend(world: &World) -> Vec<(&'static str, String)> {
    let manual = fs::read_to_string(repository().join("docs/helpers.md")).unwrap();
    let (_, code) = manual.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    world.env.private_dir("backend");
    let file = world.env.private_file("backend/secretctl_keyring.py", code);
    vec![
        ("PYTHONPATH", file.parent().unwrap().to_str().unwrap().to_owned()),
        ("PYTHON_KEYRING_BACKEND", "secretctl_keyring.Keyring".to_owned()),
    ]
}

#[test]
fn twine_uploads_by_the_manuals_backend() {
    let test = "twine_uploads_by_the_manuals_backend";
    let Some(twine) = installed(test, "twine").filter(|_| has(test, &["python3", "--version"])) else {
        return;
    };
    let world = World::new();
    let wheel = world.env.path("acme-1.0-py3-none-any.whl");
    let wheel = wheel.to_str().unwrap();
    let expected = format!("Basic {}", crate::base64(&format!("me:{TOKEN}")));
    let server = Server::start(&world.env, &expected, &[("WHEEL", wheel)]);
    let url = format!("http://127.0.0.1:{}/legacy/", server.port);
    let upload = || {
        let mut command = world.command(&[
            &twine,
            "upload",
            "--non-interactive",
            "--disable-progress-bar",
            "--repository-url",
            &url,
            wheel,
        ]);
        command.envs(backend(&world));
        world.run_with(command, "")
    };
    assert_ends(&upload(), false);
    assert_ends(&keyring(&world, &["set", &url, "me"], TOKEN), true);
    assert_ends(&upload(), true);
}

#[test]
fn poetry_locks_by_the_manuals_backend() {
    let test = "poetry_locks_by_the_manuals_backend";
    let Some(poetry) = installed(test, "poetry") else { return };
    let (world, _server, host) = index();
    let project = json!({"name": "x", "version": "1", "requires-python": ">=3.9", "dependencies": ["acme"]});
    let lines: Vec<String> =
        project.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let text = format!(
        "[project]\n{}[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = \"local\"\nurl = \"http://{host}/simple/\"\npriority = \"primary\"\n",
        lines.concat()
    );
    world.env.private_file("pyproject.toml", text);
    let lock = || {
        let mut command = world.command(&[&poetry, "lock", "--no-interaction", "--no-cache"]);
        command.envs(backend(&world)).env("POETRY_VIRTUALENVS_CREATE", "false");
        world.run_with(command, "")
    };
    world.lock();
    assert_ends(&lock(), false);
    world.unlock();
    assert_ends(&lock(), true);
    assert!(fs::read_to_string(world.env.path("poetry.lock")).unwrap().contains("acme"));
}
