//! The name that a secret gets from what it is called elsewhere.

/// A name made of these parts with `_` between them: in upper case, each run of characters that a name cannot have as one
/// `_`, none at either end of a part. Nothing if a part has no letter and no digit.
pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut name = String::new();
    for part in parts {
        let part = one(part)?;
        if !name.is_empty() {
            name.push('_');
        }
        name.push_str(&part);
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    (!name.is_empty()).then_some(name)
}

/// The name under which a helper looks for what belongs to a host: of what it has beside letters and digits, `.` becomes
/// one underscore, `-` two, `:` three, `_` five, so that two hosts never share a name. What stands before and behind the
/// host of an address does not count; nor does the port that https has. Nothing for what is no host.
pub(crate) fn of_host(prefix: &str, address: &str) -> Option<String> {
    place(address).and_then(|(authority, _)| Some(format!("{prefix}__{}", encoded(&authority)?)))
}

/// The same for an address whose path counts, with `/` as seven underscores. `kept` says of host and path what they are
/// to docker, which knows some registries by several addresses.
pub(crate) fn of_address(
    prefix: &str,
    address: &str,
    kept: impl FnOnce(String, &str) -> (String, String),
) -> Option<String> {
    let (authority, path) = place(address)?;
    let (authority, path) = kept(authority, path);
    let text = if path.is_empty() { authority } else { format!("{authority}/{path}") };
    Some(format!("{prefix}__{}", encoded(&text)?))
}

/// Host with port, and path.
fn place(address: &str) -> Option<(String, &str)> {
    let (scheme, rest) =
        address.split_once("://").map_or((None, address), |(scheme, rest)| (Some(scheme), rest));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let authority = match scheme {
        Some("https") => authority.strip_suffix(":443").map_or(authority.clone(), str::to_owned),
        Some("http") if !authority.contains(':') => format!("{authority}:80"),
        _ => authority,
    };
    Some((authority, path.trim_matches('/')))
}

/// As part of a name, from which it can be told: words with one separator between them, or hyphens alone.
fn encoded(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut name = String::new();
    for piece in text.as_bytes().chunk_by(|one, other| is_plain(*one) == is_plain(*other)) {
        let count = match piece {
            [first, ..] if is_plain(*first) => {
                name.push_str(&std::str::from_utf8(piece).ok()?.to_ascii_uppercase());
                continue;
            }
            _ if name.is_empty() => return None,
            b"." => 1,
            b":" => 3,
            b"_" => 5,
            b"/" => 7,
            hyphens if hyphens.iter().all(|byte| *byte == b'-') => 2 * hyphens.len(),
            _ => return None,
        };
        name.push_str(&"_".repeat(count));
    }
    name.ends_with(|c: char| c != '_').then_some(name)
}

/// The name under which a helper looks for what has a name of its own: `CARGO__CRATES_IO`.
pub(crate) fn of_named(prefix: &str, name: &str) -> Option<String> {
    Some(format!("{prefix}__{}", one(name)?))
}

fn one(part: &str) -> Option<String> {
    let mut name = String::with_capacity(part.len());
    let mut in_gap = false;
    for c in part.chars() {
        let fits = c.is_ascii_alphanumeric() || c == '_';
        if fits {
            if in_gap && !name.is_empty() && !name.ends_with('_') && c != '_' {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        in_gap = !fits;
    }
    name.contains(|c: char| c.is_ascii_alphanumeric()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_variables() {
        for (parts, name) in [
            (&["db", "password"][..], Some("DB_PASSWORD")),
            (&["GitHub – personal token"], Some("GITHUB_PERSONAL_TOKEN")),
            (&["a.b-c", "0"], Some("A_B_C_0")),
            (&["  x  "], Some("X")),
            (&["9lives"], Some("_9LIVES")),
            (&["_private"], Some("_PRIVATE")),
            (&["a_ b"], Some("A_B")),
            (&["日本"], None),
            (&["x", "—"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(of(parts.iter().copied()).as_deref(), name, "{parts:?}");
        }
    }

    #[test]
    fn hosts_are_found_in_addresses() {
        for (address, name) in [
            ("example.com", Some("P__EXAMPLE_COM")),
            ("https://me:canary@Example.com:443/x", Some("P__EXAMPLE_COM")),
            ("example.com:443", Some("P__EXAMPLE_COM___443")),
            ("https://example.com:8443/?q#f", Some("P__EXAMPLE_COM___8443")),
            ("my-registry.example.com", Some("P__MY__REGISTRY_EXAMPLE_COM")),
            ("my_registry:5000", Some("P__MY_____REGISTRY___5000")),
            ("http://localhost", Some("P__LOCALHOST___80")),
            ("http://127.0.0.1:5000", Some("P__127_0_0_1___5000")),
            ("https:///", None),
            ("a..b", None),
            ("-a", None),
            ("b\u{fc}cher.example", None),
        ] {
            assert_eq!(of_host("P", address).as_deref(), name, "{address}");
        }
        assert_eq!(of_named("CARGO", "crates-io").as_deref(), Some("CARGO__CRATES_IO"));
    }
}
