//! What is told where a session cannot begin: of each secret that it could not use a line of its own, with a command that is
//! whole.

use secrets_proto::{SecretName, Selector};

use crate::failure::Failure;
use crate::globals::Colour;
use crate::session::Session;
use crate::{lookup, output};

/// What the daemon's advice on rules ends with; the secret's name comes behind it.
const SET: &str = "secretctl proxy rule set";
const SHOW: &str = "secretctl proxy rule show";

/// Names what the daemon found fault with among these secrets: those that are missing, or that no rule is for. All but the
/// last are told at once; the last is the failure.
pub(super) fn named(session: &Session, failure: Failure, secrets: &[SecretName]) -> Failure {
    let wanted: Vec<Selector> = secrets.iter().cloned().map(Selector::Name).collect();
    let failure = lookup::name_the_absent(session, failure, &wanted);
    let mut faults: Vec<String> = failure
        .item_faults()
        .into_iter()
        .filter_map(|(at, said)| Some(whole(secrets.get(at)?, &said)))
        .collect();
    let Some(last) = faults.pop() else { return failure };
    faults.iter().for_each(|fault| output::fail(fault, Colour::Auto));
    failure.with_message(last)
}

/// What is said of a secret, with its name, and behind a command on its rules, too.
fn whole(name: &SecretName, said: &str) -> String {
    let host = if said.ends_with(SET) { " --host HOST" } else { "" };
    let completed = if said.ends_with(SET) || said.ends_with(SHOW) {
        format!("{said} {name}{host}")
    } else {
        said.to_owned()
    };
    format!("{name}: {completed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_on_rules_are_whole() {
        let name = SecretName::parse("KEY").unwrap();
        for (said, told) in [
            (
                "no rule; set one with: secretctl proxy rule set",
                "KEY: no rule; set one with: secretctl proxy rule set KEY --host HOST",
            ),
            ("see: secretctl proxy rule show", "KEY: see: secretctl proxy rule show KEY"),
            ("no", "KEY: no"),
        ] {
            assert_eq!(whole(&name, said), told);
        }
    }
}
