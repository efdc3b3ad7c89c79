//! The programs and units in the lab, put there by the project's own script.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use secretsd_tests::env::CHEAP_KDF;
use secretsd_tests::lab::{Lab, User};
use secretsd_tests::programs;

/// Where the checkout's part that is installed from lies inside, with the programs.
pub const SOURCE: &str = "/opt/secretsd";

/// What is installed.
pub const PROGRAMS: [&str; 10] = [
    "secretsd",
    "secretctl",
    "secretsd-broker",
    "secretctl-mcp",
    "secretctl-ui",
    "secretctl-import",
    "secretctl-scan",
    "secretctl-approve",
    "secretsd-bus",
    "secretctl-sync",
];

/// The repository, outside.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The lab with the programs and units installed below `/usr`, for all users. `None` where there can be no lab.
pub fn installed(test: &str) -> Option<&'static Lab> {
    static DONE: OnceLock<()> = OnceLock::new();
    let lab = Lab::shared(test)?;
    DONE.get_or_init(|| install(lab));
    Some(lab)
}

/// Installs the programs and units below `/usr`, for all users.
pub fn install(lab: &Lab) {
    let programs = Path::new(programs!().daemon).parent().unwrap();
    for name in PROGRAMS {
        lab.copy(&programs.join(name), &format!("{SOURCE}/programs/{name}"), 0o755);
    }
    lab.copy(&repository().join("install.sh"), &format!("{SOURCE}/install.sh"), 0o755);
    for page in ["daemon/secretsd.1", "broker/secretsd-broker.1", "bus/secretsd-bus.1"] {
        lab.copy(&repository().join(page), &format!("{SOURCE}/{page}"), 0o644);
    }
    for unit in fs::read_dir(repository().join("systemd/user")).unwrap() {
        let unit = unit.unwrap();
        let name = unit.file_name().into_string().unwrap();
        lab.copy(&unit.path(), &format!("{SOURCE}/systemd/user/{name}"), 0o644);
    }
    let programs = format!("{SOURCE}/programs");
    lab.run("env", &["PREFIX=/usr", &format!("{SOURCE}/install.sh"), "install", &programs]);
}

/// A user with cheap key derivation whose socket is started.
pub fn user<'a>(lab: &'a Lab, name: &str) -> User<'a> {
    let user = lab.user(name);
    settings(&user, "");
    user.systemctl(&["enable", "--now", "--quiet", "secretsd.socket"]);
    user
}

/// Replaces the user's settings: these, and cheap key derivation.
pub fn settings(user: &User<'_>, toml: &str) {
    user.write(".config/secretsd/config.toml", 0o600, format!("{toml}\n{CHEAP_KDF}"));
}

/// Adds to the user's service.
pub fn drop_in(user: &User<'_>, name: &str, text: &str) {
    user.write(&format!(".config/systemd/user/secretsd.service.d/{name}.conf"), 0o644, text);
    user.systemctl(&["daemon-reload"]);
}

/// Makes the user's vault with a key file.
pub fn init(user: &User<'_>) {
    user.write("key", 0o600, [0x4b; 32]);
    user.run("secretctl", &["init", "--key-file", "key"]);
}

/// What `status` says of the user's vault.
pub fn status(user: &User<'_>) -> serde_json::Value {
    serde_json::from_str(&user.run("secretctl", &["status", "--json"])).unwrap()
}

/// The state of the user's vault.
pub fn state(user: &User<'_>) -> String {
    status(user)["state"].as_str().unwrap().to_owned()
}

/// The process of the user's daemon, as its number is inside; 0 if none runs.
pub fn main_pid(user: &User<'_>) -> u32 {
    user.property("secretsd.service", "MainPID").parse().unwrap()
}
