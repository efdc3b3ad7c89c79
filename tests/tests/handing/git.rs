//! `git-credential`, asked by git itself.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secretsd_tests::source::repository;
use secretsd_tests::{Env, process, programs};
use serde_json::json;

use crate::{has, output_of, python};

const TOKEN: &str = "ghp_canarycanarycanarycanary";

/// git with us as its one helper, which is given these arguments.
fn git(env: &Env, arguments: &str) -> Command {
    let mut command = env.command("setsid");
    let helper = format!("credential.helper=!'{}' {arguments}", env.programs().client);
    command.args(["git", "-c", &helper]).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

/// What `git credential fill` finds out about an address, as user and password.
fn fill(env: &Env, arguments: &str, question: &str) -> Option<(String, String)> {
    let (_, output) = process::run(git(env, arguments).args(["credential", "fill"]), question.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    let find = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!errors.contains("secretctl:") && !errors.contains("canary"), "{errors}");
    find("username=").zip(find("password="))
}

fn set(env: &Env, name: &str, provider: &str, value: &str) {
    env.post("/user/secrets", &json!({"name": name, "provider": provider, "value": value})).expect(201);
}

#[test]
fn git_is_answered_for_the_providers_own_hosts_and_no_other() {
    if !has("git_is_answered_for_the_providers_own_hosts_and_no_other", "git") {
        return;
    }
    let env = Env::unlocked(programs!());
    set(&env, "HUB", "github", TOKEN);
    set(&env, "LAB", "gitlab", "glpat-x\n");
    let ask = |question: &str| fill(&env, "git-credential", question);
    let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
    assert_eq!(ask("url=https://github.com/me/x.git\n"), pair("x-access-token", TOKEN));
    assert_eq!(ask("url=https://me@github.com/me/x.git\n"), pair("me", TOKEN));
    assert_eq!(ask("url=https://gitlab.com/me/x.git\n"), pair("oauth2", "glpat-x"));
    for other in [
        "url=http://github.com/x\n",
        "url=https://github.com.evil.example/x\n",
        "url=https://evil.example/github.com\n",
        "url=https://github.com:8443/x\n",
        "url=https://bitbucket.org/x\n",
        "protocol=https\nhost=evil.example\nhost=githüb.com\n",
    ] {
        assert_eq!(ask(other), None, "{other}");
    }
    // Of two secrets the one of the usual name.
    set(&env, "HUB_TWO", "github", "ghp_two");
    assert_eq!(ask("url=https://github.com/x\n"), None);
    set(&env, "GITHUB_TOKEN", "github", "ghp_usual");
    assert_eq!(ask("url=https://github.com/x\n"), pair("x-access-token", "ghp_usual"));
    // What would be more lines than one is no answer.
    env.store("LINES", "x\nhost=github.com");
    let mapped = "git-credential --host Git.Example.com=lines --host github.com=HUB --host you@h.example=LAB";
    assert_eq!(fill(&env, mapped, "url=https://git.example.com/x\n"), None);
    assert_eq!(fill(&env, mapped, "url=https://github.com/x\n"), pair("git", TOKEN));
    assert_eq!(fill(&env, mapped, "url=https://h.example/x\n"), pair("you", "glpat-x"));
    assert!(env.ctl(["audit", "--json"]).expect(0).contains("git-credential"));
}

#[test]
fn the_most_exact_token_is_given_whatever_the_order() {
    if !has("the_most_exact_token_is_given_whatever_the_order", "git") {
        return;
    }
    let env = Env::unlocked(programs!());
    set(&env, "GITHUB_TOKEN", "github", TOKEN);
    for name in ["WORK", "OTHER", "ANY"] {
        env.store(name, name);
    }
    let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
    let (plain, asked) = ("url=https://github.com/me/dot.git\n", "url=https://work@github.com/me/dot.git\n");
    let (work, other, any) = ("work@github.com=WORK", "other@github.com=OTHER", "github.com=ANY");
    let (without, with) = (pair("x-access-token", TOKEN), pair("work", "WORK"));
    for (mappings, question, expected) in [
        (&[work][..], plain, &without),
        (&[work], asked, &with),
        (&[work, other], plain, &without),
        (&[work, other], asked, &with),
        (&[work, any], plain, &pair("git", "ANY")),
        (&[work, any], asked, &with),
        (&["a@h.example=WORK", "b@h.example=OTHER"], "url=https://h.example/x\n", &None),
    ] {
        for mappings in [mappings.to_vec(), mappings.iter().rev().copied().collect()] {
            let helper = format!("git-credential --host {}", mappings.join(" --host "));
            assert_eq!(fill(&env, &helper, question), *expected, "{helper}: {question}");
        }
    }
    // Neither of two is the more exact one.
    env.ctl(["git-credential", "--host", "h=WORK", "--host", "H:443=ANY", "get"]).expect(2);
    env.ctl(["git-credential", "--host", "h=WORK", "--host", "h=WORK", "get"]).expect(0);
}

#[test]
fn what_else_git_passes_on_may_hold_any_bytes() {
    let env = Env::unlocked(programs!());
    set(&env, "HUB", "github", TOKEN);
    let ask = |more: &[u8]| {
        let question = [b"protocol=https\nhost=github.com\n", more, b"\n"].concat();
        env.ctl(["git-credential", "get"]).stdin(question).expect(0)
    };
    let answer = format!("username=x-access-token\npassword={TOKEN}\n");
    for more in [
        &b"wwwauth[]=Basic realm=\"r\",\tcharset=\"UTF-8\"\n"[..],
        b"wwwauth[]=Basic realm=\"gesch\xfctzt\"\n",
        b"path=caf\xe9\n",
        b"key\xe9\x01=\x7f\n",
    ] {
        assert_eq!(ask(more), answer, "{}", more.escape_ascii());
    }
    for more in [&b"username=caf\xe9\n"[..], b"username=a\tb\n"] {
        assert_eq!(ask(more), "", "{}", more.escape_ascii());
    }
}

#[test]
fn whatever_keeps_us_from_answering_is_quick_and_quiet() {
    let mut env = Env::unlocked(programs!());
    set(&env, "HUB", "github", TOKEN);
    let question = "protocol=https\nhost=github.com\n\n";
    let silent = |env: &Env, arguments: &[&str], question: &str| {
        let begin = Instant::now();
        let output = env.ctl([&["git-credential"], arguments].concat()).stdin(question).run();
        assert_eq!((output.code, output.out(), output.err()), (Some(0), String::new(), String::new()));
        assert!(begin.elapsed() < Duration::from_secs(10), "{arguments:?}");
    };
    for operation in ["store", "erase", "capability", "whatever"] {
        silent(&env, &[operation], &format!("{question}password=canary\n"));
    }
    assert_eq!(env.value("HUB"), TOKEN);
    for bad in [
        "",
        "\n",
        "garbage",
        "protocol=https\nhost=github.com\nhost=github.com\n",
        "protocol=https\nhost=github.com\0\n",
    ] {
        silent(&env, &["get"], bad);
    }
    silent(&env, &["get", "--host", "github.com=NONE"], question);
    env.post("/vault/lock", &json!({})).expect(200);
    // A person can do something about a lock, and would not guess it from git's question. Of other hosts nothing is said.
    let output = env.ctl(["git-credential", "get"]).stdin(question).run();
    let told = "secretctl: nothing for git, the vault is locked; open it with: secretctl unlock\n";
    assert_eq!((output.code, output.out(), output.err()), (Some(0), String::new(), told.to_owned()));
    silent(&env, &["get"], "protocol=https\nhost=h.example\n\n");
    env.stop();
    silent(&env, &["get"], question);
    assert!(env.listener().is_none(), "a daemon was started");
    // A setup that cannot be meant is told.
    env.ctl(["git-credential", "--host", "http://example.com=A", "get"]).stdin(question).expect(2);
    env.ctl(["git-credential", "--host", "nonsense", "get"]).stdin(question).expect(2);
}

#[test]
fn inside_of_a_session_the_answer_is_its_placeholder_and_nothing_is_revealed() {
    let mut env = Env::unlocked(programs!());
    for (name, provider) in
        [("HUB", "github"), ("GITHUB_TOKEN", "github"), ("LAB", "gitlab"), ("WORK", "other")]
    {
        set(&env, name, provider, TOKEN);
    }
    let ask = |env: &Env, placeholders: &[&str], arguments: &[&str], question: &str| {
        let mut command = env.ctl([&["git-credential"], arguments, &["get"]].concat()).stdin(question);
        command = command.env("SECRETSD_PROXY", "s");
        for name in placeholders {
            command = command.env(name, format!("placeholder-of-{name}"));
        }
        let output = command.run();
        assert_eq!((output.code, output.err()), (Some(0), String::new()));
        output.out()
    };
    let hub = "protocol=https\nhost=github.com\n\n";
    let work = "protocol=https\nhost=git.example.com\n\n";
    let is = |user: &str, name: &str| format!("username={user}\npassword=placeholder-of-{name}\n");
    let mapped = ["--host", "git.example.com=WORK"];
    for state in ["unlocked", "locked", "gone"] {
        assert_eq!(ask(&env, &["WORK"], &mapped, work), is("git", "WORK"), "{state}");
        assert_eq!(ask(&env, &["GITHUB_TOKEN"], &[], hub), is("x-access-token", "GITHUB_TOKEN"), "{state}");
        // What the session does not have is not asked for elsewhere.
        assert_eq!(ask(&env, &["HUB"], &mapped, work), "", "{state}");
        assert_eq!(ask(&env, &["LAB"], &[], hub), "", "{state}");
        match state {
            "unlocked" => {
                assert_eq!(ask(&env, &["HUB"], &[], hub), is("x-access-token", "HUB"));
                assert_eq!(
                    ask(&env, &["HUB", "GITHUB_TOKEN"], &[], hub),
                    is("x-access-token", "GITHUB_TOKEN")
                );
                assert!(
                    !env.ctl(["audit", "--json"]).expect(0).contains("git-credential"),
                    "a value was revealed"
                );
                env.post("/vault/lock", &json!({})).expect(200);
            }
            "locked" => drop(env.stop()),
            _ => {}
        }
    }
}

/// Makes a secret one that expires then.
fn expire(env: &Env, name: &str, time: &str) {
    let id = env.ctl(["show", name, "--json"]).run().json()["id"].as_str().unwrap().to_owned();
    let body = json!({"expires_at": time});
    env.request("PATCH", &format!("/user/secrets/{id}")).json(&body).send().expect(200);
}

#[test]
fn the_user_of_the_note_is_given_and_no_other() {
    if !has("the_user_of_the_note_is_given_and_no_other", "git") {
        return;
    }
    let env = Env::unlocked(programs!());
    set(&env, "HUB", "github", TOKEN);
    env.ctl(["edit", "HUB", "--note", "CI account user=bot"]).expect(0);
    let ask = |arguments: &str, question: &str| fill(&env, arguments, question).map(|(user, _)| user);
    let (plain, bot, me) =
        ("url=https://github.com/x\n", "url=https://bot@github.com/x\n", "url=https://me@github.com/x\n");
    assert_eq!(ask("git-credential", plain).as_deref(), Some("bot"));
    assert_eq!(ask("git-credential", bot).as_deref(), Some("bot"));
    assert_eq!(ask("git-credential", me), None);
    // A mapping says more than the note.
    assert_eq!(ask("git-credential --host github.com=HUB", plain).as_deref(), Some("bot"));
    assert_eq!(ask("git-credential --host github.com=HUB", me), None);
    assert_eq!(ask("git-credential --host me@github.com=HUB", me).as_deref(), Some("me"));
    assert_eq!(ask("git-credential --host me@github.com=HUB", plain).as_deref(), Some("me"));
}

#[test]
fn git_is_told_when_a_password_ends_and_gets_none_that_has() {
    if !has("git_is_told_when_a_password_ends_and_gets_none_that_has", "git") {
        return;
    }
    let env = Env::unlocked(programs!());
    set(&env, "HUB", "github", TOKEN);
    env.store("WORK", TOKEN);
    let question = |host: &str| format!("url=https://{host}/x\n");
    let mapped = "git-credential --host h.example=WORK";
    for (name, host) in [("HUB", "github.com"), ("WORK", "h.example")] {
        expire(&env, name, "2099-01-01T00:00:00Z");
        let (_, output) =
            process::run(git(&env, mapped).args(["credential", "fill"]), question(host).as_bytes());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("password_expiry_utc=4070908800\n") && text.contains(TOKEN), "{text}");
        expire(&env, name, "2020-01-01T00:00:00Z");
        assert_eq!(fill(&env, mapped, &question(host)), None, "{host}");
    }
    // Not even a user name, which git would keep and send with another helper's password.
    let output = env.ctl(["git-credential", "get"]).stdin("protocol=https\nhost=github.com\n").expect(0);
    assert_eq!(output, "");
}

/// A child that does not outlive its test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn git_clones_with_a_token_from_the_vault() {
    let test = "git_clones_with_a_token_from_the_vault";
    clone_from(test, "Basic realm=\"gesch\u{fc}tzt\",\tcharset=\"UTF-8\"", &format!("git:{TOKEN}"));
}

#[test]
fn git_clones_where_nothing_but_a_bearer_token_is_taken() {
    clone_from("git_clones_where_nothing_but_a_bearer_token_is_taken", "Bearer realm=\"x\"", TOKEN);
}

/// Clones from a server that says this challenge and expects this.
fn clone_from(test: &str, challenge: &str, expected: &str) {
    let Some(python) = python(test, "http.server").filter(|_| has(test, "git")) else { return };
    let env = Env::unlocked(programs!());
    env.store("WORK_TOKEN", TOKEN);
    let root = env.private_dir("served");
    let origin = root.join("origin");
    let origin = origin.to_str().unwrap();
    output_of(&env, &["git", "init", "-q", origin], b"");
    let identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
    let commit =
        [&["git", "-C", origin][..], &identity, &["commit", "-q", "--allow-empty", "-m", "first"]].concat();
    output_of(&env, &commit, b"");

    let mut server = env.command(python);
    server.arg(repository().join("tests/tests/handing/git_server.py"));
    server
        .env("GIT_PROJECT_ROOT", &root)
        .env("EXPECTED", expected)
        .env("CHALLENGE", challenge)
        .stdout(Stdio::piped());
    let mut server = Served(server.spawn().unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let port = port.trim();

    let url = format!("http://127.0.0.1:{port}/origin/.git");
    let clone = |arguments: &str, to: &str| {
        let (_, output) = process::run(git(&env, arguments).args(["clone", "-q", &url, to]), b"");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!errors.contains("canary"), "{errors}");
        (output.status.success(), errors)
    };
    let (refused, _) = clone("git-credential", "without");
    assert!(!refused, "cloned without a token");
    let (cloned, errors) =
        clone(&format!("git-credential --host http://127.0.0.1:{port}=WORK_TOKEN"), "clone");
    assert!(cloned, "{errors}");
    let log = output_of(&env, &["git", "-C", "clone", "log", "--format=%s"], b"");
    assert_eq!(log, b"first\n");
}
