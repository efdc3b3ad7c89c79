//! What a program has asked for, noted without queries and bodies, and the commands that would allow just that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use secrets_proto::SecretName;
use secrets_proto::rule::{Method, PathPattern, Rule, Site};

use crate::grants::Target;

/// The most different things that are noted: a program that asks for more is not covered by a few rules.
const MOST: usize = 10_000;

/// Notes of one session.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Seen>);

/// What one rule of a secret is for.
type Place = (SecretName, String, String);

#[derive(Debug, Default)]
struct Seen {
    carried: BTreeMap<Place, Wanted>,
    /// Hosts that were asked without a value.
    bare: BTreeSet<String>,
    count: usize,
}

#[derive(Debug, Default)]
struct Wanted {
    methods: BTreeSet<String>,
    paths: BTreeSet<String>,
    private: bool,
}

impl Notes {
    /// Notes a request, and which secrets it has where.
    pub(crate) fn note<'a>(
        &self,
        method: &str,
        target: &Target,
        path: &str,
        carried: impl Iterator<Item = (&'a SecretName, &'a Site)>,
        private: bool,
    ) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.count >= MOST {
            return;
        }
        seen.count += 1;
        let host = target.authority();
        let mut is_bare = true;
        for (name, site) in carried {
            is_bare = false;
            let wanted = seen.carried.entry((name.clone(), host.clone(), site.to_string())).or_default();
            wanted.methods.insert(method.to_owned());
            wanted.paths.insert(pattern(path));
            wanted.private |= private;
        }
        if is_bare {
            seen.bare.insert(host);
        }
    }

    /// The commands that would allow what was noted, a line each.
    pub(crate) fn commands(&self) -> String {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for ((name, host, site), wanted) in &seen.carried {
            let _ = write!(text, "secretctl proxy rule set {name} --host {host}");
            if wanted.methods.len() <= Rule::MAX_PARTS
                && wanted.methods.iter().all(|method| Method::parse(method).is_ok())
            {
                let methods: Vec<&str> = wanted.methods.iter().map(String::as_str).collect();
                let _ = write!(text, " --method {}", methods.join(","));
            }
            for path in fewest(&wanted.paths) {
                let _ = write!(text, " --path {}", quoted(&path));
            }
            let _ = write!(text, " --site {site}");
            text.push_str(if wanted.private { " --private\n" } else { "\n" });
        }
        // A host with a rule is reached without a value, too.
        let has_rule = |host: &&String| seen.carried.keys().any(|(_, other, _)| other == *host);
        let bare: Vec<&String> = seen.bare.iter().filter(|host| !has_rule(host)).collect();
        if !bare.is_empty() {
            text.push_str("secretctl proxy run");
            for host in bare {
                let _ = write!(text, " --allow {host}");
            }
            text.push_str(" …\n");
        }
        text
    }
}

/// A path with `*` in the place of segments that look like ids; `/**` if no pattern is for it alone.
fn pattern(path: &str) -> String {
    let segment = |segment: &str| if is_id(segment) { "*".to_owned() } else { segment.to_owned() };
    let text = path.split('/').map(segment).collect::<Vec<_>>().join("/");
    let has_own_star = path.contains('*');
    if has_own_star || PathPattern::parse(&text).is_err() { "/**".to_owned() } else { text }
}

/// Whether this is a number, a digest, a UUID or another text that was made by a program: hexadecimal of eight characters or
/// more with a figure in it, or 16 or more letters and figures mixed, without a point, which names of files have.
fn is_id(segment: &str) -> bool {
    let figures = segment.bytes().filter(u8::is_ascii_digit).count();
    let is_number = figures > 0 && figures == segment.len();
    let is_hex = segment.len() >= 8 && segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=~".contains(&byte);
    let is_made = segment.len() >= 16 && figures >= 3 && segment.bytes().all(is_word);
    is_number || figures > 0 && is_hex || is_made
}

/// As many patterns as a rule may have: beyond that, all paths below the first segment, and beyond that all.
fn fewest(paths: &BTreeSet<String>) -> Vec<String> {
    if paths.contains("/**") {
        return Vec::new();
    }
    if paths.len() <= Rule::MAX_PARTS {
        return paths.iter().cloned().collect();
    }
    let below = |path: &String| match path.trim_start_matches('/').split_once('/') {
        Some((first, _)) => format!("/{first}/**"),
        None => path.clone(),
    };
    let shorter: BTreeSet<String> = paths.iter().map(below).collect();
    if shorter.len() <= Rule::MAX_PARTS { shorter.into_iter().collect() } else { Vec::new() }
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text, Some(443)).unwrap()
    }

    #[test]
    fn segments_that_look_like_ids_are_stars() {
        for (path, expected) in [
            ("/v1/models", "/v1/models"),
            ("/users/12/repos", "/users/*/repos"),
            ("/b/3f2504e0-4f89-11d3-9a0c-0305e82c3301/", "/b/*/"),
            ("/sha/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/sha/*"),
            ("/files/file-abc123DEF456ghi7", "/files/*"),
            ("/left-pad/-/left-pad-1.3.0.tgz", "/left-pad/-/left-pad-1.3.0.tgz"),
            ("/deadbeef/facade", "/deadbeef/facade"),
            ("/", "/"),
            ("/a/../b", "/**"),
            ("/a//b", "/**"),
            ("/a*b", "/**"),
        ] {
            assert_eq!(pattern(path), expected, "{path}");
        }
    }

    #[test]
    fn what_was_noted_is_covered_by_few_commands() {
        let notes = Notes::default();
        let (name, bearer) = (SecretName::parse("KEY").unwrap(), Site::Bearer);
        for number in 0..30 {
            let path = format!("/v1/things/{number}");
            notes.note("GET", &target("api.example.com"), &path, [(&name, &bearer)].into_iter(), false);
        }
        notes.note("POST", &target("api.example.com"), "/v1/it's", [(&name, &bearer)].into_iter(), false);
        notes.note("GET", &target("api.example.com"), "/", [].into_iter(), false);
        notes.note("GET", &target("other.example:8443"), "/", [].into_iter(), false);
        assert_eq!(
            notes.commands(),
            "secretctl proxy rule set KEY --host api.example.com --method GET,POST --path '/v1/it'\\''s' --path '/v1/things/*' --site bearer\nsecretctl proxy run --allow other.example:8443 …\n"
        );
        for number in 0..20 {
            let path = format!("/v1/kind{}", "x".repeat(number));
            notes.note("GET", &target("api.example.com"), &path, [(&name, &bearer)].into_iter(), true);
        }
        assert!(
            notes.commands().contains(" --path '/v1/**' --site bearer --private\n"),
            "{}",
            notes.commands()
        );
    }
}
