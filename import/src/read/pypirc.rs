//! `~/.pypirc` (packaging.python.org, "The .pypirc file"): passwords of package indexes, under the names that `secretctl
//! keyring` looks for.

use zeroize::Zeroizing;

use super::ini;
use crate::found::{Found, PREFIX};
use crate::name;

/// Where uploads go if a section names no address.
const USUAL: [(&str, &str); 2] =
    [("pypi", "https://upload.pypi.org/legacy/"), ("testpypi", "https://test.pypi.org/legacy/")];

/// The password of each index.
pub(crate) fn read(text: &str) -> Found {
    let sections = match ini::read(text) {
        Ok(sections) => sections,
        Err((line, reason)) => return Found::refused(format!("line {line}"), reason),
    };
    let mut found = Found::default();
    for section in sections {
        let of = |wanted: &str| section.settings.iter().find(|setting| setting.name == wanted);
        let Some(password) = of("password") else { continue };
        let place = format!("line {}", password.line);
        let usual = USUAL.iter().find(|(name, _)| *name == section.name).map(|(_, address)| *address);
        let Some(address) = of("repository").map(|setting| setting.value).or(usual) else {
            found.fault(place, None, "its section names no repository");
            continue;
        };
        let name = name::of_host("KEYRING", address);
        if password.goes_on {
            found.fault(place, name, "a password of several lines");
            continue;
        }
        let user = of("username").map(|setting| format!("user={}", setting.value));
        if let Some(name) = &name {
            found.put_instead(format!(
                "no password, and upload with: TWINE_PASSWORD=\"$(secretctl get {PREFIX}{name})\" twine upload …"
            ));
        }
        found.add_noted(&place, name, Zeroizing::new(password.value.to_owned()), user);
        if USUAL.iter().any(|(_, usual)| *usual == address) {
            found.issued_by("pypi", &place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_named_by_their_host() {
        let text = "[distutils]\nindex-servers =\n    pypi\n    own\n\n[pypi]\nusername = __token__\npassword = pypi-x%y\n\n[own]\nrepository: https://pkg.example.com:8443/legacy/\nusername: me\npassword: a b;c\n\n[lost]\npassword = canary\n";
        let found = read(text);
        let read: Vec<_> = found
            .entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.value.as_str(), entry.note.as_deref()))
            .collect();
        assert_eq!(
            read,
            [
                ("KEYRING__UPLOAD_PYPI_ORG", "pypi-x%y", Some("user=__token__")),
                ("KEYRING__PKG_EXAMPLE_COM___8443", "a b;c", Some("user=me")),
            ]
        );
        assert_eq!(found.faults.len(), 1);
    }
}
