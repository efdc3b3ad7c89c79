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

/// The name under which a helper looks for what belongs to a host: `DOCKER__REGISTRY_EXAMPLE_COM_5000`. What stands before
/// and behind the host of an address does not count.
pub(crate) fn of_host(prefix: &str, address: &str) -> Option<String> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    Some(format!("{prefix}__{}", one(host)?))
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
            ("https://index.docker.io/v1/", "DOCKER__INDEX_DOCKER_IO"),
            ("reg.example.com:5000", "DOCKER__REG_EXAMPLE_COM_5000"),
            ("ghcr.io", "DOCKER__GHCR_IO"),
            ("https://me@Quay.io/x", "DOCKER__QUAY_IO"),
        ] {
            assert_eq!(of_host("DOCKER", address).as_deref(), Some(name));
        }
        assert_eq!(of_host("DOCKER", "https:///"), None);
        assert_eq!(of_named("CARGO", "crates-io").as_deref(), Some("CARGO__CRATES_IO"));
    }
}
