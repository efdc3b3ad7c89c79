//! `.npmrc` (docs.npmjs.com, "npmrc"): tokens and passwords of registries, as they are written, for npm puts what a
//! variable holds in the place of `${NAME}` as it is. Lines are read as npm's package `ini` reads them.

use zeroize::Zeroizing;

use crate::found::{Found, PREFIX};
use crate::name;

/// The settings that are secrets, behind a registry's address or alone, and what is added to the name.
const SECRET: [(&str, &str); 4] =
    [("_authToken", ""), ("_password", "_PASSWORD"), ("_auth", "_AUTH"), ("key", "_KEY")];

/// The tokens and passwords of each registry.
pub(crate) fn read(text: &str) -> Found {
    let mut found = Found::default();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';', '[']) {
            continue;
        }
        let (place, (setting, value)) =
            (format!("line {}", at + 1), line.split_once('=').unwrap_or((line, "")));
        let setting = setting.trim().trim_matches('"');
        let (registry, last) = setting.rsplit_once(':').unwrap_or(("", setting));
        let Some((_, suffix)) = SECRET.iter().find(|(known, _)| *known == last) else { continue };
        if !registry.is_empty() && !registry.starts_with("//") {
            continue;
        }
        let address = if registry.is_empty() { "//registry.npmjs.org/" } else { registry };
        let named = name_of(address).map(|name| format!("{name}{suffix}"));
        let Some(value) = unquoted(value.trim()) else {
            found.fault(
                place,
                named,
                "npm reads a quote, backslash or # here in a way of its own; put the value in double quotes",
            );
            continue;
        };
        if value.contains("${") {
            found.say(format!("{place} takes its value from the environment already"));
            continue;
        }
        if let Some(name) = &named {
            found.put_instead(format!("{setting}=${{{PREFIX}{name}}}"));
            found.put_instead(format!("and start npm with: secretctl run -s '{PREFIX}NPM__*' -- npm …"));
        }
        found.add(&place, named, value);
        if address == "//registry.npmjs.org/" {
            found.issued_by("npm", &place);
        }
    }
    found
}

/// A registry may have paths with tokens of their own; all but the host's own path stays in the name.
fn name_of(address: &str) -> Option<String> {
    name::of_named("NPM", address.trim_matches('/'))
}

/// A value without its quotes; nothing if npm changes what stands there.
fn unquoted(value: &str) -> Option<Zeroizing<String>> {
    if value.starts_with('"') && value.ends_with('"') && value.len() > 1 {
        return serde_json::from_str::<String>(value).ok().map(Zeroizing::new);
    }
    let inner = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let value = inner.unwrap_or(value);
    let is_plain = !value.contains(['\\', '#', ';', '"', '\'']);
    is_plain.then(|| Zeroizing::new(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_named_by_their_registry() {
        let text = "; c\nregistry=https://registry.npmjs.org/\n//registry.npmjs.org/:_authToken=npm_x==\n//pkg.example.com:8443/npm/:_password = \"YWI=\"\n//pkg.example.com:8443/npm/:username=me\n//a.example/:_authToken=${TOKEN}\n@s:registry=https://a.example\n_auth=eDp5\n//b.example/:_authToken=a#canary\n";
        let found = read(text);
        let read: Vec<_> =
            found.entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str())).collect();
        assert_eq!(
            read,
            [
                ("NPM__REGISTRY_NPMJS_ORG", "npm_x=="),
                ("NPM__PKG_EXAMPLE_COM_8443_NPM_PASSWORD", "YWI="),
                ("NPM__REGISTRY_NPMJS_ORG_AUTH", "eDp5"),
            ]
        );
        assert_eq!(found.instead[0], "//registry.npmjs.org/:_authToken=${\u{1}NPM__REGISTRY_NPMJS_ORG}");
        assert_eq!((found.faults.len(), found.notes.len()), (1, 1));
        assert!(!found.faults[0].reason.contains("canary"));
    }
}
