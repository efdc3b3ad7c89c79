//! Which entries of a file look like settings: they are no secrets, and a program reads them from the file as before.

use secrets_proto::SecretName;

use super::entries::Item;
use super::plan::names;
use crate::failure::Failure;
use crate::{output, prompt};

/// Names that frameworks and programs read and that say how something runs.
const NAMES: [&str; 16] = [
    "PORT",
    "HOST",
    "HOSTNAME",
    "NODE_ENV",
    "APP_ENV",
    "RAILS_ENV",
    "RACK_ENV",
    "FLASK_ENV",
    "ENVIRONMENT",
    "ENV",
    "DEBUG",
    "LOG_LEVEL",
    "VERBOSE",
    "TZ",
    "LANG",
    "CI",
];

/// More characters than a port, a word or a host's short name has.
const LONGEST: usize = 24;

/// The names of those that look like settings, by what they are called and by a value as short and plain as settings have.
pub(super) fn among(items: &[Item], prefix: Option<&SecretName>) -> Vec<SecretName> {
    let is_setting = |item: &&Item| {
        let name = item.name.as_str();
        let name = prefix.and_then(|prefix| name.strip_prefix(prefix.as_str())).unwrap_or(name);
        let value = item.value.expose();
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:/*".contains(c);
        NAMES.contains(&name) && value.len() <= LONGEST && value.chars().all(plain)
    };
    // One of a JSON file could not stay there by itself.
    let in_line = |item: &&Item| item.place.line().is_some();
    items.iter().filter(is_setting).filter(in_line).map(|item| item.name.clone()).collect()
}

/// Asks whether what looks like a setting stays where it is. Gives what does.
pub(super) fn leave_settings(
    items: &mut Vec<Item>,
    prefix: Option<&SecretName>,
    file: &str,
) -> Result<Vec<Item>, Failure> {
    let found = among(items, prefix);
    if found.is_empty() || found.len() == items.len() || !output::stdout_is_terminal() || !prompt::can_ask() {
        return Ok(Vec::new());
    }
    let stored = names(&found.iter().collect::<Vec<_>>());
    let written = |name: &SecretName| {
        let rest = prefix.and_then(|prefix| name.as_str().strip_prefix(prefix.as_str()));
        rest.unwrap_or(name.as_str()).to_owned()
    };
    let shown = match prefix {
        // Only names of a list of ours are among these.
        Some(_) => {
            let written: Vec<String> = found.iter().map(written).collect();
            format!("{} (stored as {stored})", written.join(", "))
        }
        None => stored,
    };
    let (like, them) =
        if found.len() == 1 { ("looks like a setting", "it") } else { ("look like settings", "them") };
    let question = format!("{shown} {like}; leave {them} in {file}?");
    let is_left = prompt::accept(&question)
        .map_err(|error| error.into_failure("nothing was stored", "name what to leave with --except"))?;
    if !is_left {
        return Ok(Vec::new());
    }
    let (left, others) = std::mem::take(items).into_iter().partition(|item| found.contains(&item.name));
    *items = others;
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::super::entries::Reading;
    use super::*;

    #[test]
    fn settings_are_known_by_name_and_value() {
        let text = b"PORT=3000\nNODE_ENV=production\nAPI_KEY=abc\nDEBUG=app:*\nENV='a secret, it seems'\n";
        let names = |reading: Reading| {
            let found = among(&reading.read(text).items, reading.prefix.as_ref());
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(Reading::default()), ["PORT", "NODE_ENV", "DEBUG"]);
        let prefix = Some(SecretName::parse("X_").unwrap());
        assert_eq!(names(Reading { prefix, ..Reading::default() }), ["X_PORT", "X_NODE_ENV", "X_DEBUG"]);
    }
}
