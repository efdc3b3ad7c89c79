//! The recipes of `docs/keys.md`: each is run as it is printed, with software in place of the devices, and its key opens a
//! vault.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::env::{CHEAP_KDF, Env};
use secretsd_tests::harness::skip;
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::programs;
use secretsd_tests::source::repository;
use serde_json::json;

/// What stands for the user's home in the recipes.
const HOME: &str = "/home/me";

/// A recipe, with its paths in a test's own directories.
struct Recipe {
    env: Env,
    script: String,
    settings: String,
}

impl Recipe {
    /// The recipe below this heading; says so if one of the programs that it takes is not installed.
    fn of(test: &str, heading: &str, tools: &[&str]) -> Option<Self> {
        for tool in tools {
            let found =
                Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
            if !found.unwrap().success() {
                skip(test, &format!("{tool} is not installed"));
                return None;
            }
        }
        let env = Env::new(programs!());
        let page = fs::read_to_string(repository().join("docs/keys.md")).unwrap();
        let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let block = |language: &str| {
            let (_, text) = section.split_once(&format!("```{language}\n")).unwrap();
            text.split_once("```").unwrap().0.replace(HOME, env.path("home").to_str().unwrap())
        };
        let (script, settings) = (block("sh"), block("toml"));
        fs::create_dir_all(env.path("home/.config/secretsd")).unwrap();
        Some(Self { env, script, settings })
    }

    fn replace(&mut self, from: &str, to: &str) {
        for text in [&mut self.script, &mut self.settings] {
            *text = text.replace(from, to);
        }
    }

    fn shell(&self, script: &str) -> String {
        let script = format!("set -e; umask 077\n{script}");
        let (_, output) = process::run(self.env.command("sh").args(["-c", &script]), b"");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes the key, adds it to a vault and opens the vault with it, also when the daemon starts.
    fn opens(&mut self, name: &str) {
        self.shell(&self.script);
        let provider = format!("{CHEAP_KDF}{}", self.settings);
        self.env.settings(&format!("{provider}[unlock_at_start]\nkey_provider = \"{name}\"\n"));
        self.env.start();
        self.env.init();
        let added = self.env.ctl(["key", "add", "--key-provider", name]).run();
        assert_eq!(added.code, Some(0), "{}", added.err());
        assert!(!added.err().contains("warning"), "{}", added.err());
        self.env.post("/vault/lock", &json!({})).expect(200);
        self.unlock(name).expect(200);
        self.env.stop();
        self.env.start();
        assert_eq!(self.env.state(), "unlocked");
    }

    fn unlock(&self, name: &str) -> secretsd_tests::http::Answer {
        self.env.post("/vault/unlock", &json!({ "key_provider": name }))
    }
}

/// A TPM in software, which listens until dropped.
struct Tpm(Child, String);

impl Tpm {
    fn start(env: &Env) -> Self {
        let directory = env.private_dir("tpm");
        let socket = directory.join("socket");
        let at = |name: &str, path: &Path| format!("{name}={}", path.display());
        let child = Command::new("swtpm")
            .args([
                "socket",
                "--tpm2",
                "--flags",
                "not-need-init,startup-clear",
                "--tpmstate",
                &at("dir", &directory),
            ])
            .args(["--server", &format!("type=unixio,{}", at("path", &socket))])
            .args(["--ctrl", &format!("type=unixio,{}.ctrl", at("path", &socket))])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + DEADLINE;
        while !socket.exists() {
            assert!(Instant::now() < deadline, "swtpm does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        Self(child, format!("swtpm:{}", at("path", &socket)))
    }
}

impl Tpm {
    /// What was opened came from the TPM.
    fn refuses_in_another_state(&self, recipe: &Recipe, name: &str) {
        recipe.env.post("/vault/lock", &json!({})).expect(200);
        recipe.shell(&format!(
            "export TPM2TOOLS_TCTI={0}\n{FLUSH}tpm2_pcrextend 7:sha256={1}",
            self.1,
            "01".repeat(32)
        ));
        let refused = recipe.unlock(name);
        refused.expect_error(502, "bad_gateway_error");
        let told = format!("`{name}` gave no key: it ended with exit status 1");
        assert!(refused.text().contains(&told), "{}", refused.text());
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a resource manager does between two commands, and swtpm alone does not.
const FLUSH: &str = "tpm2_flushcontext -t; tpm2_flushcontext -l; tpm2_flushcontext -s; ";

#[test]
fn a_tpm_opens_the_vault_while_its_register_is_the_same() {
    let tools = ["swtpm", "tpm2_unseal"];
    let Some(mut recipe) = Recipe::of("a_tpm_opens_the_vault_while_its_register_is_the_same", "TPM", &tools)
    else {
        return;
    };
    let tpm = Tpm::start(&recipe.env);
    recipe.replace("device:/dev/tpmrm0", &tpm.1);
    recipe.script = recipe.script.replace("\ntpm2_", &format!("\n{FLUSH}tpm2_"));
    recipe.opens("tpm");
    tpm.refuses_in_another_state(&recipe, "tpm");
}

#[test]
fn clevis_opens_the_vault() {
    let tools = ["swtpm", "tpm2_unseal", "clevis-encrypt-tpm2"];
    let Some(mut recipe) = Recipe::of("clevis_opens_the_vault", "clevis", &tools) else { return };
    let tpm = Tpm::start(&recipe.env);
    recipe.script = format!("export TPM2TOOLS_TCTI={}\n{}{FLUSH}\n", tpm.1, recipe.script);
    let outside = format!("\"/usr/bin/env\", \"TPM2TOOLS_TCTI={}\", \"/bin/sh\"", tpm.1);
    recipe.replace("\"/bin/sh\"", &outside);
    recipe.opens("clevis");
    tpm.refuses_in_another_state(&recipe, "clevis");
}

#[test]
fn a_pkcs11_token_opens_the_vault() {
    let tools = ["softhsm2-util", "pkcs11-tool"];
    let Some(mut recipe) = Recipe::of("a_pkcs11_token_opens_the_vault", "PKCS#11", &tools) else { return };
    if !Path::new("/usr/lib/softhsm/libsofthsm2.so").exists() {
        return skip("a_pkcs11_token_opens_the_vault", "SoftHSM's module is elsewhere");
    }
    let token = "export SOFTHSM2_CONF=$HOME/.config/softhsm2/softhsm2.conf
mkdir -p ~/.config/softhsm2/tokens; printf 1234 > ~/.config/secretsd/pin
echo \"directories.tokendir = $HOME/.config/softhsm2/tokens\" > $SOFTHSM2_CONF
softhsm2-util --init-token --free --label test --pin 1234 --so-pin 5678 >/dev/null
";
    recipe.script.insert_str(0, token);
    recipe.opens("pkcs11");
    fs::write(recipe.env.path("home/.config/secretsd/pin"), "4321").unwrap();
    recipe.env.post("/vault/lock", &json!({})).expect(200);
    recipe.unlock("pkcs11").expect_error(502, "bad_gateway_error");
}

/// A key of the user's keyring, which is the machine's: gone when dropped.
struct InKeyring(String);

impl Drop for InKeyring {
    fn drop(&mut self) {
        Command::new("keyctl").args(["unlink", &format!("%user:{}", self.0), "@u"]).status().ok();
    }
}

#[test]
fn the_kernels_keyring_opens_the_vault() {
    let test = "the_kernels_keyring_opens_the_vault";
    let Some(mut recipe) = Recipe::of(test, "The kernel's keyring", &["keyctl"]) else { return };
    let name = format!("secretsd-test-{}", std::process::id());
    recipe.replace("user secretsd", &format!("user {name}"));
    recipe.replace("user:secretsd", &format!("user:{name}"));
    let works =
        format!("head -c 9 /dev/zero | keyctl padd user {name} @u && keyctl pipe %user:{name} >/dev/null");
    if !recipe.env.command("sh").args(["-c", &works]).stdout(Stdio::null()).status().unwrap().success() {
        return skip(test, "the kernel lets nobody use the user's keyring here");
    }
    let _key = InKeyring(name);
    recipe.opens("kernel");
}

#[test]
fn gpg_opens_the_vault() {
    let Some(mut recipe) = Recipe::of("gpg_opens_the_vault", "GnuPG", &["gpg", "gpgconf"]) else { return };
    let make =
        "gpg --batch --quiet --passphrase '' --quick-generate-key me@example.com default default never\n";
    recipe.script.insert_str(0, make);
    recipe.opens("gpg");
    recipe.shell("gpgconf --kill gpg-agent");
}

#[test]
fn age_opens_the_vault() {
    let Some(mut recipe) = Recipe::of("age_opens_the_vault", "age", &["age", "age-keygen"]) else { return };
    recipe.opens("age");
}
