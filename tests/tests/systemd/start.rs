//! Keys that open the vault when the daemon starts, and not after a lock: a credential that systemd hands over, a key
//! file, a key provider command.

use secretsd_tests::harness::skip;
use secretsd_tests::lab::User;

use crate::support::{drop_in, init, installed, main_pid, settings, state, user};

const SERVICE: &str = "secretsd.service";

/// A user with a vault and a second key, `start.key`, which is not yet one of the vault's.
fn with_key(test: &str, name: &str) -> Option<User<'static>> {
    let user = user(installed(test)?, name);
    init(&user);
    user.write("start.key", 0o600, [0x53; 40]);
    Some(user)
}

/// Makes the key that the next start is to bring one of the vault's, by these arguments of `key add`, and follows the
/// vault through a start, a lock, and another start.
fn opens_at_start_only(user: &User<'_>, kind: &[&str], by: &str) {
    user.systemctl(&["restart", SERVICE]);
    assert_eq!(state(user), "locked", "the key is not one of the vault's yet");
    assert!(user.journal(SERVICE).contains("the key for unlocking at start does not open the vault"));
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    user.run("secretctl", &[&["key", "add"], kind].concat());
    user.systemctl(&["restart", SERVICE]);
    assert_eq!(state(user), "unlocked");
    assert!(user.journal(SERVICE).contains(&format!("unlocked at start by=\"{by}\"")));

    let pid = main_pid(user);
    user.run("secretctl", &["lock"]);
    assert_eq!((state(user).as_str(), main_pid(user)), ("locked", pid));
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    user.systemctl(&["kill", "--signal=USR1", SERVICE]);
    user.lab().until("locked by the signal", || state(user) == "locked");
    assert_eq!(main_pid(user), pid);
    user.systemctl(&["restart", SERVICE]);
    assert_eq!(state(user), "unlocked");
}

#[test]
fn a_credential_opens_the_vault_at_start() {
    let Some(user) = with_key("a_credential_opens_the_vault_at_start", "bearer") else { return };
    drop_in(&user, "key", "[Service]\nLoadCredential=secretsd.key:%h/start.key\n");
    opens_at_start_only(&user, &["--credential"], "credential");
}

#[test]
fn a_key_file_opens_the_vault_at_start() {
    let Some(user) = with_key("a_key_file_opens_the_vault_at_start", "filer") else { return };
    settings(&user, "[unlock_at_start]\nkey_file = \"/home/filer/start.key\"");
    opens_at_start_only(&user, &["--key-file", "start.key"], "key file");
}

#[test]
fn a_key_provider_opens_the_vault_at_start() {
    let Some(user) = with_key("a_key_provider_opens_the_vault_at_start", "provider") else { return };
    settings(
        &user,
        "[key_providers.cat]\nargv = [\"/bin/cat\", \"/home/provider/start.key\"]\n\
         [unlock_at_start]\nkey_provider = \"cat\"",
    );
    opens_at_start_only(&user, &["--key-provider", "cat"], "key provider");
}

#[test]
fn a_key_in_the_kernels_keyring_opens_the_vault_by_each_documented_way() {
    let test = "a_key_in_the_kernels_keyring_opens_the_vault_by_each_documented_way";
    let Some(lab) = installed(test) else { return };
    let user = user(lab, "keyholder");
    let there = user.command("sh").args(["-c", "keyctl show @u >/dev/null"]).output().unwrap();
    if !there.status.success() {
        return skip(test, "there is no keyctl, or the kernel lets nobody use the user's keyring here");
    }
    init(&user);
    user.run("sh", &["-c", "head -c 32 /dev/urandom | keyctl padd user secretsd @u"]);
    let providers = "
[key_providers.inside]
argv = [\"/usr/bin/keyctl\", \"pipe\", \"%user:secretsd\"]
[key_providers.outside]
argv = [\"/usr/bin/systemd-run\", \"--user\", \"--quiet\", \"--pipe\", \"--wait\", \"--collect\", \"-p\", \"RuntimeMaxSec=5\",
  \"/usr/bin/keyctl\", \"pipe\", \"%user:secretsd\"]
";
    settings(&user, providers);
    let opens_by = |name: &str| {
        user.systemctl(&["restart", SERVICE]);
        user.command("secretctl").args(["unlock", "--key-provider", name]).output().unwrap()
    };
    user.systemctl(&["restart", SERVICE]);
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    user.run("secretctl", &["key", "add", "--key-provider", "outside"]);
    assert!(opens_by("outside").status.success());
    let told = String::from_utf8(opens_by("inside").stderr).unwrap();
    assert!(told.contains("`inside` gave no key: it ended with exit status 1"), "{told}");
    drop_in(&user, "keyring", "[Service]\nKeyringMode=shared\n");
    let opened = opens_by("inside");
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    user.run("keyctl", &["unlink", "%user:secretsd", "@u"]);
}
