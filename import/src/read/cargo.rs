//! cargo's `credentials.toml` (The Cargo Book, "Configuration", "Credentials"): tokens of registries, under the names that
//! our credential provider looks for.

use toml::{Table, Value};
use zeroize::Zeroizing;

use crate::found::Found;
use crate::name;

/// The token of each registry.
pub(crate) fn read(text: &str) -> Found {
    let table: Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => {
            // Its words quote the line.
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text.get(..start).unwrap_or_default().matches('\n').count();
            return Found::refused(format!("line {line}"), "not valid TOML");
        }
    };
    let mut found = Found::default();
    if let Some(registry) = table.get("registry").and_then(Value::as_table) {
        take(&mut found, "registry", "crates-io", registry);
    }
    for (name, registry) in table.get("registries").and_then(Value::as_table).into_iter().flatten() {
        if let Some(registry) = registry.as_table() {
            take(&mut found, &format!("registries.{name}"), name, registry);
        }
    }
    if !found.entries.is_empty() {
        let line = "in config.toml beside it, below [registry]: global-credential-providers = [\"cargo-credential-secretctl\"]";
        found.instead.insert(0, line.to_owned());
    }
    found
}

fn take(found: &mut Found, path: &str, name: &str, registry: &Table) {
    let named = name::of_named("CARGO", name);
    match registry.get("token") {
        Some(Value::String(token)) => {
            let place = format!("{path}.token");
            if let Some(named) = &named {
                found.put_instead(format!(
                    "and say which index it is for: secretctl edit {named} --note index=URL"
                ));
            }
            found.add(&place, named.clone(), Zeroizing::new(token.clone()));
            if name == "crates-io" {
                found.issued_by("crates-io", &place);
            }
        }
        Some(_) => found.fault(format!("{path}.token"), named.clone(), "not a string"),
        None => {}
    }
    if registry.contains_key("secret-key") {
        found.fault(
            format!("{path}.secret-key"),
            named,
            "a key for asymmetric tokens, which a credential provider cannot give; leave it out with --except",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_named_by_their_registry() {
        let found = read(
            "[registry]\ntoken = \"a\"\n[registries.my-reg]\ntoken = \"b\"\n[registries.k]\nsecret-key = \"canary\"\n[registries.n]\ntoken = 1\n",
        );
        let read: Vec<_> =
            found.entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str())).collect();
        assert_eq!(read, [("CARGO__CRATES_IO", "a"), ("CARGO__MY_REG", "b")]);
        assert_eq!(found.faults.len(), 2);
        let found = super::read("[registry]\ntoken = canary\n");
        assert_eq!(
            (found.faults[0].place.as_str(), found.faults[0].reason.as_str()),
            ("line 2", "not valid TOML")
        );
    }
}
