//! What of a value is looked for besides the value itself: what a program may print alone. Of JSON these are the
//! strings, decoded. Of other text in several lines it is each line, and of a line that names what it holds (YAML, INI,
//! dotenv, XML) only what it holds. Names, and what stands in every such file, are left out: masked, they would be masked in
//! everybody else's files too.

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::read::{self, Read};

/// How many characters a value has at least that is masked: a shorter one would be found where nobody wrote it.
pub const SHORTEST: usize = 8;

/// Whether a value is long enough to be masked: it has [`SHORTEST`] characters or more.
pub fn is_masked(value: &str) -> bool {
    value.chars().nth(SHORTEST - 1).is_some()
}

/// Names of what is no secret in the files that credentials come in: service accounts of Google Cloud
/// (<https://cloud.google.com/iam/docs/keys-create-delete>) and kubeconfig, the reference of its version 1.
const NO_SECRETS: [&str; 20] = [
    "apiVersion",
    "auth_provider_x509_cert_url",
    "auth_uri",
    "client_x509_cert_url",
    "cluster",
    "context",
    "current-context",
    "host",
    "interactiveMode",
    "kind",
    "name",
    "namespace",
    "project_id",
    "region",
    "server",
    "token_uri",
    "type",
    "universe_domain",
    "user",
    "username",
];

/// JSON inside of JSON inside of JSON: deeper than this nobody keeps a secret.
const DEEPEST: usize = 32;

/// A value and its parts, those that are long enough.
pub(crate) fn texts(value: &str) -> Vec<Zeroizing<String>> {
    let mut texts = Vec::new();
    add(value, 0, &mut texts);
    texts
}

fn add(value: &str, depth: usize, texts: &mut Vec<Zeroizing<String>>) {
    if is_masked(value) {
        texts.push(Zeroizing::new(value.to_owned()));
    }
    let mut strings = Vec::new();
    if strings_of_json(value, depth, &mut strings).is_some() {
        strings.iter().for_each(|string| add(string, depth + 1, texts));
    } else if value.trim().contains('\n') {
        // What it holds may be JSON again.
        value.lines().filter_map(held_by_line).for_each(|held| add(held, depth + 1, texts));
    }
}

/// The strings of an array or object, at any depth. Nothing if it is none.
fn strings_of_json(text: &str, depth: usize, strings: &mut Vec<Zeroizing<String>>) -> Option<()> {
    let text = text.trim();
    if depth > DEEPEST {
        return None;
    }
    match text.as_bytes() {
        [b'{', ..] => {
            let Members(members) = serde_json::from_str(text).ok()?;
            for (name, value) in members {
                if !(NO_SECRETS.contains(&name.as_str()) && value.get().starts_with('"')) {
                    strings_of_member(value, depth, strings);
                }
            }
        }
        [b'[', ..] => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            items.into_iter().for_each(|value| strings_of_member(value, depth, strings));
        }
        _ => return None,
    }
    Some(())
}

fn strings_of_member(value: &RawValue, depth: usize, strings: &mut Vec<Zeroizing<String>>) {
    match value.get().strip_prefix('"').and_then(|string| string.strip_suffix('"')) {
        Some(string) => strings.push(decoded(string)),
        None => {
            let _ = strings_of_json(value.get(), depth + 1, strings);
        }
    }
}

/// What a JSON string says. serde would leave copies of it in memory.
fn decoded(string: &str) -> Zeroizing<String> {
    let mut decoded = Zeroizing::new(String::with_capacity(string.len()));
    let mut rest = string;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        decoded.push_str(before);
        let length = match read::escape(escape.as_bytes()) {
            Read::Is(length, c) => {
                decoded.push(c);
                length
            }
            Read::Cut | Read::Other => 1,
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    decoded.push_str(rest);
    decoded
}

/// The members of an object, as they stand there.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry().map_err(|_| A::Error::custom("no member"))? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// What is to be masked of one line among several.
fn held_by_line(line: &str) -> Option<&str> {
    let mut line = line.trim();
    let is_frame = line.starts_with("----") && line.ends_with("----");
    if is_frame && (line.contains("BEGIN ") || line.contains("END ")) || !line.contains(char::is_alphanumeric)
    {
        return None;
    }
    while let Some(item) = line.strip_prefix("- ") {
        line = item.trim_start();
    }
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    match named(line) {
        Some((name, _)) if NO_SECRETS.contains(&name) => None,
        Some((_, held)) => Some(unquoted(held)),
        None => Some(in_element(line).unwrap_or_else(|| unquoted(line))),
    }
}

/// `<name>value</name>`.
fn in_element(line: &str) -> Option<&str> {
    let (_, rest) = line.strip_prefix('<')?.split_once('>')?;
    let (held, _) = rest.rsplit_once("</")?;
    Some(held).filter(|held| !held.is_empty())
}

/// `name: value` or `name = value`, where the name is one.
fn named(line: &str) -> Option<(&str, &str)> {
    let at = line.find([':', '=']).filter(|at| *at > 0)?;
    let (name, rest) = line.split_at(at);
    let name = name.trim_end().trim_matches(['"', '\'']);
    let held = rest.get(1..)?;
    let is_separator = match rest.starts_with(':') {
        true => held.is_empty() || held.starts_with([' ', '\t']),
        // Padding of base64 is none.
        false => !held.trim_matches('=').is_empty(),
    };
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
        && name.len() <= 60;
    // A long one with digits may be a secret itself.
    let is_token = name.len() >= 20 && name.bytes().any(|byte| byte.is_ascii_digit());
    (is_separator && is_name && !is_token).then_some((name, held.trim()))
}

/// Without quotes, a comma at the end and a comment.
fn unquoted(held: &str) -> &str {
    let held = held.trim_end_matches(',').trim_end();
    for quote in ['"', '\''] {
        if let Some((inside, _)) = held.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside;
        }
    }
    held.split_once(" #").map_or(held, |(held, _)| held.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(value: &str) -> Vec<String> {
        texts(value).into_iter().skip(1).map(|text| text.to_string()).collect()
    }

    #[test]
    fn of_json_the_strings_are_looked_for() {
        let account = r#"{
            "type": "service_account",
            "private_key_id": "0123456789abcdef",
            "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvAIBADAN\nBg==\n-----END PRIVATE KEY-----\n",
            "pin": "1234", "number": 1234567890, "is": true, "none": null,
            "more": [["in\u0073ide-a-list"], {"client_secret": "quote\"d-secret"}],
            "json": "{\"token\":\"nested-token\"}"
        }"#;
        assert_eq!(
            parts(account),
            [
                "0123456789abcdef",
                "-----BEGIN PRIVATE KEY-----\nMIIEvAIBADAN\nBg==\n-----END PRIVATE KEY-----\n",
                "MIIEvAIBADAN",
                "inside-a-list",
                "quote\"d-secret",
                "{\"token\":\"nested-token\"}",
                "nested-token",
            ]
        );
        assert!(parts(&"[".repeat(60_000)).is_empty());
        assert!(parts(&format!("{}{}", "[".repeat(30_000), "]".repeat(30_000))).is_empty());
    }

    #[test]
    fn of_a_line_with_a_name_what_it_holds_is_looked_for() {
        let config = "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: https://10.0.0.1:6443\n  name: \
                      production-eu\nusers:\n- name: kubernetes-admin\n  user:\n    client-key-data: LS0tLS1CRUdJTiA= \
                      # key\n    token: \"a-long-token\"\n  - 'listed-token'\n";
        assert_eq!(parts(config), ["LS0tLS1CRUdJTiA=", "a-long-token", "listed-token"]);
        let settings =
            "[default]\naws_secret_access_key = wJalrXUtnFEMI\nexport TOKEN='quoted-token'\nshort=1234\n";
        assert_eq!(parts(settings), ["[default]", "wJalrXUtnFEMI", "quoted-token"]);
    }

    #[test]
    fn other_lines_are_looked_for_whole() {
        let lines = "-----BEGIN KEY-----\nAAAAB3NzaC1yc2E=\nAAAAB3NzaC1yc2EAAAADAQAB==\n----------\n\
                     https://user:word@host/?a=b\nAAAAB3NzaC1yc2EAAAADAQAB: x\n-----END KEY-----\n";
        let expected = [
            "AAAAB3NzaC1yc2E=",
            "AAAAB3NzaC1yc2EAAAADAQAB==",
            "https://user:word@host/?a=b",
            "AAAAB3NzaC1yc2EAAAADAQAB: x",
        ];
        assert_eq!(parts(lines), expected);
        assert!(parts("name: in-one-line").is_empty());
    }
}
