//! Requests that are signed for AWS: taken apart, checked against the key that the program has, which is a placeholder, and
//! signed again. The algorithm is Signature Version 4, as "Create a signed AWS API request" in the user guide of IAM has it
//! (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html) and botocore's `auth.py` does it.
//! A crate that signs is none that checks, and `aws-sigv4` comes with two dozen more; here HMAC and SHA-256 are ring's.

use std::fmt::Write as _;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use ring::{digest, hmac};
use secrets_proto::rule::Site;
use secrets_proto::session::WhyRefused;
use secrets_proto::{SecretName, Timestamp};

use crate::denial::Denial;
use crate::grants::{Granted, Grants, Target};
use crate::placeholders::{self, Placed};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// The header of a session token.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// So far from this machine's clock a request may be dated: what AWS takes (RequestTimeTooSkewed of S3).
const SKEW: i64 = 15 * 60;

/// What stands in the place of a body's digest where a body need not be digested beforehand.
const UNSIGNED: [&str; 2] = ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"];

/// A request that a program has signed, and what must be known to sign it again.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// Where the rules of its secrets put them.
    site: Site,
    /// Which of the session's secrets is the key that was signed with.
    pub(crate) key: usize,
    /// Which is that key's id.
    pub(crate) id: usize,
    /// Which is the session token, if there is one in the request.
    pub(crate) token: Option<usize>,
    /// The headers that were signed, in order.
    names: Vec<HeaderName>,
    /// The time as it is written.
    time: String,
    /// Day, region, service and `aws4_request`.
    scope: String,
    signature: Vec<u8>,
    /// What the header says of the body, if it says something.
    content: Option<String>,
    way: Way,
}

/// How a path is written to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As it is sent: S3.
    AsSent,
    /// Without dot segments and empty ones, percent-encoded once more: all others.
    Encoded,
}

/// The request's signature, if it is one by a key of this session for this host. Other placeholders than those of the key's
/// id and of its session token have no place in it.
pub(crate) fn find(head: &Parts, grants: &Grants, target: &Target) -> Result<Option<Signed>, Denial> {
    for (key, granted) in grants.secrets.iter().enumerate() {
        for site in placeholders::sites(granted, target) {
            let Site::AwsSigv4 { id, token } = site else { continue };
            let of = |name: &SecretName| grants.secrets.iter().position(|secret| secret.name == *name);
            // The rules of id and token name the same site.
            let is_key = granted.name != *id && token.as_ref() != Some(&granted.name);
            let Some(id) = of(id).filter(|_| is_key) else { continue };
            let token = token.as_ref().and_then(of);
            if let Some(signed) = by(head, grants, (key, id, token), site)? {
                let there = placeholders::times(head, grants);
                // The one that is too many is said as with any other request.
                let others = if there > 1 + usize::from(signed.token.is_some()) {
                    placeholders::find(head, grants, target).err()
                } else {
                    None
                };
                return others.map_or(Ok(Some(signed)), Err);
            }
        }
    }
    Ok(None)
}

/// The signature, if its key's id is the placeholder of this one.
fn by(
    head: &Parts,
    grants: &Grants,
    (key, id, token): (usize, usize, Option<usize>),
    site: &Site,
) -> Result<Option<Signed>, Denial> {
    let (Some(owner), Some(id_granted)) = (grants.secrets.get(key), grants.secrets.get(id)) else {
        return Ok(None);
    };
    let placeholder = id_granted.placeholder.as_str();
    let refused = |message: &str| Err(refused(owner, message));
    if head.uri.query().is_some_and(|query| query.contains(placeholder)) {
        return refused(
            "the URL is presigned, which would let anybody who has it use the key; sign the request in its headers",
        );
    }
    let Some(text) = placeholders::only(&head.headers, &AUTHORIZATION) else { return Ok(None) };
    if !text.contains(placeholder) {
        return Ok(None);
    }
    let Some(rest) = text.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')) else {
        return refused("the request is signed in another way than AWS4-HMAC-SHA256");
    };
    const MALFORMED: &str = "the request's Authorization is no signature of AWS4-HMAC-SHA256";
    let mut parts = rest.split(',').map(str::trim);
    let mut part = |name: &str| {
        parts.next().and_then(|part| part.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let (Some(credential), Some(names), Some(signature)) =
        (part("Credential"), part("SignedHeaders"), part("Signature"))
    else {
        return refused(MALFORMED);
    };
    let scope = credential.strip_prefix(placeholder).and_then(|rest| rest.strip_prefix('/'));
    let (Some(scope), None) = (scope, parts.next()) else { return refused(MALFORMED) };
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
    let [day, region, service, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
        return refused(MALFORMED);
    };
    if ![day, region, service].into_iter().all(is_part) {
        return refused(MALFORMED);
    }
    let Ok(signature) = HEXLOWER.decode(signature.as_bytes()) else { return refused(MALFORMED) };
    let is_name = |name: &&str| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let names: Option<Vec<HeaderName>> =
        names.split(';').map(|name| Some(name).filter(is_name)?.parse().ok()).collect();
    let Some(names) = names.filter(|names| names.contains(&HOST)) else {
        return refused("the signature is not for the request's host");
    };
    if !names.is_sorted_by(|one, other| one.as_str() < other.as_str()) {
        return refused(MALFORMED);
    }
    let Some(time) = placeholders::only(&head.headers, &DATE) else {
        return refused("the request has no X-Amz-Date");
    };
    match second(time).filter(|_| time.get(..8) == Some(day)) {
        None => return refused("the request's X-Amz-Date is no time of the day that the signature is for"),
        Some(second) if (second - Timestamp::now().as_second()).abs() > SKEW => {
            return refused(
                "the request is dated more than 15 minutes from this machine's clock; correct the clock",
            );
        }
        Some(_) => {}
    }
    let content = match (placeholders::only(&head.headers, &CONTENT), head.headers.contains_key(CONTENT)) {
        (None, false) => None,
        (Some(content), _) if UNSIGNED.contains(&content) => Some(content.to_owned()),
        (Some(content), _)
            if content.len() == 64 && HEXLOWER_PERMISSIVE.decode(content.as_bytes()).is_ok() =>
        {
            Some(content.to_owned())
        }
        (Some(content), _) if content.starts_with("STREAMING-") => {
            return refused(
                "the parts of the body are signed one by one (STREAMING-…); sign it whole, or use UNSIGNED-PAYLOAD",
            );
        }
        _ => return refused("the request's X-Amz-Content-Sha256 is neither a digest nor UNSIGNED-PAYLOAD"),
    };
    // Either all of it or nothing: a token that is not of this session's is for another key.
    let token = match (
        token.and_then(|at| grants.secrets.get(at).map(|granted| (at, granted))),
        head.headers.contains_key(TOKEN),
    ) {
        (_, false) => None,
        (Some((at, granted)), true)
            if placeholders::only(&head.headers, &TOKEN) == Some(granted.placeholder.as_str()) =>
        {
            Some(at)
        }
        _ => return refused("the request has a session token that the key's rule does not name"),
    };
    Ok(Some(Signed {
        site: site.clone(),
        key,
        id,
        token,
        names,
        time: time.to_owned(),
        scope: scope.to_owned(),
        signature,
        content,
        way: Way::AsSent,
    }))
}

impl Signed {
    /// What is placed in the request.
    pub(crate) fn placed(&self) -> Vec<Placed> {
        let secrets = [Some(self.key), Some(self.id), self.token].into_iter().flatten();
        secrets.map(|secret| Placed { secret, site: self.site.clone() }).collect()
    }

    /// Whether the body must be read to tell what was signed.
    pub(crate) const fn needs_body(&self) -> bool {
        self.content.is_none()
    }

    /// Takes the body into account.
    pub(crate) fn with_body(self, body: &[u8]) -> Self {
        Self { content: Some(hex_digest(body)), ..self }
    }

    /// Checks that the request as it came is signed with the key's placeholder, and learns how its path was written.
    pub(crate) fn checked(self, head: &Parts, grants: &Grants) -> Result<Self, Denial> {
        let Some(granted) = grants.secrets.get(self.key) else { return Ok(self) };
        let host = host(head).unwrap_or_default();
        for way in [Way::AsSent, Way::Encoded] {
            let signed = Self { way, ..self.clone() };
            let text = signed.string_to_sign(head, &host, &signed.names);
            if hmac::verify(&signed.signing_key(&granted.placeholder), text.as_bytes(), &self.signature)
                .is_ok()
            {
                return Ok(signed);
            }
        }
        Err(refused(
            granted,
            "the signature is not that of this request by the key's placeholder; give the program this session's key, and let nothing change the request once it is signed",
        ))
    }

    /// The value of `Authorization` for the request as it goes on to this host, by this key with this id. Signed are those
    /// headers that were and that are still there.
    pub(crate) fn authorization(&self, head: &Parts, host: &str, id: &str, key: &str) -> String {
        let is_there = |name: &&HeaderName| **name == HOST || head.headers.contains_key(*name);
        let names: Vec<HeaderName> = self.names.iter().filter(is_there).cloned().collect();
        let text = self.string_to_sign(head, host, &names);
        let signature = hmac::sign(&self.signing_key(key), text.as_bytes());
        format!(
            "{ALGORITHM} Credential={id}/{}, SignedHeaders={}, Signature={}",
            self.scope,
            joined(&names),
            HEXLOWER.encode(signature.as_ref())
        )
    }

    fn signing_key(&self, key: &str) -> hmac::Key {
        let seed = [b"AWS4", key.as_bytes()].concat();
        let first = hmac::Key::new(hmac::HMAC_SHA256, &seed);
        self.scope.split('/').fold(first, |key, part| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
        })
    }

    fn string_to_sign(&self, head: &Parts, host: &str, names: &[HeaderName]) -> String {
        let request = hex_digest(self.canonical(head, host, names).as_bytes());
        format!("{ALGORITHM}\n{}\n{}\n{request}", self.time, self.scope)
    }

    fn canonical(&self, head: &Parts, host: &str, names: &[HeaderName]) -> String {
        let path = match self.way {
            Way::AsSent => head.uri.path().to_owned(),
            Way::Encoded => encoded(&without_dots(head.uri.path())),
        };
        let mut text = format!("{}\n{path}\n{}\n", head.method, sorted(head.uri.query()));
        for name in names {
            let value = if *name == HOST { host.to_owned() } else { trimmed(&head.headers, name) };
            let _ = writeln!(text, "{name}:{value}");
        }
        let _ = write!(text, "\n{}\n{}", joined(names), self.content.as_deref().unwrap_or_default());
        text
    }
}

fn refused(granted: &Granted, message: &str) -> Denial {
    Denial::refusal(WhyRefused::SignatureForm, message.to_owned()).about(&granted.name, None)
}

/// The host as the program has written it.
fn host(head: &Parts) -> Option<String> {
    placeholders::only(&head.headers, &HOST)
        .map(str::to_owned)
        .or_else(|| head.uri.authority().map(ToString::to_string))
}

fn joined(names: &[HeaderName]) -> String {
    names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(";")
}

/// A header's values, each without needless spaces.
fn trimmed(headers: &HeaderMap, name: &HeaderName) -> String {
    let one = |value: &hyper::header::HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    headers.get_all(name).iter().map(one).collect::<Vec<_>>().join(",")
}

/// The query's parameters by name and value, as they are written.
fn sorted(query: Option<&str>) -> String {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return String::new() };
    let mut pairs: Vec<(&str, &str)> =
        query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A path without dot segments (RFC 3986, section 5.2.4), and without empty ones.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let last = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{last}", kept.join("/"))
}

/// A path in which all is percent-encoded but `/` and what is never encoded (RFC 3986, section 2.3).
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn hex_digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// The second that `20260102T030405Z` names.
fn second(time: &str) -> Option<i64> {
    if time.len() != 16 || !time.is_ascii() {
        return None;
    }
    let part = |from, to| time.get(from..to);
    let (day, clock) =
        ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(9, 11)?, part(11, 13)?, part(13, 15)?));
    if part(8, 9)? != "T" || part(15, 16)? != "Z" {
        return None;
    }
    let text = format!("{}-{}-{}T{}:{}:{}Z", day.0, day.1, day.2, clock.0, clock.1, clock.2);
    Timestamp::parse(&text).ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    /// "Authenticating Requests (AWS Signature Version 4)" in the API reference of S3, "GET Object" and "GET Bucket (List
    /// Objects)".
    #[test]
    fn what_is_signed_is_what_the_documents_say() {
        let empty = hex_digest(b"");
        let signed = |names: &[&'static str]| Signed {
            site: Site::Bearer,
            key: 0,
            id: 1,
            token: None,
            names: names.iter().map(|name| HeaderName::from_static(name)).collect(),
            time: "20130524T000000Z".to_owned(),
            scope: "20130524/us-east-1/s3/aws4_request".to_owned(),
            signature: Vec::new(),
            content: Some(empty.clone()),
            way: Way::AsSent,
        };
        let request = |target: &str, names: &[&'static str], expected: &str| {
            let request = Request::builder()
                .uri(target)
                .header("range", "bytes=0-9")
                .header("x-amz-content-sha256", &empty)
                .header("x-amz-date", "20130524T000000Z");
            let head = request.body(()).unwrap().into_parts().0;
            let key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
            let host = "examplebucket.s3.amazonaws.com";
            let made = signed(names).authorization(&head, host, "AKIAIOSFODNN7EXAMPLE", key);
            assert_eq!(
                made,
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders={}, Signature={expected}",
                    names.join(";")
                )
            );
        };
        request(
            "/test.txt",
            &["host", "range", "x-amz-content-sha256", "x-amz-date"],
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        request(
            "/?max-keys=2&prefix=J",
            &["host", "x-amz-content-sha256", "x-amz-date"],
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    #[test]
    fn paths_and_times_are_read_as_they_are_meant() {
        for (path, plain) in
            [("/", "/"), ("/a//b/", "/a/b/"), ("/a/./../b", "/b"), ("/../..", "/"), ("//", "/")]
        {
            assert_eq!(without_dots(path), plain);
        }
        assert_eq!(encoded("/a%20b+é"), "/a%2520b%2B%C3%A9");
        assert_eq!(second("19700101T000100Z"), Some(60));
        for bad in [
            "",
            "19700101T000100",
            "1970-01-01T00:00",
            "19701301T000000Z",
            "19700101t000000z",
            "+1970101T000000Z",
        ] {
            assert_eq!(second(bad), None, "{bad}");
        }
    }
}
