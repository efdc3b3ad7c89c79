//! Where a request goes, read from a URL.

use super::decide::Request;
use super::host::{self, Host};
use super::{Method, RequestPath};
use crate::invalid::{FieldErrorType, Invalid};

/// Host, port and path of an `https` URL; its query and fragment have no part in rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host, in lower case.
    pub host: Host,
    /// The port, 443 unless the URL has another.
    pub port: u16,
    /// The path, `/` if the URL has none.
    pub path: RequestPath,
}

impl Target {
    /// Reads a URL. Refuses other schemes, since nothing else carries a value, user names and addresses in place of a name.
    pub fn parse(url: &str) -> Result<Self, Invalid> {
        let invalid = |message| Invalid::new(FieldErrorType::ValueError, message);
        let Some(rest) = url.strip_prefix("https://") else {
            return Err(invalid("a URL that begins with https:// is expected; nothing else carries a value"));
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) => {
                // The library takes a sign, too.
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| *port > 0 && is_number);
                (name, port.ok_or(invalid("the URL's port is a number from 1 to 65535"))?)
            }
            None => (authority, host::HTTPS),
        };
        let path = rest.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
        let host = Host::parse(&name.to_ascii_lowercase())?;
        Ok(Self { host, port, path: RequestPath::parse(path)? })
    }

    /// A request with this method to it, whose value may stand at any site.
    pub fn request<'a>(&'a self, method: &'a Method) -> Request<'a> {
        Request { method, host: &self.host, port: self.port, path: self.path.as_str(), site: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_or_refused() {
        for (url, host, port, path) in [
            ("https://api.example.com", "api.example.com", 443, "/"),
            ("https://API.example.com:8443/v1/a%2fb?x=y#z", "api.example.com", 8443, "/v1/a%2fb"),
            ("https://a.example?x=/y", "a.example", 443, "/"),
            ("https://a.example#@evil.example/", "a.example", 443, "/"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                (target.host.to_string(), target.port, target.path.to_string()),
                (host.to_owned(), port, path.to_owned()),
                "{url}"
            );
        }
        for bad in [
            "http://a.example/",
            "a.example",
            "https://",
            "https:///x",
            "https://user:word@a.example/",
            "https://a.example:0/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://a.example/\n",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
