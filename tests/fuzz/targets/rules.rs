//! Arbitrary rules and requests: a rule reads itself as it is written, and what is allowed keeps to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_proto::rule::decide::{Request, Verdict, decide};
use secrets_proto::rule::{Host, Method, Rule, path};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let (Some(rule), Some(method), Some(host), Some(wanted)) = (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return;
    };
    let Ok(rule) = serde_json::from_str::<Rule>(rule) else { return };
    let written = serde_json::to_string(&rule).expect("a rule is written");
    assert_eq!(serde_json::from_str::<Rule>(&written).expect("a rule is read again"), rule);
    let (Ok(method), Ok(host)) = (Method::parse(method), Host::parse(host)) else { return };
    let rules = [rule];
    let request = Request { method: &method, host: &host, port: 443, path: wanted, site: None };
    if let Verdict::Allowed(number, rule) = decide(&rules, request) {
        assert_eq!(number, 1);
        assert!(rule.host.matches(&host, 443));
        assert!(rule.methods.is_empty() || rule.methods.contains(&method));
        if rule.restricts_paths() {
            let plain = path::decoded(wanted).expect("a path that can be read in one way");
            assert!(!rule.except.iter().any(|pattern| pattern.matches(&plain)));
        }
    }
});
