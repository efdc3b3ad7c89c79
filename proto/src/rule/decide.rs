//! Which rule a request falls under.

use super::host::Host;
use super::path;
use super::{Method, Rule, Site};
use crate::SecretName;

/// A request that is to carry a value.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host.
    pub host: &'a Host,
    /// The port.
    pub port: u16,
    /// The path, without query, as it is sent.
    pub path: &'a str,
    /// Where the value is to stand, if that is known: only rules with this site are looked at.
    pub site: Option<&'a Site>,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The request is allowed by this rule; rules count from 1.
    Allowed(usize, &'a Rule),
    /// The request is refused.
    Refused(Refused),
}

/// Why no rule allows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are no rules.
    NoRules,
    /// No rule is for this host and port.
    Host,
    /// No rule for the host and port is for this site.
    Site,
    /// No rule for the site is for this method.
    Method,
    /// No rule for site and method is for this path.
    Path,
    /// The rule of this number is for this request, and excepts its path.
    Excepted(usize),
    /// The rule of this number asks about the path, which can be read in two ways.
    AmbiguousPath(usize),
}

impl Refused {
    /// Why a request with the value of this secret is refused and what would allow it, as a command, for people.
    pub fn advice(self, name: &SecretName) -> String {
        let set = format!("secretctl proxy rule set {name} --host HOST");
        match self {
            Self::NoRules => format!("{name} has no rule; set one with: {set}"),
            Self::Host => format!("no rule of {name} is for this host and port; add one with: {set}"),
            Self::Site => {
                format!(
                    "no rule of {name} for this host puts its value there; add one with: {set} --site SITE"
                )
            }
            Self::Method => {
                format!(
                    "no rule of {name} for this host is for this method; add one with: {set} --method METHOD"
                )
            }
            Self::Path => {
                format!(
                    "no rule of {name} for this host is for this path; add one with: {set} --path PATTERN"
                )
            }
            Self::Excepted(number) => {
                format!(
                    "rule {name}/{number} excepts this path; set it again without that (own rules replace all those of the provider): {set}"
                )
            }
            Self::AmbiguousPath(number) => format!(
                "rule {name}/{number} asks about the path, and this one can be read in two ways; leave out dot segments, doubled slashes and needless percent-encoding"
            ),
        }
    }
}

/// Tells which rule decides about a request: the first whose host, port, site, method and paths it matches. The exceptions of
/// every rule for the host refuse it, whatever else is said, and so does a path that can be read in two ways, as soon as a
/// rule asks about the path: no later rule is looked at then.
pub fn decide<'a>(rules: &'a [Rule], request: Request<'_>) -> Verdict<'a> {
    let of_host = |rule: &Rule| rule.host.matches(request.host, request.port);
    let path = path::decoded(request.path);
    for (number, rule) in (1..).zip(rules).filter(|(_, rule)| !rule.except.is_empty() && of_host(rule)) {
        let Some(path) = &path else { return Verdict::Refused(Refused::AmbiguousPath(number)) };
        if rule.except.iter().any(|pattern| pattern.matches(path)) {
            return Verdict::Refused(Refused::Excepted(number));
        }
    }
    let mut nearest = if rules.is_empty() { Refused::NoRules } else { Refused::Host };
    for (number, rule) in (1..).zip(rules) {
        let mismatch = if !rule.is_for(request.host, request.port) {
            Refused::Host
        } else if request.site.is_some_and(|site| *site != rule.site) {
            Refused::Site
        } else if !rule.methods.is_empty() && !rule.methods.contains(request.method) {
            Refused::Method
        } else if rule.paths.is_empty() {
            return Verdict::Allowed(number, rule);
        } else {
            let Some(path) = &path else { return Verdict::Refused(Refused::AmbiguousPath(number)) };
            if rule.paths.iter().any(|pattern| pattern.matches(path)) {
                return Verdict::Allowed(number, rule);
            }
            Refused::Path
        };
        if rank(mismatch) > rank(nearest) {
            nearest = mismatch;
        }
    }
    Verdict::Refused(nearest)
}

/// How far a rule was from allowing it: what is said is what was nearest.
const fn rank(refused: Refused) -> u8 {
    match refused {
        Refused::NoRules => 0,
        Refused::Host => 1,
        Refused::Site => 2,
        Refused::Method => 3,
        Refused::Path => 4,
        Refused::Excepted(_) | Refused::AmbiguousPath(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    fn decided(
        rules: &[Rule],
        method: &str,
        host: &str,
        path: &str,
        site: Option<&str>,
    ) -> Result<usize, Refused> {
        let (method, host) = (Method::parse(method).unwrap(), Host::parse(host).unwrap());
        let site = site.map(|site| Site::parse(site).unwrap());
        match decide(rules, Request { method: &method, host: &host, port: 443, path, site: site.as_ref() }) {
            Verdict::Allowed(number, _) => Ok(number),
            Verdict::Refused(refused) => Err(refused),
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = [
            rule(
                r#"{"host":"a.example.com","methods":["GET"],"paths":["/v1/**"],"except":["/v1/keys/**"],"site":"bearer"}"#,
            ),
            rule(r#"{"host":"a.example.com","methods":["GET","POST"],"paths":["/**"],"site":"basic"}"#),
            rule(r#"{"host":"*.example.com","site":"query:key"}"#),
        ];
        let get = |path| decided(&rules, "GET", "a.example.com", path, None);
        assert_eq!(get("/v1/models"), Ok(1));
        assert_eq!(get("/v2"), Ok(2));
        // An exception refuses, whatever comes after it.
        assert_eq!(get("/v1/keys/1"), Err(Refused::Excepted(1)));
        assert_eq!(get("/v1/%6beys/1"), Err(Refused::Excepted(1)));
        assert_eq!(get("/v1/x/../keys/1"), Err(Refused::AmbiguousPath(1)));
        for method in ["POST", "PUT"] {
            let other = decided(&rules, method, "a.example.com", "/v1/keys/1", None);
            assert_eq!(other, Err(Refused::Excepted(1)), "{method}");
        }
        assert_eq!(decided(&rules, "PUT", "a.example.com", "/v1/models", None), Ok(3));
        // Nothing asks about this path.
        assert_eq!(decided(&rules, "GET", "b.example.com", "/a//b/%2f..", None), Ok(3));
        assert_eq!(decided(&rules, "GET", "example.com", "/", None), Err(Refused::Host));
        assert_eq!(decided(&[], "GET", "example.com", "/", None), Err(Refused::NoRules));
    }

    #[test]
    fn an_exception_refuses_whatever_rule_stands_before_it() {
        let rules = [
            rule(r#"{"host":"*.example.com","site":"bearer"}"#),
            rule(r#"{"host":"a.example.com","except":["/admin/**"],"site":"basic"}"#),
        ];
        let at = |host, path, site| decided(&rules, "GET", host, path, site);
        for site in [None, Some("bearer"), Some("basic")] {
            assert_eq!(at("a.example.com", "/admin/keys", site), Err(Refused::Excepted(2)), "{site:?}");
            assert_eq!(
                at("a.example.com", "/x/../admin/keys", site),
                Err(Refused::AmbiguousPath(2)),
                "{site:?}"
            );
        }
        assert_eq!(at("a.example.com", "/v1", None), Ok(1));
        assert_eq!(at("b.example.com", "/admin/keys", None), Ok(1));
    }

    #[test]
    fn the_site_chooses_among_rules_of_a_host() {
        let rules = [
            rule(r#"{"host":"a.example.com","except":["/keys"],"site":"header:x-api-key"}"#),
            rule(r#"{"host":"a.example.com","except":["/admin"],"site":"bearer"}"#),
        ];
        let at = |site, path| decided(&rules, "GET", "a.example.com", path, Some(site));
        assert_eq!(at("header:x-api-key", "/"), Ok(1));
        assert_eq!(at("bearer", "/"), Ok(2));
        assert_eq!(at("bearer", "/keys"), Err(Refused::Excepted(1)));
        assert_eq!(at("bearer", "/admin"), Err(Refused::Excepted(2)));
        assert_eq!(at("basic", "/"), Err(Refused::Site));
    }

    #[test]
    fn what_is_nearest_is_said() {
        let rules = [
            rule(r#"{"host":"a.example.com","methods":["GET"],"paths":["/v1/**"],"site":"bearer"}"#),
            rule(r#"{"host":"b.example.com","site":"bearer"}"#),
        ];
        assert_eq!(decided(&rules, "POST", "a.example.com", "/", None), Err(Refused::Method));
        assert_eq!(decided(&rules, "GET", "a.example.com", "/", None), Err(Refused::Path));
        assert_eq!(decided(&rules, "GET", "c.example.com", "/", None), Err(Refused::Host));
    }

    proptest! {
        #[test]
        fn no_spelling_of_an_excepted_path_is_allowed(
            case in prop::collection::vec(0_u8..4, 7),
        ) {
            // Each character in clear, percent-encoded, encoded twice, or behind a segment that is nothing.
            let mut path = String::new();
            for (byte, how) in b"/keys/a".iter().zip(case) {
                match how {
                    0 => path.push(char::from(*byte)),
                    1 => path.push_str(&format!("%{byte:02x}")),
                    2 => path.push_str(&format!("%25{byte:02X}")),
                    _ => {
                        path.push_str(if *byte == b'/' { "/./" } else { "" });
                        if *byte != b'/' { path.push(char::from(*byte)); }
                    }
                }
            }
            let rules = [rule(r#"{"host":"a.example.com","except":["/keys/**"],"site":"bearer"}"#)];
            prop_assert!(decided(&rules, "GET", "a.example.com", &path, None).is_err(), "{}", path);
        }

        #[test]
        fn what_is_allowed_is_allowed_by_that_rule_alone_and_by_none_before(
            rules in prop::collection::vec(("[ab]", prop::option::of("/[ab*]{0,3}"), prop::option::of("/[ab*]{0,3}")), 0..5),
            host in "[ab]",
            path in "/[ab]{0,3}",
        ) {
            let rules: Vec<Rule> = rules
                .into_iter()
                .filter_map(|(host, path, except)| {
                    let pattern = |text: Option<String>| match text {
                        Some(text) => path::decoded(&text).and(super::super::PathPattern::parse(&text).ok()).map(|pattern| vec![pattern]),
                        None => Some(Vec::new()),
                    };
                    let mut rule = rule(&format!(r#"{{"host":"{host}.example.com","site":"bearer"}}"#));
                    (rule.paths, rule.except) = (pattern(path)?, pattern(except)?);
                    Some(rule)
                })
                .collect();
            let host = format!("{host}.example.com");
            let decided = |rules: &[Rule]| decided(rules, "GET", &host, &path, None);
            let alone = |rule: &Rule| decided(std::slice::from_ref(rule));
            let is_excepted = rules.iter().any(|rule| alone(rule) == Err(Refused::Excepted(1)));
            match decided(&rules) {
                Ok(number) => {
                    prop_assert!(!is_excepted);
                    prop_assert_eq!(decided(&rules[number - 1..number]), Ok(1));
                    for before in &rules[..number - 1] {
                        prop_assert!(alone(before).is_err());
                    }
                }
                Err(_) => {
                    // None allows it, or one excepts it.
                    prop_assert!(is_excepted || rules.iter().all(|rule| alone(rule).is_err()));
                }
            }
        }
    }
}
