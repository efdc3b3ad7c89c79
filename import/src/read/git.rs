//! What git's helper `store` keeps (git-credential-store(1)): an address with user and password a line, percent-encoded.

use zeroize::Zeroizing;

use crate::found::{Found, PREFIX};
use crate::name;

/// The password of each address.
pub(crate) fn read(text: &str) -> Found {
    let mut found = Found::default();
    let hosts: Vec<Option<String>> = text.lines().map(|line| name::of_host("GIT", line.trim())).collect();
    for (at, line) in text.lines().enumerate() {
        let (line, place) = (line.trim_end_matches('\r'), format!("line {}", at + 1));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts = line.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        let parts = parts
            .and_then(|(both, host)| both.split_once(':').map(|(user, password)| (user, password, host)));
        let Some((user, password, host)) = parts else {
            found.fault(place, None, "not an address with user and password");
            continue;
        };
        let named = name::of_host("GIT", host);
        let is_one_of_many = hosts.iter().filter(|host| host.is_some() && **host == named).count() > 1;
        let (Some(user), Some(password)) = (decoded(user), decoded(password)) else {
            found.fault(place, named, "not percent-encoded UTF-8");
            continue;
        };
        let host = host.split('/').next().unwrap_or_default();
        let more = if is_one_of_many { name::of([user.as_str()]) } else { None };
        let named = named.map(|name| more.map_or(name.clone(), |user| format!("{name}_{user}")));
        if let (Some(name), user) = (&named, user.as_str()) {
            found.put_instead(format!(
                "nothing, but: git config --global --add credential.helper '!secretctl git-credential --host {user}@{host}={PREFIX}{name}'"
            ));
        }
        found.add_noted(place, named, password, Some(format!("user={}", user.as_str())));
    }
    found
}

fn decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(std::mem::take(&mut *bytes)).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_decoded() {
        let found = read("https://me:a%40b%3Ac@git.example.com\nhttps://x@y\nhttps://u:%zz@h\n\n");
        let entry = &found.entries[0];
        assert_eq!(
            (entry.name.as_str(), entry.value.as_str(), entry.note.as_deref()),
            ("GIT__GIT_EXAMPLE_COM", "a@b:c", Some("user=me"))
        );
        assert_eq!((found.entries.len(), found.faults.len()), (1, 2));
        let found = read("https://me:a@h.example\nhttps://you:b@h.example\n");
        let names: Vec<_> = found.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["GIT__H_EXAMPLE_ME", "GIT__H_EXAMPLE_YOU"]);
    }
}
