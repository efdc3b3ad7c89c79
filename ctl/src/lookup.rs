//! From what a user types to a secret: names and ids are looked up in the list, because the API has no
//! other way to a name. Also how such a word is shown again, if at all.

use std::fmt;

use secrets_client::Call;
use secrets_proto::secret::{Secret, SecretDetail, SecretList};
use secrets_proto::{FieldErrorType, Invalid, SecretName, Selector, UnitName};

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{near, providers};

/// What a command that takes exactly one secret is given.
#[derive(Debug, Clone)]
pub(crate) struct Wanted(Selector);

impl Wanted {
    /// Reads a name or id.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        match Selector::parse(text)? {
            Selector::Glob(_) => Err(Invalid::new(
                FieldErrorType::StringPatternMismatch,
                "expected one secret by name or id, not a glob",
            )),
            exact @ (Selector::Id(_) | Selector::Name(_)) => Ok(Self(exact)),
        }
    }

    /// The selector of this one secret.
    pub(crate) fn into_selector(self) -> Selector {
        self.0
    }

    /// The secret, if there is one.
    pub(crate) fn find(&self, session: &Session) -> Result<Option<SecretDetail>, Failure> {
        let call = Call::list().query("view", "full");
        let call = match &self.0 {
            Selector::Name(name) => call.query("name", name.as_str()),
            Selector::Id(_) | Selector::Glob(_) => call,
        };
        let list: SecretList<SecretDetail> = session.fetch(&call)?;
        Ok(list.secrets.into_iter().find(|detail| self.is(&detail.secret)))
    }

    /// The secret, or the failure that it does not exist.
    pub(crate) fn get(&self, session: &Session) -> Result<SecretDetail, Failure> {
        self.find(session)?.ok_or_else(|| absent(session, std::slice::from_ref(&self.0)))
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, secret: &Secret) -> bool {
        match &self.0 {
            Selector::Name(name) => *name == secret.name,
            Selector::Id(id) => *id == secret.id,
            Selector::Glob(_) => false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// The failure that these do not exist, all at once.
pub(crate) fn missing(selectors: &[Selector]) -> Failure {
    missing_among(selectors, &[])
}

/// The failure that these do not exist, with the names that may have been meant, as far as the caller may list them.
pub(crate) fn absent(session: &Session, selectors: &[Selector]) -> Failure {
    missing_among(selectors, &near::listed(session))
}

/// The failure that these do not exist, with the names among the listed ones that may have been meant.
pub(crate) fn missing_among(selectors: &[Selector], listed: &[SecretName]) -> Failure {
    let names: Vec<String> = selectors.iter().map(shown).collect();
    let meant: Vec<String> = selectors.iter().filter_map(|selector| meant(selector, listed)).collect();
    let see = if meant.len() == names.len() { "" } else { "see: secretctl list" };
    let advice = if meant.is_empty() {
        see.to_owned()
    } else {
        format!("did you mean {}? {see}", meant.join(", ")).trim_end().to_owned()
    };
    Failure::new(Exit::NotFound, format!("no such secret: {}; {advice}", names.join(", ")))
}

/// The listed names of which one may have been meant, as they stand in a question.
pub(crate) fn meant(selector: &Selector, listed: &[SecretName]) -> Option<String> {
    let Selector::Name(name) = selector else { return None };
    let names: Vec<&str> = near::meant(name, listed).into_iter().map(SecretName::as_str).collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

/// The failure that a unit may not load these anyway, all at once.
pub(crate) fn not_granted(unit: &UnitName, selectors: &[Selector]) -> Failure {
    let names = listed(selectors);
    Failure::new(
        Exit::NotFound,
        format!("{unit} is not allowed to load {names}; see: secretctl credential list"),
    )
}

/// Turns the daemon's "not found", which speaks of positions, into one that names what is missing.
pub(crate) fn name_the_missing(failure: Failure, selectors: &[Selector]) -> Failure {
    named(failure, selectors, missing)
}

/// Names what is missing as [`name_the_missing`] does, and what may have been meant.
pub(crate) fn name_the_absent(session: &Session, failure: Failure, selectors: &[Selector]) -> Failure {
    named(failure, selectors, |names| absent(session, names))
}

fn named(failure: Failure, selectors: &[Selector], name: impl FnOnce(&[Selector]) -> Failure) -> Failure {
    let names = those_missing(&failure, selectors);
    if names.is_empty() { failure } else { name(&names) }
}

/// Those that the daemon did not find, by their positions.
pub(crate) fn those_missing(failure: &Failure, selectors: &[Selector]) -> Vec<Selector> {
    let positions = if failure.exit() == Exit::NotFound { failure.positions() } else { Vec::new() };
    positions.iter().filter_map(|position| selectors.get(*position).cloned()).collect()
}

/// Selectors as they may be shown, in a row.
pub(crate) fn listed(selectors: &[Selector]) -> String {
    selectors.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// A selector as it may be shown: a key in the wrong place is not.
pub(crate) fn shown(selector: &Selector) -> String {
    let text = selector.to_string();
    // Names are kept in upper case, prefixes of keys are mostly lower.
    if providers::looks_like_key(&text) || providers::looks_like_key(&text.to_ascii_lowercase()) {
        return "(looks like a key, not shown)".to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_ids_but_no_patterns() {
        assert!(Wanted::parse("a_key").is_ok());
        assert!(Wanted::parse("2489e9ad-2ee2-4e00-8ec9-32d5f69181c0").is_ok());
        for bad in ["A*", "", "sk-x", "A=b"] {
            assert!(Wanted::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_that_is_missing_is_named_but_no_key() {
        let selectors = ["a", "B_*", "ghp_abcdefghijklmnop"].map(|text| Selector::parse(text).unwrap());
        assert_eq!(
            missing(&selectors).message(),
            "no such secret: A, B_*, (looks like a key, not shown); see: secretctl list"
        );
    }

    #[test]
    fn what_may_have_been_meant_is_asked() {
        let listed = ["OPENAI_API_KEY", "STRIPE_KEY"].map(|text| SecretName::parse(text).unwrap());
        let message = |texts: &[&str]| {
            let selectors: Vec<Selector> = texts.iter().map(|text| Selector::parse(text).unwrap()).collect();
            missing_among(&selectors, &listed).message().to_owned()
        };
        assert_eq!(
            message(&["openai_api_ky"]),
            "no such secret: OPENAI_API_KY; did you mean OPENAI_API_KEY?"
        );
        assert_eq!(message(&["OPENAI"]), "no such secret: OPENAI; did you mean OPENAI_API_KEY?");
        assert_eq!(message(&["KEY"]), "no such secret: KEY; did you mean OPENAI_API_KEY or STRIPE_KEY?");
        assert_eq!(
            message(&["OPENAI_API_KY", "NONE", "STRIPE_KEYS"]),
            "no such secret: OPENAI_API_KY, NONE, STRIPE_KEYS; did you mean OPENAI_API_KEY, STRIPE_KEY? see: secretctl list"
        );
    }
}
