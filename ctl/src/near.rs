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

/// The fewest characters of a name that others are looked for by which only hold it.
const A_PART: usize = 3;

/// The most names that a part of them may mean.
const MOST: usize = 3;

/// The names that may be meant by one which is not there. That is the one that is nearest: at most two characters left out,
/// added, replaced or swapped with their neighbour, and one in three at most. Or, if there is none, those few that begin with
/// it or have its words: `OPENAI` and `OPENAI_KEY` may be `OPENAI_API_KEY`. None is better than a wild guess.
pub(crate) fn meant<'a>(name: &SecretName, among: &'a [SecretName]) -> Vec<&'a SecretName> {
    if let Some(near) = nearest(name, among, |_| true) {
        return vec![near];
    }
    let part = name.as_str();
    if part.len() < A_PART {
        return Vec::new();
    }
    let whole: Vec<&SecretName> = among
        .iter()
        .filter(|other| other.as_str().starts_with(part) || has_words(other.as_str(), part))
        .collect();
    if whole.len() > MOST { Vec::new() } else { whole }
}

/// Whether a longer name has all these words, in their order.
fn has_words(name: &str, part: &str) -> bool {
    let split = |text: &'_ str| {
        text.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (words, mut wanted) = (split(name), split(part).into_iter().peekable());
    if wanted.len() >= words.len() {
        return false;
    }
    for word in &words {
        wanted.next_if(|next| next == word);
    }
    wanted.peek().is_none()
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

    fn found(name: &str, among: &[&str]) -> Vec<String> {
        let among = names(among);
        let found = meant(&SecretName::parse(name).unwrap(), &among);
        found.into_iter().map(|name| name.as_str().to_owned()).collect()
    }

    fn slip(name: &str, among: &[&str]) -> Option<String> {
        let among = names(among);
        mistyped(&SecretName::parse(name).unwrap(), &among).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn a_slip_or_two_are_found() {
        let there = ["OPENAI_API_KEY", "BLOG_DATABASE_URL", "AB"];
        for slip in ["OPENAI_API_KY", "OPENAI_API_KEYS", "OPENIA_API_KEY", "OPENAI_APIKEY", "OPENAI_API_LEZ"]
        {
            assert_eq!(found(slip, &there), ["OPENAI_API_KEY"], "{slip}");
        }
        assert_eq!(slip("BLOG_DATABSE_URL", &there).as_deref(), Some("BLOG_DATABASE_URL"));
        for other in ["A", "AC", "ANTHROPIC_API_KEY", "API_OPENAI", "OPENAI_API_KEY_OLD", "OTHER"] {
            assert!(found(other, &there).is_empty(), "{other}");
        }
        // Of two that are as near neither is guessed.
        assert!(found("KEY_C", &["KEY_A", "KEY_B"]).is_empty());
    }

    #[test]
    fn a_part_of_a_name_is_found() {
        let there = ["OPENAI_API_KEY", "BLOG_DATABASE_URL", "SHOP_DATABASE_URL"];
        for part in ["OPENAI", "OPEN", "OPENAI_API", "OPENAI_KEY", "API_KEY"] {
            assert_eq!(found(part, &there), ["OPENAI_API_KEY"], "{part}");
        }
        assert_eq!(found("DATABASE_URL", &there), ["BLOG_DATABASE_URL", "SHOP_DATABASE_URL"]);
        assert!(found("OP", &there).is_empty());
        // Of many none is guessed, and a new name that is a part of another is no slip.
        assert!(found("KEY", &["A_KEY", "B_KEY", "C_KEY", "D_KEY"]).is_empty());
        assert_eq!(slip("OPENAI", &there), None);
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
            assert_eq!(slip(name, &[there]), None, "{name}");
        }
        assert_eq!(slip("OPENAI_API_KY", &["OPENAI_API_KEY"]).as_deref(), Some("OPENAI_API_KEY"));
        assert_eq!(slip("OPENAIAPI_KEY", &["OPENAI_API_KEY"]).as_deref(), Some("OPENAI_API_KEY"));
    }
}
