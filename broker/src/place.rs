//! Puts values in the place of their placeholders.

use data_encoding::BASE64;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use secrets_proto::rule::Site;
use zeroize::Zeroizing;

use crate::field::{Form, Text};
use crate::placeholders::{credentials, decoded};
use crate::sigv4::{self, Signed};

/// The error that a value cannot stand where its placeholder was found.
#[derive(Debug)]
pub(crate) struct Misfit;

/// Puts a value where its placeholder stands at this site. The rest of the head stays as it is.
pub(crate) fn put(head: &mut Parts, site: &Site, placeholder: &str, value: &str) -> Result<(), Misfit> {
    if !site.can_hold(value) {
        return Err(Misfit);
    }
    match site {
        Site::Bearer => {
            let word = header(head, &AUTHORIZATION)?.split_once(' ').ok_or(Misfit)?.0.to_owned();
            set(head, AUTHORIZATION, &Zeroizing::new(format!("{word} {value}")))
        }
        Site::Basic => {
            let (user, password) = credentials(header(head, &AUTHORIZATION)?).ok_or(Misfit)?;
            let filled = |part: String| if part == placeholder { value.to_owned() } else { part };
            let text = Zeroizing::new(format!(
                "{}:{}",
                *Zeroizing::new(filled(user)),
                *Zeroizing::new(filled(password))
            ));
            set(head, AUTHORIZATION, &Zeroizing::new(format!("Basic {}", BASE64.encode(text.as_bytes()))))
        }
        Site::Header(name) => {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| Misfit)?;
            set(head, name, value)
        }
        Site::Query(name) => {
            let query = head.uri.query().ok_or(Misfit)?;
            let mut target = Zeroizing::new(String::with_capacity(
                head.uri.path().len() + query.len() + 3 * value.len() + 1,
            ));
            target.push_str(head.uri.path());
            for (at, pair) in query.split('&').enumerate() {
                target.push(if at == 0 { '?' } else { '&' });
                match pair.split_once('=') {
                    Some((key, old))
                        if decoded(key) == *name && decoded(&old.replace('+', " ")) == placeholder =>
                    {
                        target.push_str(key);
                        target.push('=');
                        encode(value, &mut target);
                    }
                    _ => target.push_str(pair),
                }
            }
            let mut parts = head.uri.clone().into_parts();
            parts.path_and_query = Some(PathAndQuery::try_from(target.as_str()).map_err(|_| Misfit)?);
            head.uri = Uri::from_parts(parts).map_err(|_| Misfit)?;
            Ok(())
        }
        // Neither is a place in the head.
        Site::Body(_) | Site::AwsSigv4 { .. } => Err(Misfit),
    }
}

/// Signs a request again, which goes to this host as it is now: with this key, its id, and the session token.
pub(crate) fn sign(
    head: &mut Parts,
    signed: &Signed,
    host: &str,
    (key, id, token): (&str, &str, Option<&str>),
) -> Result<(), Misfit> {
    if let Some(token) = token {
        set(head, sigv4::TOKEN, token)?;
    }
    let authorization = Zeroizing::new(signed.authorization(head, host, id, key));
    set(head, AUTHORIZATION, &authorization)
}

/// Puts a value into the field of a body. The rest stays byte for byte.
pub(crate) fn put_into_field(body: &mut Text, name: &str, value: &str) -> Result<(), Misfit> {
    let encoded = |form, into: &mut String| match form {
        Form::Urlencoded => encode(value, into),
        Form::Json => {
            let text = serde_json::to_string(value).map(Zeroizing::new);
            into.push_str(text.as_ref().map_or("\"\"", |text| text.as_str()));
        }
    };
    body.splice(name, encoded).map_err(|_| Misfit)
}

fn header<'a>(head: &'a Parts, name: &HeaderName) -> Result<&'a str, Misfit> {
    head.headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Misfit)
}

fn set(head: &mut Parts, name: HeaderName, value: &str) -> Result<(), Misfit> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Misfit)?;
    // Shown by no `Debug`, and kept out of HTTP/2's table of headers.
    value.set_sensitive(true);
    head.headers.insert(name, value);
    Ok(())
}

/// Percent-encodes all but what is never encoded (RFC 3986, section 2.3).
fn encode(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            for digit in [byte >> 4, byte & 15] {
                into.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const PLACEHOLDER: &str = "ssdph-placeholder";

    fn put_into(site: &str, uri: &str, header: (&str, &str), value: &str) -> Result<Parts, Misfit> {
        let mut head =
            Request::builder().uri(uri).header(header.0, header.1).body(()).unwrap().into_parts().0;
        put(&mut head, &Site::parse(site).unwrap(), PLACEHOLDER, value).map(|()| head)
    }

    #[test]
    fn a_value_takes_its_placeholders_place_and_nothing_else_changes() {
        let head = put_into("bearer", "/", ("authorization", "token ssdph-placeholder"), "value").unwrap();
        assert_eq!(head.headers["authorization"], "token value");
        assert!(head.headers["authorization"].is_sensitive());
        let basic = format!("basic {}", BASE64.encode(b"user:ssdph-placeholder"));
        let head = put_into("basic", "/", ("authorization", &basic), "va:lue").unwrap();
        assert_eq!(
            head.headers["authorization"],
            format!("Basic {}", BASE64.encode(b"user:va:lue")).as_str()
        );
        let basic = format!("Basic {}", BASE64.encode(b"ssdph-placeholder:"));
        let head = put_into("basic", "/", ("authorization", &basic), "value").unwrap();
        assert_eq!(head.headers["authorization"], format!("Basic {}", BASE64.encode(b"value:")).as_str());
        let head = put_into("header:x-api-key", "/", ("x-api-key", PLACEHOLDER), "value").unwrap();
        assert_eq!(head.headers["x-api-key"], "value");
        let uri = "https://a.example/p?a=%20&k%65y=ssdph%2dplaceholder&b";
        let head = put_into("query:key", uri, ("x", "y"), "a&b=é+").unwrap();
        assert_eq!(head.uri, "https://a.example/p?a=%20&k%65y=a%26b%3D%C3%A9%2B&b");
    }

    #[test]
    fn what_cannot_stand_there_is_refused() {
        for value in ["a\nb", "a\r", "\0", " a"] {
            assert!(put_into("bearer", "/", ("authorization", "Bearer ssdph-placeholder"), value).is_err());
        }
    }
}
