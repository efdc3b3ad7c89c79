//! Stores whose own programs give the values, with those programs and keys of the test's own.

use std::path::PathBuf;
use std::process::Command;

use secretsd_tests::harness::skip;
use secretsd_tests::{Env, programs};

use crate::{done, has, names, note};

/// gpg with a key of the test's own, and what it is called. The agent it starts ends with the test.
struct Gpg<'a> {
    env: &'a Env,
    id: String,
}

impl<'a> Gpg<'a> {
    fn new(env: &'a Env) -> Self {
        env.private_dir("gpg");
        let mut gpg = Self { env, id: String::new() };
        let key =
            ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-generate-key"];
        done(gpg.command("gpg").args(key).args(["me@example.com", "default", "default", "never"]), b"");
        let keys = done(gpg.command("gpg").args(["--list-keys", "--with-colons"]), b"");
        let keys = String::from_utf8(keys).unwrap();
        let id = keys.lines().find(|line| line.starts_with("fpr:")).unwrap().split(':').nth(9).unwrap();
        gpg.id = id.to_owned();
        gpg
    }

    fn home(&self) -> PathBuf {
        self.env.path("gpg")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.env.command(program);
        command.env("GNUPGHOME", self.home());
        command
    }
}

impl Drop for Gpg<'_> {
    fn drop(&mut self) {
        let _ = self.command("gpgconf").args(["--kill", "gpg-agent"]).status();
    }
}

#[test]
fn pass_and_gopass_give_their_entries() {
    let test = "pass_and_gopass_give_their_entries";
    let env = Env::unlocked(programs!());
    if !(has(test, "gpg") && has(test, "pass")) {
        return;
    }
    let gpg = Gpg::new(&env);
    let store = env.path("home/my store");
    let pass = |arguments: &[&str], input: &str| {
        done(gpg.command("pass").env("PASSWORD_STORE_DIR", &store).args(arguments), input.as_bytes());
    };
    pass(&["init", &gpg.id], "");
    pass(&["insert", "-m", "openai"], "sk-x\n");
    pass(&["insert", "-m", "work/aws key"], "s3cret\nuser: me\nurl: https://x\napi-id: k:v\n");
    pass(&["insert", "-m", "work/pem"], "-----BEGIN X-----\nabc\n-----END X-----\n");
    let store = store.to_str().unwrap();
    let import = |format: &str, more: &[&str]| {
        env.ctl([&["import", store, "--format", format], more].concat()).env("GNUPGHOME", gpg.home()).run()
    };
    import("pass", &["--delete-source"]).assert_code(2);
    let output = import("pass", &[]);
    output.assert_code(0);
    assert_eq!(names(&env), ["OPENAI", "WORK_AWS_KEY", "WORK_AWS_KEY_API_ID", "WORK_PEM"]);
    assert_eq!(env.value("WORK_AWS_KEY"), "s3cret");
    assert_eq!(env.value("WORK_PEM"), "-----BEGIN X-----\nabc\n-----END X-----");
    assert_eq!(note(&env, "WORK_AWS_KEY"), "user=me");
    assert!(output.err().contains("the store still holds the values"), "{}", output.err());
    // One of its directories; and by gopass, whichever of the two programs of this name is there.
    let part = env.path("home/my store/work");
    let output = env.ctl(["import", part.to_str().unwrap(), "--format", "pass", "--prefix", "P_"]);
    output.env("GNUPGHOME", gpg.home()).expect(0);
    assert_eq!(env.value("P_PEM"), env.value("WORK_PEM"));
    if has(test, "gopass") {
        import("gopass", &["--prefix", "G_", "--only", "OPENAI"]).assert_code(0);
        assert_eq!(env.value("G_OPENAI"), "sk-x");
    }
    // Without the key nothing is stored, and the entry is named.
    let output = env.ctl(["import", store, "--format", "pass", "--prefix", "N_"]).run();
    output.assert_code(7);
    assert!(output.err().contains("openai: pass failed"), "{}", output.err());
    assert!(!names(&env).iter().any(|name| name.starts_with("N_")));
}

#[test]
fn what_sops_decrypts_is_named_by_its_path() {
    let test = "what_sops_decrypts_is_named_by_its_path";
    let env = Env::unlocked(programs!());
    let plain = "db:\n  password: p1\n  port: 5432\nhosts:\n  - a\n  - b\nkey: 'v w'\n";
    let sops = has(test, "sops") && has(test, "gpg");
    let (encrypted, decrypted) = if sops {
        let gpg = Gpg::new(&env);
        let file = env.private_file("plain.yaml", plain);
        let text = done(gpg.command("sops").args(["-e", "--pgp", &gpg.id]).arg(file), b"");
        let file = env.private_file("secrets.yaml", &text);
        (text, done(gpg.command("sops").arg("-d").arg(file), b""))
    } else {
        skip(test, "the form of sops is taken from its documentation");
        let text = "db:\n    password: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\nsops:\n    mac: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n    version: 3.9.0\n";
        (text.into(), plain.into())
    };
    for more in [&[][..], &["--format", "nested"]] {
        let file = env.private_file("secrets.yaml", &encrypted).to_str().unwrap().to_owned();
        let output = env.ctl([&["import", &file], more].concat()).run();
        output.assert_code(7);
        assert!(output.err().contains("encrypted by sops; pipe what sops -d prints"), "{}", output.err());
    }
    env.ctl(["import", "-", "--format", "nested"]).stdin(decrypted).expect(0);
    assert_eq!(names(&env), ["DB_PASSWORD", "DB_PORT", "HOSTS_0", "HOSTS_1", "KEY"]);
    assert_eq!((env.value("DB_PORT"), env.value("KEY")), ("5432".to_owned(), "v w".to_owned()));
}

#[test]
fn keyring_is_asked_for_what_a_list_names() {
    let test = "keyring_is_asked_for_what_a_list_names";
    let env = Env::unlocked(programs!());
    let backend = "keyrings.alt.file.PlaintextKeyring";
    let python = "/usr/bin/python3";
    let set = "import keyring; keyring.set_password('https://upload.pypi.org/legacy/', 'me', 'tok en '); keyring.set_password('my app', 'you', 'x')";
    let mut command = env.command(python);
    command.args(["-c", set]).env("PYTHON_KEYRING_BACKEND", backend);
    if !has(test, "keyring") || !command.output().is_ok_and(|output| output.status.success()) {
        return skip(test, "keyring or keyrings.alt is not installed");
    }
    let list = "# service and user\nhttps://upload.pypi.org/legacy/ me\nmy app\tyou\n";
    let import = |list: &str| {
        env.ctl(["import", "-", "--format", "keyring"])
            .stdin(list)
            .env("PYTHON_KEYRING_BACKEND", backend)
            .run()
    };
    import(list).assert_code(0);
    assert_eq!(names(&env), ["KEYRING__MY_APP", "KEYRING__UPLOAD_PYPI_ORG"]);
    assert_eq!(env.value("KEYRING__UPLOAD_PYPI_ORG"), "tok en ");
    assert_eq!(note(&env, "KEYRING__UPLOAD_PYPI_ORG"), "user=me");
    let output = import("nothing.example me\na b c\n--x me\n");
    output.assert_code(7);
    let told = output.err();
    for line in ["line 1: keyring has nothing", "line 2: expected a service", "line 3: neither a service"] {
        assert!(told.contains(line), "{told}");
    }
}
