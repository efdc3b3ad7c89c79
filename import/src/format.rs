//! The formats by their names; and what a file looks like for which nobody named one. Nothing is read because it looks
//! like something: the owner is told which name to say.

use crate::found::Found;
use crate::read::{aws, bitwarden, cargo, docker, git, nested, netrc, npm, onepassword, pypirc, text};

/// What a file can be. `secretctl import --format` knows these names, too (`ctl/src/command/import/format.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Nested,
    OnePassword,
    Bitwarden,
    Pass,
    Gopass,
    Keyring,
    Aws,
    Npm,
    Docker,
    Cargo,
    Netrc,
    Pypirc,
    GitCredentials,
}

impl Format {
    const ALL: [(&'static str, Self); 13] = [
        ("nested", Self::Nested),
        ("1password", Self::OnePassword),
        ("bitwarden", Self::Bitwarden),
        ("pass", Self::Pass),
        ("gopass", Self::Gopass),
        ("keyring", Self::Keyring),
        ("aws", Self::Aws),
        ("npm", Self::Npm),
        ("docker", Self::Docker),
        ("cargo", Self::Cargo),
        ("netrc", Self::Netrc),
        ("pypirc", Self::Pypirc),
        ("git-credentials", Self::GitCredentials),
    ];

    /// The format of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// Reads a file of this format.
    pub(crate) fn read(self, bytes: &[u8]) -> Found {
        if let Some(reason) = text::unreadable(bytes) {
            return Found::refused("the file", reason);
        }
        let text = match text::decoded(bytes) {
            Ok(text) => text,
            Err(line) => return Found::refused(format!("line {line}"), "not UTF-8 text"),
        };
        match self {
            Self::Nested => nested::read(text),
            Self::OnePassword => onepassword::read(text),
            Self::Bitwarden => bitwarden::read(text),
            Self::Aws => aws::read(text),
            Self::Npm => npm::read(text),
            Self::Docker => docker::read(text),
            Self::Cargo => cargo::read(text),
            Self::Netrc => netrc::read(text),
            Self::Pypirc => pypirc::read(text),
            Self::GitCredentials => git::read(text),
            Self::Keyring => crate::commands::keyring(text),
            Self::Pass | Self::Gopass => Found::refused("the store", "a directory is needed, not a file"),
        }
    }
}

/// What to say of a file that is neither dotenv nor one JSON object of strings; empty if it looks like nothing known.
pub(crate) fn hint(bytes: &[u8]) -> String {
    if let Some(reason) = text::unreadable(bytes) {
        return reason.to_owned();
    }
    let Ok(text) = text::decoded(bytes) else { return String::new() };
    if text.contains("ENC[AES256_GCM,data:") {
        return "encrypted by sops; pipe what sops -d prints".to_owned();
    }
    if let Some((what, format)) = looks_like(text) {
        return format!("it looks like {what}; if it is, say --format {}", format.name());
    }
    if is_table(text) { TABLE.to_owned() } else { String::new() }
}

/// Said of a table whose columns are not those of an export that is read.
const TABLE: &str = "it looks like comma-separated values; --format 1password reads the columns Title and Password (and Username), --format bitwarden the columns name and login_password: rename its columns";

/// Whether the first lines are rows of a table with a head of words, such as browsers export.
fn is_table(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (Some(head), second) = (lines.next(), lines.next()) else { return false };
    let is_word = |field: &str| {
        let word = field.trim().trim_matches('"');
        (1..=40).contains(&word.len())
            && word.chars().all(|character| character.is_ascii_alphanumeric() || "_ -".contains(character))
    };
    let count = head.split(',').count();
    // A comma inside of quotes makes a row longer.
    count > 1 && head.split(',').all(is_word) && second.is_none_or(|row| row.split(',').count() >= count)
}

/// What a text looks like. Each mark is one that no dotenv file has.
fn looks_like(text: &str) -> Option<(&'static str, Format)> {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';']))?;
    let has = |mark: &str| text.lines().any(|line| line.trim_start().starts_with(mark));
    let first_low = first.to_ascii_lowercase();
    if first.starts_with('{') {
        return Some(match text {
            _ if text.contains("\"auths\"") => ("docker's config.json", Format::Docker),
            _ if text.contains("\"items\"") && text.contains("\"encrypted\"") => {
                ("an export of Bitwarden", Format::Bitwarden)
            }
            _ if text.contains("\"accounts\"") && text.contains("\"vaults\"") => {
                ("an export of 1Password", Format::OnePassword)
            }
            _ => ("JSON whose names are made of paths", Format::Nested),
        });
    }
    if first_low.contains("login_password") {
        return Some(("an export of Bitwarden", Format::Bitwarden));
    }
    if first_low.contains("title") && first_low.contains("password") && first.contains(',') {
        return Some(("an export of 1Password", Format::OnePassword));
    }
    if has("//") && (text.contains(":_authToken") || text.contains(":_auth") || text.contains(":_password")) {
        return Some(("npm's settings", Format::Npm));
    }
    if first.starts_with('[') && text.contains("aws_access_key_id") {
        return Some(("credentials of AWS", Format::Aws));
    }
    if first.starts_with('[') && (text.contains("[distutils]") || text.contains("[pypi]")) {
        return Some(("a .pypirc", Format::Pypirc));
    }
    if first.starts_with("[regist") && text.contains("token") {
        return Some(("credentials of cargo", Format::Cargo));
    }
    if first.starts_with("machine ") && (text.contains("password ") || text.contains("login ")) {
        return Some(("a .netrc", Format::Netrc));
    }
    if first.starts_with("https://") && first.contains('@') {
        return Some(("what git's helper store keeps", Format::GitCredentials));
    }
    let is_yaml = first == "---"
        || first.split_once(": ").is_some_and(|(key, _)| !key.contains(['=', ' ']))
        || (first.ends_with(':') && !first.contains(['=', ' ']));
    is_yaml.then_some(("YAML", Format::Nested))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_one_name() {
        for (name, format) in Format::ALL {
            assert_eq!((Format::named(name), format.name()), (Some(format), name));
        }
        assert_eq!(Format::named("x"), None);
    }

    #[test]
    fn a_hint_names_the_format_and_quotes_nothing() {
        for (text, name) in [
            ("{\"auths\":{}}", "docker"),
            ("{\"encrypted\":false,\"items\":[]}", "bitwarden"),
            ("{\"a\":{\"b\":\"canary\"}}", "nested"),
            (
                "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n",
                "bitwarden",
            ),
            ("Title,Url,Username,Password,OTPAuth\n", "1password"),
            ("//registry.npmjs.org/:_authToken=canary\n", "npm"),
            ("[default]\naws_access_key_id = canary\n", "aws"),
            ("[pypi]\nusername = x\n", "pypirc"),
            ("[registry]\ntoken = \"canary\"\n", "cargo"),
            ("machine x login y password canary\n", "netrc"),
            ("https://me:canary@example.com\n", "git-credentials"),
            ("# c\ndb:\n  password: canary\n", "nested"),
        ] {
            let hint = hint(text.as_bytes());
            assert!(
                hint.ends_with(&format!("--format {name}")) && !hint.contains("canary"),
                "{text}: {hint}"
            );
        }
        for text in
            ["name,url,username,password,note\na,b,c,canary,\n", "\"url\",\"username\"\n\"a\",\"b,c\""]
        {
            assert!(hint(text.as_bytes()).starts_with("it looks like comma-separated values"), "{text}");
            assert!(!hint(text.as_bytes()).contains("canary"), "{text}");
        }
        for text in ["A=x,y\nB=1\n", "A,B=x\n", "canary", "-----BEGIN X, Y-----"] {
            assert!(!hint(text.as_bytes()).contains("comma"), "{text}");
        }
        for text in ["A=x\nB y\n", "", "X: y=z a\n1"] {
            assert!(!hint(text.as_bytes()).contains("npm"), "{text}");
        }
    }
}
