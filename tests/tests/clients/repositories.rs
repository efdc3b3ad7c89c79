//! git, with its own HTTP backend behind a host that wants a password.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hyper::Response;
use secretsd_tests::origin::Seen;

use crate::client::{has, logged_in, says, world};
use crate::world::{VALUE, World};

/// A world with a private repository, `project.git`, of one commit.
pub fn ready(test: &str) -> Option<World> {
    if !has(test, &["sh", "-c", "test -x \"$(git --exec-path)/git-http-backend\""]) {
        return None;
    }
    let world = world(test, &["basic"])?;
    let code = "
git init -q --bare served/project.git
git -c init.defaultBranch=main init -q first && cd first
git -c user.name=t -c user.email=t@localhost commit -q --allow-empty -m first
git push -q ../served/project.git HEAD:refs/heads/main
git -C ../served/project.git symbolic-ref HEAD refs/heads/main";
    assert!(world.env.command("sh").args(["-ec", code]).status().unwrap().success());
    let (root, path) = (world.env.path("served"), std::env::var_os("PATH").unwrap_or_default());
    let basic = data_encoding::BASE64.encode(format!("me:{VALUE}").as_bytes());
    world.origin.answer_by(move |seen, body| {
        if seen.header("authorization") != Some(&format!("Basic {basic}")) {
            let answer = Response::builder().status(401).header("www-authenticate", "Basic realm=\"git\"");
            return Some(answer.body(Vec::new()).unwrap());
        }
        let mut backend = Command::new("git");
        backend.env_clear().env("PATH", &path).env("HOME", &root);
        Some(backend_answer(backend, &root, seen, body))
    });
    Some(world)
}

/// What git's backend says (git-http-backend(1)), as a CGI program.
fn backend_answer(mut backend: Command, root: &PathBuf, seen: &Seen, body: &[u8]) -> Response<Vec<u8>> {
    let (method, target) = seen.line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name| seen.header(name).unwrap_or_default();
    backend
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", "me");
    let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, body) = (child.stdin.take().unwrap(), body.to_vec());
    let writing = std::thread::spawn(move || input.write_all(&body));
    let output = child.wait_with_output().unwrap().stdout;
    let _ = writing.join();
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut answer = Response::builder();
    for line in String::from_utf8(output[..end].to_vec()).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        answer = match name {
            "Status" => answer.status(value.split(' ').next().unwrap()),
            _ => answer.header(name, value),
        };
    }
    answer.body(output[end + 4..].to_vec()).unwrap()
}

/// Clones from this address, adds a commit with a file of two megabytes, which git sends in chunks, and pushes it.
fn clones_and_pushes(world: &World, variables: &[(&str, &str)], git: &str, address: &str) {
    let code = format!(
        "{git} clone -q \"{address}\" clone && cd clone && head -c 2000000 /dev/urandom > large && git add large &&
        git -c user.name=t -c user.email=t@localhost commit -q -m second && {git} push -q origin HEAD &&
        git --git-dir ../served/project.git log --format=%s main"
    );
    says(world, variables, &["sh", "-c", &code], "second\nfirst\n");
    logged_in(world, "me", 4);
}

#[test]
fn git() {
    let Some(world) = ready("repositories::git") else { return };
    let address = format!("https://me:$KEY@{}/project.git", world.host());
    // Settings of the user's own that would lead elsewhere.
    world
        .env
        .private_file("home/.gitconfig", "[http]\n\tproxy = http://127.0.0.1:9\n\tsslCAInfo = /nowhere\n");
    let variables = [
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "http.proxy"),
        ("GIT_CONFIG_VALUE_0", "http://127.0.0.1:9"),
        ("GIT_CONFIG_PARAMETERS", "'http.proxy'='http://127.0.0.1:9'"),
    ];
    clones_and_pushes(&world, &variables, "git", &address);
}

/// Inside a session the helper answers with the placeholder: no value is revealed.
#[test]
fn git_with_the_credential_helper() {
    let Some(world) = ready("repositories::git_with_the_credential_helper") else { return };
    let helper = format!("!'{}' git-credential --host me@{}=KEY", world.env.programs().client, world.host());
    let git = format!("git -c \"credential.helper={helper}\"");
    clones_and_pushes(&world, &[], &git, &world.url("/project.git"));
    let audit = world.env.ctl(["audit", "--json"]).expect(0);
    assert!(audit.contains("\"use_begin\"") && !audit.contains("git-credential"), "{audit}");
}
