//! Variables made of secrets: which names are set only if the command line says so. Names come from anyone with write access to
//! the vault; so a glob, `--all`, an id or a prefix that is taken off must not end in a name that means something to
//! shells or programs.

use std::fmt::Write;

use secrets_proto::variable::{self, Reason};
use secrets_proto::{SecretName, Selector};

use crate::failure::{Exit, Failure};
use crate::output;

/// The names that a command line allows.
#[derive(Debug)]
pub(crate) struct Allowed {
    /// Secrets that were named, and not found by a glob or an id.
    named: Vec<SecretName>,
    /// Variables that `--allow-name` names.
    variables: Vec<SecretName>,
}

impl Allowed {
    /// From what selects secrets and from the arguments of `--allow-name`, which are names and no globs.
    pub(crate) fn parse(selectors: &[Selector], allowed: &[String]) -> Result<Self, Failure> {
        let named = selectors.iter().filter_map(|selector| match selector {
            Selector::Name(name) => Some(name.clone()),
            Selector::Id(_) | Selector::Glob(_) => None,
        });
        let names = allowed.iter().flat_map(|names| names.split(','));
        let variables = names.map(SecretName::parse).collect::<Result<_, _>>().map_err(|_| {
            let wrong = "--allow-name must be exact names, repeatable or separated by commas";
            Failure::new(Exit::Invalid, wrong)
        })?;
        Ok(Self { named: named.collect(), variables })
    }

    /// Why a program must not get this secret as this variable, if so.
    pub(crate) fn in_environment(&self, secret: &SecretName, name: &str) -> Option<Reason> {
        let is_named = secret.as_str() == name && self.named.contains(secret);
        // The lists of names are long, and most secrets are named.
        if is_named || self.allows(name) { None } else { variable::in_environment(name) }
    }

    /// Why a shell must not read an assignment to this variable, if so. That the secret was named is not enough: in a
    /// shell such a name executes the value or loses it.
    pub(crate) fn in_shell(&self, name: &str) -> Option<Reason> {
        variable::in_shell(name).filter(|_| !self.allows(name))
    }

    fn allows(&self, name: &str) -> bool {
        self.variables.iter().any(|allowed| allowed.as_str().eq_ignore_ascii_case(name))
    }
}

/// The failure that names all variables that must not be set, if there are any, with the reason and what to do.
pub(crate) fn settle(refused: &[(String, Reason)], what_to_do: &str) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("{}; {what_to_do}", listed(refused))))
}

/// Says which names are bad ones for variables, if any are.
pub(crate) fn warn<'a>(names: impl IntoIterator<Item = &'a SecretName>) {
    let found = names
        .into_iter()
        .flat_map(|name| variable::reasons(name.as_str()).map(|reason| (name.to_string(), reason)));
    let found: Vec<(String, Reason)> = found.collect();
    if !found.is_empty() {
        output::say(&format!(
            "{}; `secretctl run` and `export` refuse such a variable unless it is named exactly (with -s, or --allow-name for a shell); choose another name if you can",
            listed(&found)
        ));
    }
}

/// The names, put together by their reason.
fn listed(refused: &[(String, Reason)]) -> String {
    let mut reasons: Vec<Reason> = refused.iter().map(|(_, reason)| *reason).collect();
    reasons.sort();
    reasons.dedup();
    let mut text = String::new();
    for reason in reasons {
        let names: Vec<&str> =
            refused.iter().filter(|(_, other)| *other == reason).map(|(name, _)| name.as_str()).collect();
        let between = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{between}{}: {}", names.join(", "), reason.text());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(selectors: &[&str], names: &[&str]) -> Allowed {
        let selectors: Vec<Selector> = selectors.iter().map(|text| Selector::parse(text).unwrap()).collect();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Allowed::parse(&selectors, &names).unwrap()
    }

    #[test]
    fn only_a_name_allows_a_variable() {
        let name = |text: &str| SecretName::parse(text).unwrap();
        let path = name("PATH");
        let id = "2489e9ad-2ee2-4e00-8ec9-32d5f69181c0";
        for selectors in [&["*"][..], &["PAT?"], &[id], &["OTHER"]] {
            assert_eq!(
                allowed(selectors, &[]).in_environment(&path, "PATH"),
                Some(Reason::Steering),
                "{selectors:?}"
            );
        }
        assert_eq!(allowed(&["*", "path"], &[]).in_environment(&path, "PATH"), None);
        assert_eq!(allowed(&["*"], &["path"]).in_environment(&path, "PATH"), None);
        // Named, but under another name.
        let stripped = allowed(&["PROD_PATH"], &[]).in_environment(&name("PROD_PATH"), "PATH");
        assert_eq!(stripped, Some(Reason::Steering));
        assert_eq!(allowed(&["OPTIND"], &[]).in_shell("OPTIND"), Some(Reason::Evaluated));
        assert_eq!(allowed(&["OPTIND"], &["OPTIND"]).in_shell("OPTIND"), None);
        assert_eq!(allowed(&[], &[]).in_shell("prompt"), Some(Reason::Executed));
    }

    #[test]
    fn all_names_are_told_by_their_reason() {
        let refused = [("A", Reason::Steering), ("B", Reason::Evaluated), ("C", Reason::Steering)]
            .map(|(name, reason)| (name.to_owned(), reason));
        let failure = settle(&refused, "do so").unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(
            failure.message(),
            "B: a shell evaluates what is assigned to it; A, C: it steers what programs run, load or trust; do so"
        );
        assert!(settle(&[], "").is_ok());
    }

    #[test]
    fn what_is_allowed_is_a_name() {
        assert!(Allowed::parse(&[], &["P*".to_owned()]).is_err());
        assert!(allowed(&[], &["A,OPTIND"]).in_shell("OPTIND").is_none());
    }
}
