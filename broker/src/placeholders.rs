//! Where in a request's head placeholders stand. It sees no value, and speaks to nobody.

use std::borrow::Cow;

use data_encoding::BASE64;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use memchr::memmem::Finder;
use secrets_proto::rule::Site;
use secrets_proto::session::WhyRefused;
use secrets_proto::token::checksum;
use secrets_scrub::{Forms, Masker};

use crate::denial::Denial;
use crate::grants::{Granted, Grants, Target};

/// A placeholder where a rule of its secret puts the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Which of the session's secrets.
    pub(crate) secret: usize,
    /// Where.
    pub(crate) site: Site,
}

/// Finds the placeholders of a request's head. Each stands where a rule of its secret puts the value, whole and once; if one
/// is anywhere else, in clear or in base64, percent-encoded or in hexadecimal, the request is refused.
pub(crate) fn find(head: &Parts, grants: &Grants, target: &Target) -> Result<Vec<Placed>, Denial> {
    let found = times(head, grants);
    if found == 0 {
        return if has_foreign_placeholder(head) { Err(ended()) } else { Ok(Vec::new()) };
    }
    let mut placed = Vec::new();
    for (secret, granted) in grants.secrets.iter().enumerate() {
        let sites = sites(granted, target);
        let here: Vec<Placed> = sites
            .into_iter()
            .filter(|site| stands_at(site, head, &granted.placeholder))
            .map(|site| Placed { secret, site: site.clone() })
            .collect();
        if here.len() > 1 {
            return Err(repeated(granted));
        }
        placed.extend(here);
    }
    if placed.len() == found {
        return Ok(placed);
    }
    let clear = head_in_clear(head);
    let times = |granted: &&Granted| clear.matches(granted.placeholder.as_str()).count();
    if let Some(granted) = grants.secrets.iter().find(|granted| times(granted) > 1) {
        return Err(repeated(granted));
    }
    let is_placed = |at: usize| placed.iter().any(|placed| placed.secret == at);
    let lost = grants.secrets.iter().enumerate().find(|(at, granted)| !is_placed(*at) && times(granted) == 1);
    Err(misplaced(lost.map(|(_, granted)| granted), target))
}

/// What is said of a body that has a placeholder elsewhere than as the whole value of its field, or more than once.
pub(crate) fn astray(grants: &Grants, target: &Target, body: &[u8]) -> Denial {
    let clear = decoded(&String::from_utf8_lossy(body)).into_owned();
    let times = |granted: &&Granted| clear.matches(granted.placeholder.as_str()).count();
    match grants.secrets.iter().find(|granted| times(granted) > 1) {
        Some(granted) => repeated(granted),
        None => misplaced(grants.secrets.iter().find(|granted| times(granted) == 1), target),
    }
}

/// What a placeholder has behind its prefix, and how many characters its checksum has.
const PLACEHOLDER_MARK: &str = "ssdph";
const CHECKSUM: usize = 6;

/// Whether there is a placeholder in clear, by its checksum, that is none of this session's.
fn has_foreign_placeholder(head: &Parts) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let is_one = |text: &[u8]| {
        let Some((body, sum)) = text.len().checked_sub(CHECKSUM).map(|at| text.split_at(at)) else {
            return false;
        };
        checksum(body).as_slice() == sum
    };
    let parts = head.headers.values().map(HeaderValue::as_bytes);
    let target = head.uri.path_and_query().map(|target| target.as_str().as_bytes());
    let mut words = parts.chain(target).flat_map(|part| part.split(|byte| !is_part(*byte)));
    words.any(|word| memmem(word, PLACEHOLDER_MARK.as_bytes()) && is_one(word))
}

fn memmem(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn ended() -> Denial {
    Denial::refusal(
        WhyRefused::PlaceholderEnded,
        "this placeholder is of another session, or of one that has ended; start the program again with: secretctl proxy run",
    )
}

/// Where in a head placeholders stand alone and whole, whether a rule is for that or not: at a token, user or password, in a
/// header or parameter of the query.
pub(crate) fn anywhere(head: &Parts, grants: &Grants) -> Vec<(usize, Site)> {
    let headers = head.headers.keys().map(|name| format!("header:{name}"));
    let names = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    let texts = ["bearer".to_owned(), "basic".to_owned()].into_iter().chain(headers);
    let sites: Vec<Site> = texts
        .chain(names.map(|name| format!("query:{}", decoded(name))))
        .filter_map(|text| Site::parse(&text).ok())
        .collect();
    let of = |(secret, granted): (usize, &Granted)| {
        let site = sites.iter().find(|site| stands_at(site, head, &granted.placeholder));
        site.map(|site| (secret, site.clone()))
    };
    grants.secrets.iter().enumerate().filter_map(of).collect()
}

/// Whether a placeholder is anywhere in the head.
pub(crate) fn are_in(head: &Parts, grants: &Grants) -> bool {
    times(head, grants) > 0
}

fn repeated(granted: &Granted) -> Denial {
    let name = granted.name.as_str();
    Denial::refusal(
        WhyRefused::PlaceholderRepeated,
        format!("the placeholder of {name} is in the request more than once; one place carries the value"),
    )
    .about(&granted.name, None)
}

fn misplaced(granted: Option<&Granted>, target: &Target) -> Denial {
    let Some(granted) = granted else {
        return Denial::refusal(
            WhyRefused::PlaceholderMisplaced,
            "a placeholder is in the request where no rule puts its value",
        );
    };
    let name = granted.name.as_str();
    let sites: Vec<String> = sites(granted, target).into_iter().map(ToString::to_string).collect();
    let message = if sites.is_empty() {
        format!(
            "no rule of {name} is for this host; add one with: secretctl proxy rule set {name} --host HOST, then start the program again"
        )
    } else {
        format!(
            "the placeholder of {name} is not where its rules for this host put the value ({}), alone and whole; to put it elsewhere: secretctl proxy rule set {name} --host HOST --site SITE",
            sites.join(", ")
        )
    };
    let why = if sites.is_empty() { WhyRefused::HostNotAllowed } else { WhyRefused::PlaceholderMisplaced };
    Denial::refusal(why, message).about(&granted.name, None)
}

/// The places where rules for this host put a secret's value, each once.
pub(crate) fn sites<'a>(granted: &'a Granted, target: &Target) -> Vec<&'a Site> {
    let Some(name) = target.name() else { return Vec::new() };
    let mut sites: Vec<&Site> = Vec::new();
    for rule in granted.rules.iter().filter(|rule| rule.is_for(name, target.port)) {
        if !sites.contains(&&rule.site) {
            sites.push(&rule.site);
        }
    }
    sites
}

/// How many placeholders are in the head, in any spelling.
pub(crate) fn times(head: &Parts, grants: &Grants) -> usize {
    let mut text = Vec::with_capacity(1_024);
    if let Some(target) = head.uri.path_and_query() {
        text.extend_from_slice(target.as_str().as_bytes());
        text.push(0);
    }
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(0);
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    // Most are in clear, where they are found sooner than in all spellings.
    let in_clear: usize = grants.secrets.iter().map(|secret| blot_out(&mut text, &secret.finder)).sum();
    in_clear + times_in(&text, &grants.spellings, &grants.mark)
}

/// How many times one of these is in a text, in any spelling; `mark` finds what is put in their place to count them.
pub(crate) fn times_in(text: &[u8], spellings: &Forms, mark: &Finder<'_>) -> usize {
    if !spellings.may_be_in(text) {
        return 0;
    }
    let mut marked = Vec::with_capacity(text.len() + 64);
    Masker::new(spellings).push_last(text, &mut marked);
    // What the program has written must not pass for a mark.
    let marks = |text: &[u8]| mark.find_iter(text).count();
    marks(&marked).saturating_sub(marks(text))
}

/// Overwrites each occurrence of a placeholder with what belongs to no spelling; says how many there were.
fn blot_out(text: &mut [u8], placeholder: &Finder<'_>) -> usize {
    let mut count = 0;
    while let Some(at) = placeholder.find(text) {
        let Some(part) = text.get_mut(at..at + placeholder.needle().len()) else { break };
        part.fill(0);
        count += 1;
    }
    count
}

/// Target and headers with percent-encoding taken away.
fn head_in_clear(head: &Parts) -> String {
    let mut clear =
        head.uri.path_and_query().map_or(String::new(), |target| decoded(target.as_str()).into_owned());
    for value in head.headers.values() {
        clear.push('\0');
        clear.push_str(&decoded(&String::from_utf8_lossy(value.as_bytes())));
    }
    clear
}

/// Whether the placeholder is all that stands at this site.
fn stands_at(site: &Site, head: &Parts, placeholder: &str) -> bool {
    match site {
        Site::Bearer => only(&head.headers, &AUTHORIZATION)
            .and_then(|value| value.split_once(' '))
            .is_some_and(|(word, rest)| is_word(word) && rest == placeholder),
        Site::Basic => only(&head.headers, &AUTHORIZATION)
            .and_then(credentials)
            .is_some_and(|(user, password)| user == placeholder || password == placeholder),
        Site::Header(name) => HeaderName::try_from(name)
            .is_ok_and(|name| only(&head.headers, &name).is_some_and(|value| value == placeholder)),
        Site::Query(name) => parameter(&head.uri, name).is_some_and(|value| value == placeholder),
        // Neither is a whole value in the head.
        Site::Body(_) | Site::AwsSigv4 { .. } => false,
    }
}

/// A scheme of `Authorization`, which is a token (RFC 9110, section 11.1).
fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+".contains(&byte))
}

/// The value of a header that is there once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// User and password of `Basic` credentials (RFC 7617); the scheme's case does not count.
pub(crate) fn credentials(value: &str) -> Option<(String, String)> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(rest.trim().as_bytes()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The value of a parameter of the query that is there once, decoded as a form's field.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut values = uri.query()?.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (decoded(key) == name).then(|| decoded(&value.replace('+', " ")).into_owned())
    });
    let value = values.next()?;
    if values.next().is_some() { None } else { Some(value) }
}

/// A text with percent-encoding taken away (RFC 3986, section 2.1); what is no escape stays as it is.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escape =
            (*byte == b'%').then(|| digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)))).flatten();
        if let Some((high, low)) = escape {
            plain.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
            at += 3;
        } else {
            plain.push(*byte);
            at += 1;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::{LazyLock, Mutex, PoisonError};

    use hyper::Request;
    use proptest::prelude::*;
    use secrets_proto::rule::Rule;
    use secrets_scrub::MARK;
    use serde_json::json;

    use super::*;

    const PLACEHOLDER: &str = "sk-ssdphAAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH";

    fn rules(sites: &[&str]) -> Vec<Rule> {
        let rule = |site: &&str| serde_json::from_value(json!({"host": "api.example.com", "site": site}));
        sites.iter().map(|site| rule(site).unwrap()).collect()
    }

    fn grants(sites: &[&str]) -> Grants {
        let secret = json!({"name": "KEY", "placeholder": PLACEHOLDER, "rules": rules(sites)});
        Grants::new(vec![serde_json::from_value(secret).unwrap()], Vec::new())
    }

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri).header("host", "api.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn target() -> Target {
        Target::parse("api.example.com", Some(443)).unwrap()
    }

    fn found(sites: &[&str], uri: &str, headers: &[(&str, &str)]) -> Result<usize, Option<WhyRefused>> {
        let placed = find(&head(uri, headers), &grants(sites), &target());
        placed.map(|placed| placed.len()).map_err(|denial| denial.why())
    }

    #[test]
    fn a_placeholder_is_found_at_its_site_alone_and_whole() {
        let bearer = format!("Bearer {PLACEHOLDER}");
        let basic = format!("basic {}", BASE64.encode(format!("x-access-token:{PLACEHOLDER}").as_bytes()));
        let query = format!("/v1?a=b&key={PLACEHOLDER}");
        assert_eq!(found(&["bearer"], "/", &[("authorization", &bearer)]), Ok(1));
        assert_eq!(found(&["bearer"], "/", &[("authorization", &format!("token {PLACEHOLDER}"))]), Ok(1));
        assert_eq!(found(&["basic"], "/", &[("authorization", &basic)]), Ok(1));
        assert_eq!(found(&["header:x-api-key"], "/", &[("X-Api-Key", PLACEHOLDER)]), Ok(1));
        assert_eq!(found(&["query:key"], &query, &[]), Ok(1));
        assert_eq!(found(&["bearer"], "/", &[("authorization", "Bearer other")]), Ok(0));

        let elsewhere = Err(Some(WhyRefused::PlaceholderMisplaced));
        let repeated = Err(Some(WhyRefused::PlaceholderRepeated));
        let percent: String = PLACEHOLDER.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let in_base64 = BASE64.encode(format!("x{PLACEHOLDER}").as_bytes());
        for headers in [
            &[("user-agent", PLACEHOLDER)][..],
            &[("cookie", &format!("a={PLACEHOLDER}"))],
            &[("cookie", &percent)],
            &[("x-any", &in_base64)],
            &[("authorization", &basic)],
            &[("authorization", &format!("Bearer {PLACEHOLDER} more"))],
            &[("authorization", &format!("Bearer  {PLACEHOLDER}"))],
            &[("authorization", PLACEHOLDER)],
        ] {
            assert_eq!(found(&["bearer"], "/", headers), elsewhere, "{headers:?}");
        }
        for uri in
            [format!("/{PLACEHOLDER}"), format!("/?k={PLACEHOLDER}"), format!("/{percent}"), query.clone()]
        {
            assert_eq!(found(&["bearer"], &uri, &[]), elsewhere, "{uri}");
        }
        for headers in [
            &[("authorization", bearer.as_str()), ("x-copy", PLACEHOLDER)][..],
            &[("authorization", &bearer), ("authorization", &bearer)],
        ] {
            assert_eq!(found(&["bearer"], "/", headers), repeated, "{headers:?}");
        }
        assert_eq!(found(&["bearer", "query:key"], &query, &[("authorization", &bearer)]), repeated);
        assert_eq!(found(&["query:key"], &format!("{query}&key={PLACEHOLDER}"), &[]), repeated);
        // A mark that was sent is none of ours.
        assert_eq!(found(&["bearer"], "/", &[("x-any", MARK)]), Ok(0));
    }

    #[test]
    fn a_placeholder_of_another_session_is_told_from_chance() {
        let body = "sk-ssdphAAAABBBBCCCCDDDDEEEEFFFFGGGG";
        let other = format!("{body}{}", str::from_utf8(&checksum(body.as_bytes())).unwrap());
        let bearer = format!("Bearer {other}");
        assert_eq!(
            found(&["bearer"], "/", &[("authorization", &bearer)]),
            Err(Some(WhyRefused::PlaceholderEnded))
        );
        assert_eq!(found(&["bearer"], &format!("/?k={other}"), &[]), Err(Some(WhyRefused::PlaceholderEnded)));
        for chance in ["ssdph", "Bearer ssdph-no-sum", &bearer[..bearer.len() - 1]] {
            assert_eq!(found(&["bearer"], "/", &[("authorization", chance)]), Ok(0), "{chance}");
        }
    }

    /// What a program may write, with the placeholder in it or not.
    fn written() -> impl Strategy<Value = String> {
        let in_base64 = |text: String| BASE64.encode(text.as_bytes());
        let percent: String = PLACEHOLDER.bytes().map(|byte| format!("%{byte:02X}")).collect();
        prop_oneof![
            Just(PLACEHOLDER.to_owned()),
            Just(format!("Bearer {PLACEHOLDER}")),
            Just(format!("Bearer {PLACEHOLDER}{PLACEHOLDER}")),
            Just(format!("Basic {}", in_base64(format!("u:{PLACEHOLDER}")))),
            Just(format!("Basic {}", in_base64(format!("{PLACEHOLDER}:{PLACEHOLDER}")))),
            Just(format!("Basic {}", in_base64(format!("u:x{PLACEHOLDER}")))),
            Just(percent),
            "[ -~]{0,20}".prop_map(|text| text.trim().to_owned()),
            "[a-z]{0,3}".prop_map(move |text| format!("{text}{PLACEHOLDER}")),
            "[ -~]{0,3}".prop_map(move |text| in_base64(format!("{text}{PLACEHOLDER}"))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]
        #[test]
        fn a_head_that_is_filled_has_the_value_once_and_no_placeholder(
            sites in proptest::collection::vec(prop_oneof![Just("bearer"), Just("basic"), Just("header:x-key"), Just("query:key")], 1..3),
            headers in proptest::collection::vec((prop_oneof![Just("authorization"), Just("x-key"), Just("x-any")], written()), 0..4),
            query in proptest::option::of((prop_oneof![Just("key"), Just("k%65y"), Just("other")], written())),
        ) {
            const VALUE: &str = "value-that-takes-its-place";
            let uri = match query {
                Some((name, value)) => {
                    let value: String = value.chars().map(|c| if c.is_ascii_graphic() && !"&#\"<>\\^`{|}".contains(c) { c } else { '_' }).collect();
                    format!("/p?{name}={value}")
                }
                None => "/p".to_owned(),
            };
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut head = head(&uri, &headers);
            // The spellings are slow to prepare, and the same for all.
            static GRANTS: LazyLock<Mutex<Grants>> = LazyLock::new(|| Mutex::new(grants(&[])));
            let mut grants = GRANTS.lock().unwrap_or_else(PoisonError::into_inner);
            grants.secrets[0].rules = rules(&sites);
            if let Ok(placed) = find(&head, &grants, &target()) {
                for Placed { site, .. } in &placed {
                    crate::place::put(&mut head, site, PLACEHOLDER, VALUE).unwrap();
                }
                prop_assert_eq!(times(&head, &grants), 0, "a placeholder is left");
                let basic = only(&head.headers, &AUTHORIZATION).and_then(credentials);
                let basic = basic.map_or(String::new(), |(user, password)| format!("{user}\0{password}"));
                let values = format!("{}\0{basic}", head_in_clear(&head)).matches(VALUE).count();
                prop_assert_eq!(values, placed.len());
                prop_assert!(placed.len() <= 1);
            }
        }
    }
}
