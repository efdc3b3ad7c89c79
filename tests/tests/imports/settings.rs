//! Settings of programs that hold tokens in plain text.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use secretsd_tests::{Env, programs};

use crate::{done, has, home_file, names, note};

/// A registry on this machine that any login is right for, for podman and for cargo.
struct Registry {
    server: Child,
    port: String,
}

impl Registry {
    fn start(env: &Env) -> Self {
        let script = env.private_file("registry.py", include_str!("registry.py"));
        let mut server = env.command("python3").arg(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { server, port: port.trim().to_owned() }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Imports a file that programs go on reading, and gives what was said.
#[track_caller]
fn import(env: &Env, source: &str, format: &str) -> String {
    let before = fs::read(source).unwrap();
    let output = env.ctl(["import", source, "--format", format, "--delete-source"]).run();
    output.assert_code(2);
    assert!(output.err().contains("what to put in its place"), "{}", output.err());
    let output = env.ctl(["import", source, "--format", format]).run();
    output.assert_code(0);
    assert!(output.stdout.is_empty());
    assert!(output.err().contains("still holds the values; put in their place:"), "{}", output.err());
    assert_eq!(fs::read(source).unwrap(), before);
    output.err()
}

#[test]
fn what_podman_logs_in_with_is_found_by_docker_s_helper_names() {
    let test = "what_podman_logs_in_with_is_found_by_docker_s_helper_names";
    let env = Env::unlocked(programs!());
    if !(has(test, "podman") && has(test, "python3")) {
        return;
    }
    let registry = Registry::start(&env);
    let (file, host) = (env.path("home/auth.json"), format!("127.0.0.1:{}", registry.port));
    let mut podman = env.command("podman");
    podman.args(["login", "--tls-verify=false", "--username", "me", "--password-stdin", "--authfile"]);
    done(podman.arg(&file).arg(&host), b"p:w\"x");
    let said = import(&env, file.to_str().unwrap(), "docker");
    assert!(said.contains("\"credsStore\": \"secretctl\""), "{said}");
    let name = format!("DOCKER__127_0_0_1___{}", registry.port);
    assert_eq!(names(&env), [name.as_str()]);
    assert_eq!(env.value(&name), r#"{"Username":"me","Secret":"p:w\"x"}"#);
    let answer = env.ctl(["docker-credential", "get"]).stdin(&host).run();
    answer.assert_code(0);
    assert_eq!((&answer.json()["Username"], &answer.json()["Secret"]), (&"me".into(), &"p:w\"x".into()));
}

#[test]
fn what_cargo_logs_in_with_is_found_by_its_provider_s_names() {
    let test = "what_cargo_logs_in_with_is_found_by_its_provider_s_names";
    let env = Env::unlocked(programs!());
    if !has(test, "python3") {
        return;
    }
    let registry = Registry::start(&env);
    let index = format!("[registries.my-reg]\nindex = \"sparse+http://127.0.0.1:{}/\"\n", registry.port);
    home_file(&env, ".cargo/config.toml", index);
    let mut cargo = env.command(env!("CARGO"));
    cargo.env("CARGO_HOME", env.path("home/.cargo")).args(["login", "--registry", "my-reg"]);
    done(&mut cargo, b"tok1\n");
    let said = import(&env, env.path("home/.cargo/credentials.toml").to_str().unwrap(), "cargo");
    assert!(said.contains("global-credential-providers"), "{said}");
    // A helper asks for it; no variable is made of it.
    assert!(!said.contains("steers"), "{said}");
    assert_eq!(
        (names(&env), env.value("CARGO__MY_REG")),
        (vec!["CARGO__MY_REG".to_owned()], "tok1".to_owned())
    );
}

#[test]
fn npm_reads_the_token_from_what_is_put_in_its_place() {
    let test = "npm_reads_the_token_from_what_is_put_in_its_place";
    let env = Env::unlocked(programs!());
    if !(has(test, "npm") && has(test, "python3")) {
        return;
    }
    let registry = Registry::start(&env);
    let address = format!("127.0.0.1:{}", registry.port);
    // npm puts quotes around the first.
    for (host, token) in [(address.as_str(), "npm_abc=="), ("pkg.example.com", "x-1")] {
        let setting = format!("//{host}/:_authToken={token}");
        done(env.command("npm").args(["config", "set", "--location", "user", &setting]), b"");
    }
    let file = env.path("home/.npmrc");
    let said = import(&env, file.to_str().unwrap(), "npm");
    let name = format!("NPM__127_0_0_1_{}", registry.port);
    assert_eq!(names(&env), [name.as_str(), "NPM__PKG_EXAMPLE_COM"]);
    assert_eq!(
        (env.value(&name), env.value("NPM__PKG_EXAMPLE_COM")),
        ("npm_abc==".to_owned(), "x-1".to_owned())
    );
    let lines = said.lines().filter_map(|line| line.strip_prefix("  //"));
    let instead: String = lines.map(|line| format!("//{line}\n")).collect();
    assert!(instead.contains(&format!("//{address}/:_authToken=${{{name}}}")), "{said}");
    fs::write(&file, instead).unwrap();
    // The registry answers with what it was sent.
    let whoami = ["npm", "whoami", "--registry", &format!("http://{address}/")];
    let answer = env.ctl([&["run", "-s", "NPM__*", "--"], &whoami[..]].concat()).expect(0);
    assert_eq!(answer.trim(), "Bearer npm_abc==");
}

#[test]
fn aws_s_profiles_answer_by_their_prefix() {
    let test = "aws_s_profiles_answer_by_their_prefix";
    let env = Env::unlocked(programs!());
    let file = env.path("home/.aws/credentials");
    let root = std::env::var_os("PYENV_ROOT").or_else(|| Some("/root/.pyenv".into()));
    let answers = b"AKIAIOSFODNN7EXAMPLE\nsecret/key+=\n\n\n";
    if has(test, "aws") {
        let mut aws = env.command("aws");
        done(aws.env("PYENV_ROOT", root.unwrap()).args(["configure", "--profile", "prod"]), answers);
    } else {
        let text = "[prod]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret/key+=\n";
        home_file(&env, ".aws/credentials", text);
    }
    let said = import(&env, file.to_str().unwrap(), "aws");
    assert!(
        said.contains("[profile prod]: credential_process = secretctl aws-credentials --prefix PROD_"),
        "{said}"
    );
    let answer = env.ctl(["aws-credentials", "--prefix", "PROD_"]).run();
    answer.assert_code(0);
    assert_eq!(answer.json()["SecretAccessKey"], "secret/key+=");
    // The same with a prefix of the owner's.
    let output = env.ctl(["import", file.to_str().unwrap(), "--format", "aws", "--prefix", "X_"]).run();
    output.assert_code(0);
    assert!(output.err().contains("--prefix X_PROD_"), "{}", output.err());
    assert_eq!(
        env.ctl(["aws-credentials", "--prefix", "X_PROD_"]).run().json()["AccessKeyId"],
        "AKIAIOSFODNN7EXAMPLE"
    );
}

#[test]
fn what_git_stores_is_what_its_new_helper_answers() {
    let test = "what_git_stores_is_what_its_new_helper_answers";
    let env = Env::unlocked(programs!());
    if !has(test, "git") {
        return;
    }
    let question = b"protocol=https\nhost=git.example.com\nusername=me\npassword=a@b:c%\n\n";
    done(env.command("git").args(["credential-store", "store"]), question);
    let said = import(&env, env.path("home/.git-credentials").to_str().unwrap(), "git-credentials");
    assert_eq!(env.value("GIT__GIT_EXAMPLE_COM"), "a@b:c%");
    let line = said.lines().find_map(|line| line.split_once("nothing, but: ")).unwrap().1;
    let client = Path::new(env.programs().client).parent().unwrap();
    let path = format!("{}:{}", client.display(), std::env::var("PATH").unwrap());
    done(Command::new("sh").args(["-c", line]).env("HOME", env.path("home")), b"");
    let mut git = env.command("git");
    git.env("PATH", path).env("GIT_TERMINAL_PROMPT", "0").args(["credential", "fill"]);
    let answer = String::from_utf8(done(&mut git, b"protocol=https\nhost=git.example.com\n\n")).unwrap();
    assert!(answer.contains("username=me\npassword=a@b:c%\n"), "{answer}");
}

#[test]
fn hosts_and_indexes_get_the_names_of_the_keyring() {
    let env = Env::unlocked(programs!());
    let netrc = home_file(&env, ".netrc", "machine pkg.example.com login me password \"a b\\\"c\"\n");
    import(&env, &netrc, "netrc");
    let pypirc = home_file(&env, ".pypirc", "[pypi]\nusername = __token__\npassword = pypi-abc\n");
    let said = import(&env, &pypirc, "pypirc");
    assert!(said.contains("TWINE_PASSWORD=\"$(secretctl get KEYRING__UPLOAD_PYPI_ORG)\""), "{said}");
    assert_eq!(env.value("KEYRING__PKG_EXAMPLE_COM"), "a b\"c");
    assert_eq!(env.value("KEYRING__UPLOAD_PYPI_ORG"), "pypi-abc");
    assert_eq!(note(&env, "KEYRING__PKG_EXAMPLE_COM"), "user=me");
    assert_eq!(note(&env, "KEYRING__UPLOAD_PYPI_ORG"), "user=__token__");
    for (service, user, password) in [
        ("https://upload.pypi.org/legacy/", "__token__", "pypi-abc\n"),
        ("https://pkg.example.com/simple/", "me", "a b\"c\n"),
    ] {
        assert_eq!(env.ctl(["keyring", "get", service, user]).expect(0), password);
    }
    let output = env.ctl(["import", &pypirc, "--format", "pypirc", "--prefix", "X_", "--dry-run"]).run();
    output.assert_code(0);
    assert!(output.err().contains("will not find them"), "{}", output.err());
}
