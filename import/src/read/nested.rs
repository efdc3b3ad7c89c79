//! Nested JSON and YAML, such as `sops -d` prints: names are made of the path that leads to a value.

use super::{json, tree, yaml};
use crate::found::Found;

/// The secrets of one document.
pub(crate) fn read(text: &str) -> Found {
    if !text.trim_start().starts_with(['{', '[']) {
        return of_yaml(text);
    }
    match json::read(text) {
        Ok(root) => tree::secrets(root),
        // YAML may begin like this, too.
        Err(line) => match yaml::read(text) {
            Ok(root) => tree::secrets(root),
            Err(_) => Found::refused(
                format!("line {line}"),
                "not valid JSON, or too deep or too much of it to be secrets",
            ),
        },
    }
}

fn of_yaml(text: &str) -> Found {
    match yaml::read(text) {
        Ok(root) => tree::secrets(root),
        Err(bad) => Found::refused(format!("line {}", bad.line.max(1)), bad.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let found = read(text);
        assert_eq!(found.faults, [], "{text}");
        found.entries.into_iter().map(|entry| (entry.name, entry.value.to_string())).collect()
    }

    fn told(text: &str) -> Vec<String> {
        let found = read(text);
        found.faults.iter().map(|fault| format!("{}: {}", fault.place, fault.reason)).collect()
    }

    #[test]
    fn names_are_paths() {
        let expected = [
            ("DB_PASSWORD", "pa: ss"),
            ("DB_PORT", "5432"),
            ("DB_HOSTS_0", "a"),
            ("DB_HOSTS_1", "b"),
            ("API_KEY", "x\ny\n"),
            ("ON", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let yaml = "# c\r\ndb:\r\n  password: \"pa: ss\"\r\n  port: 5432\r\n  hosts: [a, b]\r\napi-key: |\r\n  x\r\n  y\r\n\"on\": true\r\n";
        assert_eq!(pairs(yaml), expected);
        let json =
            r#"{"db":{"password":"pa: ss","port":5432,"hosts":["a","b"]},"api-key":"x\ny\n","on":true}"#;
        assert_eq!(pairs(json), expected);
        assert_eq!(pairs("a: &x {b: \"1\"}\nc: *x\n").len(), 2);
        assert_eq!(pairs("a: !!str 0x1F\nb: ! yes\n")[1].1, "yes");
        assert_eq!(pairs(r#"{"a":"\ud83d\ude00"}"#)[0].1, "\u{1f600}");
    }

    #[test]
    fn what_is_no_text_is_told_by_its_path() {
        let found = told("a:\n  b: ~\n  c: yes\n  d: 0x1F\n  e: {}\n  f: 1.50\n");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("a.b: null") && found[1].starts_with("a.c: a word"), "{found:?}");
        assert_eq!(told(r#"{"a":{"b":1.5,"c":null}}"#).len(), 2);
        assert_eq!(told("- a\n- b\n"), ["the file: expected names with values at its top"]);
        assert_eq!(told("a: x\n---\nb: y\n"), ["line 2: a second document; import one at a time"]);
        assert_eq!(told("b: &b {x: canary}\na:\n  <<: *b\n").len(), 1);
    }

    #[test]
    fn what_sops_encrypted_is_refused_by_name() {
        let yaml = "a: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\nsops:\n  mac: x\n  lastmodified: y\n";
        assert!(told(yaml)[0].contains("sops -d"));
        assert!(told("a: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n")[0].contains("sops -d"));
    }

    #[test]
    fn nothing_of_what_is_wrong_is_quoted() {
        for text in ["{\"a\": canary", "a: [canary", "a: \"canary", "a: b: canary", "a: !canary x"] {
            let told = told(text);
            assert!(told.len() == 1 && !told[0].contains("canary"), "{text}: {told:?}");
        }
        assert!(!told(&"[".repeat(100_000)).is_empty());
        assert!(!told(&"{\"a\":".repeat(100_000)).is_empty());
        assert!(!told(&"- ".repeat(100_000)).is_empty());
        assert!(!told(&"? ".repeat(100_000)).is_empty());
    }
}
