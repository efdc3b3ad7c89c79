//! The names under which other programs look for us: each is a link to `secretctl`, and stands for a command.

use std::ffi::OsString;
use std::path::Path;

/// Each link and its command. `install.sh` places all but `keyring`, which would come before Python's command of that
/// name.
pub(crate) const LINKS: [(&str, &str); 4] = [
    // docker, docker-credential-helpers: the name is the setting's word behind `docker-credential-`
    ("docker-credential-secretctl", "docker-credential"),
    // The Cargo Book, "Credential Provider Protocol"
    ("cargo-credential-secretctl", "cargo-credential"),
    // Ansible's guide to vaults: a script whose name ends in `-client` is asked for an id
    ("secretctl-vault-client", "vault-client"),
    ("keyring", "keyring"),
];

/// The words of the command line; under the name of a link with its command behind that name.
pub(crate) fn expand(mut words: Vec<OsString>) -> Vec<OsString> {
    let name = words.first().and_then(|word| Path::new(word).file_name());
    if let Some((_, command)) = LINKS.iter().find(|(link, _)| name.is_some_and(|name| name == *link)) {
        words.insert(1, (*command).into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stands_for_its_command() {
        let expanded =
            |words: &[&str]| -> Vec<OsString> { expand(words.iter().map(OsString::from).collect()) };
        assert_eq!(expanded(&["/x/docker-credential-secretctl", "get"])[1..], ["docker-credential", "get"]);
        assert_eq!(expanded(&["keyring"])[1..], ["keyring"]);
        for same in [&["secretctl", "keyring"][..], &["x/secretctl"], &["keyring/secretctl", "list"], &[]] {
            assert_eq!(expanded(same), same);
        }
    }
}
