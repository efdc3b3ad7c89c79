//! What an HTTP library lets through and a front that guards secrets must not: requests that two programs could read
//! in two ways. All of it is refused before anybody asks who is there.

use hyper::Version;
use hyper::header::{AUTHORIZATION, EXPECT, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use secrets_proto::API_VERSION;
use secrets_proto::approval::CLIENT_HEADER;

use super::failure::Failure;

/// The header that carries a token in the API's own client.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_SECRETSD_API: HeaderName = HeaderName::from_static("x-secretsd-api");
const X_SECRETSD_CLIENT: HeaderName = HeaderName::from_static(CLIENT_HEADER);
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The most headers of a request.
const MOST_HEADERS: usize = 64;

/// What a head says of its sender, found in one pass over the headers. Each is there at most once.
#[derive(Debug, Default)]
pub(crate) struct HeadFields<'a> {
    /// `Host`
    pub(crate) host: &'a [u8],
    /// `Authorization`
    pub(crate) authorization: Option<&'a [u8]>,
    /// `X-API-Key`
    pub(crate) api_key: Option<&'a [u8]>,
    /// `X-Secretsd-Client`
    pub(crate) client: Option<&'a [u8]>,
    /// Whether a browser has marked the request.
    pub(crate) is_browser: bool,
}

/// What is known of a request's path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    /// The path is a route's, letter by letter, and so has nothing odd in it.
    Known,
    /// The path is a route's, but for this segment.
    KnownBut(&'a str),
    /// No route has this path.
    Unknown,
}

/// Checks a request's head, with what is known of its path.
pub(crate) fn check<'a>(head: &'a Parts, path: Path<'_>) -> Result<HeadFields<'a>, Failure> {
    if head.version != Version::HTTP_11 {
        return Err(Failure::upgrade("HTTP/1.1", "This needs HTTP/1.1").closing());
    }
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return Err(refused("The request's target must be a path, not a whole URL"));
    }
    // hyper could count too, but takes less time when it need not.
    if head.headers.len() > MOST_HEADERS {
        return Err(refused("At most 64 headers are allowed"));
    }
    match path {
        Path::Known => {}
        Path::KnownBut(segment) => check_segments(segment.as_bytes())?,
        Path::Unknown => check_path(head.uri.path().as_bytes())?,
    }
    fields(head)
}

fn fields(head: &Parts) -> Result<HeadFields<'_>, Failure> {
    let (mut host, mut authorization, mut api_key, mut client) = (None, None, None, None);
    let mut is_browser = false;
    let once = |place: &mut Option<&HeaderValue>| match place {
        None => Ok(()),
        Some(_) => Err(refused(
            "Host, X-Secretsd-Client or a header that carries the token is given twice; send it once",
        )),
    };
    for (name, value) in &head.headers {
        let place = if *name == HOST {
            &mut host
        } else if *name == AUTHORIZATION {
            &mut authorization
        } else if *name == X_API_KEY {
            &mut api_key
        } else if *name == X_SECRETSD_CLIENT {
            &mut client
        } else {
            is_browser |= *name == ORIGIN || *name == SEC_FETCH_SITE;
            if *name == X_SECRETSD_API && value != API_VERSION {
                let detail = "This daemon speaks version 1 of the API; upgrade one of the two";
                return Err(Failure::upgrade("secretsd-api/1", detail));
            }
            if *name == EXPECT && !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                return Err(refused("Expect asks for something unknown; only 100-continue is known"));
            }
            continue;
        };
        once(place)?;
        *place = Some(value);
    }
    let host = host.ok_or_else(|| refused("The Host header is missing; send Host: localhost"))?.as_bytes();
    let authorization = authorization.map(HeaderValue::as_bytes);
    let api_key = api_key.map(HeaderValue::as_bytes);
    let client = client.map(HeaderValue::as_bytes);
    Ok(HeadFields { host, authorization, api_key, client, is_browser })
}

/// A path from the root, without anything that could be read as another path: no empty and no dot segments, and
/// nothing encoded, since nothing in our paths needs to be.
fn check_path(path: &[u8]) -> Result<(), Failure> {
    let Some((b'/', path)) = path.split_first() else {
        return Err(refused("The request's target must be a path"));
    };
    check_segments(path)
}

fn check_segments(path: &[u8]) -> Result<(), Failure> {
    // What nearly all paths are, told without looking at their segments: only bytes that are nothing but themselves,
    // and no slash before a slash or in the beginning.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_') | (byte == b'/');
    let after = path.get(1..).unwrap_or_default();
    let twice = path.iter().zip(after).fold(false, |found, (a, b)| found | ((*a == b'/') & (*b == b'/')));
    if path.iter().fold(true, |all, byte| all & plain(*byte)) && !twice && path.first() != Some(&b'/') {
        return Ok(());
    }
    let odd = || refused("The path must not have empty or dot segments");
    // How long the present segment is, and whether it is all dots.
    let (mut length, mut dots) = (0_usize, true);
    for byte in path {
        match byte {
            b'/' if length == 0 || (dots && length <= 2) => return Err(odd()),
            b'/' => (length, dots) = (0, true),
            b'%' | b'\\' | 0..=b' ' | 0x7f.. => {
                return Err(refused("The path must not have encoded characters"));
            }
            _ => {
                length += 1;
                dots &= *byte == b'.';
            }
        }
    }
    if dots && (length == 1 || length == 2) { Err(odd()) } else { Ok(()) }
}

fn refused(detail: &'static str) -> Failure {
    Failure::invalid_request(detail).closing()
}
