//! Names that may have been meant: those of secrets that differ from a word by a slip or two. Only names that the
//! caller may list are looked at.

use secrets_client::Call;
use secrets_proto::SecretName;
use secrets_proto::secret::{Secret, SecretList};
use strsim::osa_distance;

use crate::session::Session;

/// The names that the caller may list; none if it may list none, or the vault is locked.
pub(crate) fn listed(session: &Session) -> Vec<SecretName> {
    let list = session.call_as_is(&Call::list()).ok();
    let list = list.and_then(|answer| answer.parse::<SecretList<Secret>>().ok());
    list.map(|list| list.secrets.into_iter().map(|secret| secret.name).collect()).unwrap_or_default()
}

/// The one name that is nearest to a name which is not there: at most two characters left out, added, replaced or
/// swapped with their neighbour, and one in three at most. None is better than a wild guess.
pub(crate) fn meant<'a>(name: &SecretName, among: &'a [SecretName]) -> Option<&'a SecretName> {
    nearest(name, among, |_| true)
}

/// The one name that a new name may be a slip of. Names that differ on purpose are none: by a number, or by a short word
/// between underscores, as `DB_EU_URL` and `DB_US_URL`.
pub(crate) fn mistyped<'a>(name: &SecretName, among: &'a [SecretName]) -> Option<&'a SecretName> {
    nearest(name, among, |other| !differ_on_purpose(name.as_str(), other.as_str()))
}

fn nearest<'a>(
    name: &SecretName,
    among: &'a [SecretName],
    fits: impl Fn(&SecretName) -> bool,
) -> Option<&'a SecretName> {
    let most = 2.min(name.as_str().len() / 3);
    let near: Vec<(usize, &SecretName)> = among
        .iter()
        // The distance is no less, and this is faster.
        .filter(|other| other.as_str().len().abs_diff(name.as_str().len()) <= most)
        .map(|other| (osa_distance(name.as_str(), other.as_str()), other))
        .filter(|(slips, other)| (1..=most).contains(slips) && fits(other))
        .collect();
    let least = near.iter().map(|(slips, _)| *slips).min()?;
    let mut nearest = near.iter().filter(|(slips, _)| *slips == least);
    let (_, found) = nearest.next()?;
    nearest.next().is_none().then_some(*found)
}

fn differ_on_purpose(one: &str, other: &str) -> bool {
    let (words, others) = (words(one), words(other));
    if words == others {
        return true;
    }
    words.len() == others.len()
        && words.iter().zip(&others).any(|(word, other)| {
            let slips = osa_distance(word, other);
            slips > 0 && slips * 2 >= word.len().max(other.len())
        })
}

/// The words of a name, without its numbers.
fn words(name: &str) -> Vec<&str> {
    let without = name.split('_').map(|word| word.trim_matches(|character: char| character.is_ascii_digit()));
    without.filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<SecretName> {
        texts.iter().map(|text| SecretName::parse(text).unwrap()).collect()
    }

    fn found(
        name: &str,
        among: &[&str],
        find: for<'a> fn(&SecretName, &'a [SecretName]) -> Option<&'a SecretName>,
    ) -> Option<String> {
        find(&SecretName::parse(name).unwrap(), &names(among)).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn a_slip_or_two_are_found() {
        let there = ["OPENAI_API_KEY", "BLOG_DATABASE_URL", "AB"];
        for slip in ["OPENAI_API_KY", "OPENAI_API_KEYS", "OPENIA_API_KEY", "OPENAI_APIKEY", "OPENAI_API_LEZ"]
        {
            assert_eq!(found(slip, &there, meant).as_deref(), Some("OPENAI_API_KEY"), "{slip}");
        }
        assert_eq!(found("BLOG_DATABSE_URL", &there, mistyped).as_deref(), Some("BLOG_DATABASE_URL"));
        for other in ["OPENAI_KEY", "A", "AC", "ANTHROPIC_API_KEY"] {
            assert_eq!(found(other, &there, meant), None, "{other}");
        }
        // Of two that are as near neither is guessed.
        assert_eq!(found("KEY_C", &["KEY_A", "KEY_B"], meant), None);
    }

    #[test]
    fn names_that_differ_on_purpose_are_no_slips() {
        for (name, there) in [
            ("API_KEY_2", "API_KEY_1"),
            ("API_KEY2", "API_KEY"),
            ("API_KEY_2", "API_KEY"),
            ("DB_US_URL", "DB_EU_URL"),
            ("KEY_OF_B", "KEY_OF_A"),
        ] {
            assert_eq!(found(name, &[there], mistyped), None, "{name}");
        }
        assert_eq!(found("OPENAI_API_KY", &["OPENAI_API_KEY"], mistyped).as_deref(), Some("OPENAI_API_KEY"));
        assert_eq!(found("OPENAIAPI_KEY", &["OPENAI_API_KEY"], mistyped).as_deref(), Some("OPENAI_API_KEY"));
    }
}
