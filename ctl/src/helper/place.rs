//! Names of secrets made of hosts, so that two places never share one. A name has letters, digits and underscores alone:
//! of what a host has besides, `.` becomes one underscore, `-` two, `:` three, `_` five and `/` seven. Between two
//! letters or digits stands one of these, or hyphens alone, so that every name is one place's.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use secrets_proto::SecretName;

use crate::failure::{Exit, Failure};

/// Where a credential belongs: a host, with its port if that is not the usual one, and with a path if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// In lower case; an IPv6 address as its eight groups.
    pub(crate) host: String,
    /// The port, where it was said and is not that of https.
    pub(crate) port: Option<u16>,
    /// What stands behind the host, without slashes around it, as it came.
    pub(crate) path: String,
}

/// Separators, and how many underscores each becomes.
const SEPARATORS: [(char, usize); 5] = [('.', 1), ('-', 2), (':', 3), ('_', 5), ('/', 7)];

impl Place {
    /// Reads `[https://][USER@]HOST[:PORT][/PATH]`. http is for this machine alone, and is a place of its own.
    pub(crate) fn parse(address: &str) -> Result<Self, Failure> {
        let (scheme, rest) = match address.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, address),
        };
        let is_http = match scheme.as_deref() {
            None | Some("https") => false,
            Some("http") => true,
            Some(_) => return Err(unfit("an address begins with https:// or is a host alone")),
        };
        // Readers of addresses do not agree on which host is meant by one with these in it.
        if rest.contains(|sign: char| sign == '\\' || sign.is_whitespace() || sign.is_control()) {
            return Err(unfit("an address has no blanks, backslashes or control characters"));
        }
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = host_and_port(authority)?;
        let port = match port {
            None if is_http => Some(80),
            Some(443) if scheme.is_some() && !is_http => None,
            port => port,
        };
        let place = Self { host, port, path: path.trim_matches('/').to_owned() };
        if is_http && !place.is_loopback() {
            return Err(unfit("http would send the password unencrypted; use https, or localhost"));
        }
        Ok(place)
    }

    /// The place without its path.
    pub(crate) fn without_path(self) -> Self {
        Self { path: String::new(), ..self }
    }

    /// The secret's name.
    pub(crate) fn name(&self, prefix: &str) -> Result<SecretName, Failure> {
        let mut text = self.host.clone();
        if let Some(port) = self.port {
            let _ = write!(text, ":{port}");
        }
        if !self.path.is_empty() {
            let _ = write!(text, "/{}", self.path);
        }
        named(prefix, &text)
    }

    /// The place that a name was made of.
    pub(crate) fn of_name(name: &SecretName, prefix: &str) -> Option<Self> {
        let text = decode(name.as_str().strip_prefix(prefix)?)?;
        let (authority, path) = text.split_once('/').unwrap_or((&text, ""));
        let groups: Vec<&str> = authority.split(':').collect();
        let (host, port) = match groups.as_slice() {
            [_, .., port] if groups.len() == 9 => (groups.get(..8)?.join(":"), Some(*port)),
            [_, ..] if groups.len() == 8 => (authority.to_owned(), None),
            [host, port] => ((*host).to_owned(), Some(*port)),
            [host] => ((*host).to_owned(), None),
            _ => return None,
        };
        let port = port.map(str::parse).transpose().ok()?;
        let place = Self { host, port, path: path.to_owned() };
        (place.name(prefix).ok()? == *name).then_some(place)
    }

    /// Host and port as addresses have them.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => self.host.clone(),
        };
        self.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || self.host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
    }
}

/// The name behind this prefix for a text of lower-case letters, digits and separators.
pub(crate) fn named(prefix: &str, text: &str) -> Result<SecretName, Failure> {
    let encoded = encode(text).ok_or_else(|| {
        unfit("expected lower-case letters and digits with single . - : _ / between them; write other letters of a host as xn--")
    })?;
    Ok(SecretName::parse(&format!("{prefix}{encoded}"))?)
}

fn unfit(text: &str) -> Failure {
    Failure::new(Exit::Invalid, text)
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), Failure> {
    let wrong = || unfit("this is no host, or has no port behind its colon");
    let groups = |address: Ipv6Addr| address.segments().map(|group| format!("{group:x}")).join(":");
    if let Ok(address) = authority.parse::<Ipv6Addr>() {
        return Ok((groups(address), None));
    }
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']').ok_or_else(wrong)?;
            (groups(address.parse().map_err(|_| wrong())?), rest)
        }
        None => {
            let at = authority.find(':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at_checked(at).ok_or_else(wrong)?;
            if host.is_empty() || host.contains('/') {
                return Err(wrong());
            }
            (host.to_ascii_lowercase(), rest)
        }
    };
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let port = digits.and_then(|digits| digits.parse().ok()).filter(|port| *port != 0);
    Ok((host, Some(port.ok_or_else(wrong)?)))
}

/// As part of a name, if it can be read back from there.
fn encode(text: &str) -> Option<String> {
    let mut name = String::new();
    for piece in text.as_bytes().chunk_by(|a, b| is_plain(*a) == is_plain(*b)) {
        let piece = std::str::from_utf8(piece).ok()?;
        if piece.bytes().all(is_plain) {
            name.push_str(&piece.to_ascii_uppercase());
        } else if name.is_empty() {
            return None;
        } else {
            name.push_str(&"_".repeat(underscores(piece)?));
        }
    }
    name.ends_with(|c: char| c != '_').then_some(name)
}

/// How many stand for what is between two words.
fn underscores(between: &str) -> Option<usize> {
    if between.chars().all(|c| c == '-') {
        return Some(2 * between.len());
    }
    SEPARATORS.iter().find(|(known, _)| between.chars().eq([*known])).map(|(_, count)| *count)
}

/// What [`encode`] made this of.
fn decode(name: &str) -> Option<String> {
    let mut text = String::new();
    let mut run = 0;
    for c in name.chars() {
        if c == '_' {
            run += 1;
            continue;
        }
        match SEPARATORS.iter().find(|(_, count)| *count == run) {
            Some((separator, _)) => text.push(*separator),
            None if run % 2 == 0 => text.push_str(&"-".repeat(run / 2)),
            None => return None,
        }
        run = 0;
        text.push(c.to_ascii_lowercase());
    }
    (run == 0).then_some(text)
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(address: &str) -> Option<String> {
        Place::parse(address).and_then(|place| place.name("P__")).ok().map(String::from)
    }

    #[test]
    fn every_place_has_its_own_name() {
        for (address, expected) in [
            ("example.com", "EXAMPLE_COM"),
            ("Example.COM", "EXAMPLE_COM"),
            ("https://example.com/", "EXAMPLE_COM"),
            ("https://me:canary@example.com:443", "EXAMPLE_COM"),
            ("example.com:443", "EXAMPLE_COM___443"),
            ("https://example.com:8443/?q#f", "EXAMPLE_COM___8443"),
            ("my-registry.example.com", "MY__REGISTRY_EXAMPLE_COM"),
            ("my.registry.example.com", "MY_REGISTRY_EXAMPLE_COM"),
            ("my_registry:5000", "MY_____REGISTRY___5000"),
            ("xn--bcher-kva.example", "XN____BCHER__KVA_EXAMPLE"),
            ("http://localhost", "LOCALHOST___80"),
            ("http://127.0.0.1:5000", "127_0_0_1___5000"),
            ("[::1]:5000", "0___0___0___0___0___0___0___1___5000"),
            ("http://[0:0::1]:5000/x", "0___0___0___0___0___0___0___1___5000_______X"),
            ("2001:DB8::1", "2001___DB8___0___0___0___0___0___1"),
            ("quay.example/team", "QUAY_EXAMPLE_______TEAM"),
        ] {
            assert_eq!(name(address), Some(format!("P__{expected}")), "{address}");
        }
    }

    #[test]
    fn what_is_no_place_has_no_name() {
        for wrong in [
            "",
            "https://",
            ":5000",
            "h:",
            "h:0",
            "h:65536",
            "h:+1",
            "https://evil.example\\@registry.example",
            "https://evil.example;\t@registry.example",
            "https://evil.example @registry.example/",
            "h:1:2",
            "[::1",
            "[::g]",
            "[::1]x",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "a.-b",
            "a__b",
            "bücher.example",
            "a b",
            "a\nb",
            "h/A",
            "h/a//b",
            "h\\x",
            "ssh://h",
            "http://example.com",
            "http://localhost.evil.example",
            "[fe80::1%eth0]",
            "https:///h",
        ] {
            assert_eq!(name(wrong), None, "{wrong:?}");
        }
        assert_eq!(name(&"x".repeat(255)), None);
    }

    #[test]
    fn a_name_says_which_place_it_is() {
        for address in
            ["a-b.example:5000", "[2001:db8::1]:5000", "[::1]", "docker.example/access-token", "a_b"]
        {
            let place = Place::parse(address).unwrap();
            let read = Place::of_name(&place.name("P__").unwrap(), "P__").unwrap();
            assert_eq!(read, place);
            let path = if place.path.is_empty() { String::new() } else { format!("/{}", place.path) };
            assert_eq!(read.authority() + &path, address);
        }
        for other in ["P__", "Q__A", "P__A_", "P___A", "P__A_________B", "P__A___B", "P__A___1___2"] {
            assert_eq!(Place::of_name(&SecretName::parse(other).unwrap(), "P__"), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_two_texts_share_a_name(text in "[a-c]{1,2}(([.:/_]|-{1,4})[a-c0]{1,2}){0,5}", any in "[a-c.:/_-]{1,8}") {
            prop_assert_eq!(encode(&text).as_deref().and_then(decode), Some(text));
            if let Some(name) = encode(&any) {
                prop_assert_eq!(decode(&name), Some(any));
            }
        }
    }
}
