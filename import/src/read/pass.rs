//! One entry of a password store (pass(1), "Extended organization"): the password on the first line, then `name: value`
//! lines; or a text of several lines that is the secret as a whole.

use zeroize::Zeroizing;

use super::base64;
use crate::found::Found;
use crate::name;

/// Names of lines that are no secrets but belong to one.
const USERS: [&str; 4] = ["user", "username", "login", "email"];
const ADDRESSES: [&str; 3] = ["url", "uri", "website"];

/// Takes what an entry holds. `entry` is what the store calls it, with `/` between its directories.
pub(crate) fn take(entry: &str, text: &str, found: &mut Found) {
    let parts: Vec<&str> = entry.split('/').collect();
    let text = text.strip_suffix('\n').unwrap_or(text);
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let own = |text: &str| Zeroizing::new(text.to_owned());
    let place = entry.to_owned();
    if first.starts_with("GOPASS-SECRET-1.0") {
        return found.fault(
            place,
            name::of(parts),
            "of gopass's first format of its own; convert it with gopass fsck",
        );
    }
    let is_whole = first.starts_with("-----BEGIN ") || first.trim_start().starts_with(['{', '<']);
    if rest.is_empty() || is_whole {
        return found.add(place, name::of(parts), own(text));
    }
    let (mut note, mut left) = (None, false);
    let mut fields = Vec::new();
    for line in rest.lines().filter(|line| !line.trim().is_empty() && *line != "---") {
        let field = if line.starts_with("otpauth://") { Some(("otpauth", line)) } else { field_of(line) };
        match field {
            Some((label, value)) => {
                let low = label.to_ascii_lowercase();
                if USERS.contains(&low.as_str()) {
                    note = note.or_else(|| Some(format!("user={value}")));
                } else if !ADDRESSES.contains(&low.as_str()) && !value.is_empty() {
                    fields.push((label, value));
                }
            }
            None => left = true,
        }
    }
    // A long first line and lines of the same kind are one text, such as a key in base64.
    if left && fields.is_empty() && note.is_none() && rest.lines().all(|line| base64::decoded(line).is_some())
    {
        return found.add(place, name::of(parts), own(text));
    }
    if first.is_empty() {
        found.say(format!("{entry}: its first line, which is the password, is empty"));
    } else {
        found.add_noted(place.clone(), name::of(parts.clone()), own(first), note);
    }
    for (label, value) in fields {
        found.add(place.clone(), name::of(parts.iter().copied().chain([label])), own(value));
    }
    if left {
        found.say(format!("{entry}: lines that are no name: value were left out"));
    }
}

fn field_of(line: &str) -> Option<(&str, &str)> {
    let (label, value) = line.split_once(':')?;
    let fits =
        !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.'));
    (fits && !value.starts_with("//")).then(|| (label.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password_and_fields_follow() {
        let mut found = Found::default();
        take(
            "work/aws-key",
            "s3cret\nuser: me\nurl: https://x\napi key: k:v\notpauth://totp/x\n",
            &mut found,
        );
        take("openai", "sk-x\n", &mut found);
        take("pem", "-----BEGIN X-----\na: b\n-----END X-----\n", &mut found);
        take("text", "pw\nsome words here\n", &mut found);
        let read: Vec<_> = found
            .entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.value.as_str(), entry.note.as_deref()))
            .collect();
        assert_eq!(
            read,
            [
                ("WORK_AWS_KEY", "s3cret", Some("user=me")),
                ("WORK_AWS_KEY_API_KEY", "k:v", None),
                ("WORK_AWS_KEY_OTPAUTH", "otpauth://totp/x", None),
                ("OPENAI", "sk-x", None),
                ("PEM", "-----BEGIN X-----\na: b\n-----END X-----", None),
                ("TEXT", "pw", None),
            ]
        );
        assert_eq!((found.notes.len(), found.faults.len()), (1, 0));
    }
}
