//! `~/.aws/credentials`, and keys that stand in `~/.aws/config` (docs.aws.amazon.com, SDKs and tools reference, "Shared
//! config and credentials files"). Names are those that `secretctl aws-credentials --prefix` looks for.

use zeroize::Zeroizing;

use super::ini;
use crate::found::{Found, PREFIX};
use crate::name;

const KEYS: [&str; 3] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

/// The keys of each profile.
pub(crate) fn read(text: &str) -> Found {
    let sections = match ini::read(text) {
        Ok(sections) => sections,
        Err((line, reason)) => return Found::refused(format!("line {line}"), reason),
    };
    let mut found = Found::default();
    for section in sections {
        let profile = section.name.strip_prefix("profile ").unwrap_or(section.name).trim();
        let is_default = profile == "default";
        let mut has_keys = false;
        for setting in section.settings.iter().filter(|setting| KEYS.contains(&setting.name.as_str())) {
            let parts: Vec<&str> =
                if is_default { vec![&setting.name] } else { vec![profile, &setting.name] };
            let place = format!("line {}", setting.line);
            let name = name::of(parts);
            if setting.goes_on || setting.value.contains(char::is_whitespace) {
                found.fault(place, name, "a key with a blank or of several lines; AWS's tools differ on it");
                continue;
            }
            has_keys = true;
            found.add(&place, name, Zeroizing::new(setting.value.to_owned()));
            found.issued_by("aws", &place);
        }
        if has_keys {
            let (head, prefix) = if is_default {
                ("[default]".to_owned(), format!(" --prefix {PREFIX}"))
            } else {
                let prefix = name::of([profile]).unwrap_or_default();
                (format!("[profile {profile}]"), format!(" --prefix {PREFIX}{prefix}_"))
            };
            found.put_instead(format!(
                "in ~/.aws/config, below {head}: credential_process = secretctl aws-credentials{prefix}"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_has_its_prefix() {
        let text = "[default]\naws_access_key_id = AKIA1\nAWS_SECRET_ACCESS_KEY=a=b/c\nregion = x\n\n[prod-eu]\naws_access_key_id: AKIA2\naws_secret_access_key = s # c\ns3 =\n  max_queue_size = 1\n";
        let found = read(text);
        let names: Vec<_> =
            found.entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str())).collect();
        assert_eq!(
            names,
            [
                ("AWS_ACCESS_KEY_ID", "AKIA1"),
                ("AWS_SECRET_ACCESS_KEY", "a=b/c"),
                ("PROD_EU_AWS_ACCESS_KEY_ID", "AKIA2"),
            ]
        );
        assert_eq!(found.faults[0].place, "line 8");
        assert!(
            found.instead[1].contains("[profile prod-eu]")
                && found.instead[1].ends_with("--prefix \u{1}PROD_EU_")
        );
        assert!(!found.whole);
        assert_eq!(read("x\n").faults[0].place, "line 1");
        assert!(read("").entries.is_empty());
    }
}
