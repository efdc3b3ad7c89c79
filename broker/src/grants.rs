//! What a session may use: its secrets with their placeholders and rules, and the hosts that are let through unseen.

use std::net::SocketAddr;
use std::sync::OnceLock;

use hyper::http::uri::Authority;
use memchr::memmem::Finder;
use secrets_proto::SecretName;
use secrets_proto::rule::host::HTTPS;
use secrets_proto::rule::{Host, HostPattern, Rule, Site};
use secrets_proto::session::SessionSecret;
use secrets_scrub::{Forms, MARK};

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The host, as it was asked for: a name in lower case, or an address without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// Read once for all requests of a tunnel.
    name: OnceLock<Option<Host>>,
    parsed_authority: OnceLock<Option<Authority>>,
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

impl Target {
    /// Reads `host:port`, of which the port may be missing where `default` says what it is then. An address of IPv6 has
    /// brackets or, as some programs write it, none: the port is behind the last colon.
    pub(crate) fn parse(authority: &str, default: Option<u16>) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, read_port(port)?),
            _ => (authority, default?),
        };
        let host = match host.strip_prefix('[') {
            Some(bracketed) => bracketed.strip_suffix(']').filter(|host| host.contains(':'))?,
            None => host,
        };
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        let is_sound = !host.is_empty() && host.len() <= 253 && host.bytes().all(sound);
        is_sound.then(|| Self {
            host: host.to_ascii_lowercase(),
            port,
            name: OnceLock::new(),
            parsed_authority: OnceLock::new(),
        })
    }

    /// The host, if it is a name and no address.
    pub(crate) fn name(&self) -> Option<&Host> {
        self.name.get_or_init(|| Host::parse(&self.host).ok()).as_ref()
    }

    /// The host as a part of a URL.
    pub(crate) fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// The host and its port as a part of a URL.
    pub(crate) fn authority(&self) -> String {
        let host = self.bracketed();
        if self.port == HTTPS { host } else { format!("{host}:{}", self.port) }
    }

    /// The same, as URLs have it here.
    pub(crate) fn parsed_authority(&self) -> Option<Authority> {
        self.parsed_authority.get_or_init(|| self.authority().parse().ok()).clone()
    }
}

/// Reads digits alone: the library takes a sign, too.
fn read_port(text: &str) -> Option<u16> {
    let port = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    port.filter(|port| *port > 0)
}

/// A host that is reached without looking into what is said there.
#[derive(Debug)]
pub(crate) enum Allowed {
    /// By name.
    Name(HostPattern),
    /// An address with its port.
    Address(SocketAddr),
}

impl Allowed {
    /// Reads what `--allow` says: a host as in a rule, or an address with its port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse().map(Self::Address).or_else(|_| HostPattern::parse(text).map(Self::Name)).ok()
    }

    fn covers(&self, target: &Target) -> bool {
        match self {
            Self::Name(pattern) => target.name().is_some_and(|name| pattern.matches(name, target.port)),
            Self::Address(address) => {
                target.host.parse().is_ok_and(|ip| SocketAddr::new(ip, target.port) == *address)
            }
        }
    }
}

/// A secret that may be used.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The secret's name.
    pub(crate) name: SecretName,
    /// What stands for its value in the program.
    pub(crate) placeholder: String,
    /// Finds that.
    pub(crate) finder: Finder<'static>,
    /// Where it may be used.
    pub(crate) rules: Vec<Rule>,
}

/// All that a session may use.
#[derive(Debug)]
pub(crate) struct Grants {
    /// The secrets.
    pub(crate) secrets: Vec<Granted>,
    allow: Vec<Allowed>,
    /// Whether what is asked for is noted, of hosts without a rule, too.
    pub(crate) learns: bool,
    /// The placeholders in every spelling, to find those that are where no rule puts them.
    pub(crate) spellings: Forms,
    /// Finds what is put in their place when they are looked for.
    pub(crate) mark: Finder<'static>,
    /// Those of them that a rule puts into bodies.
    pub(crate) in_bodies: Forms,
}

impl Grants {
    /// What a session grants, beside the hosts that are let through.
    pub(crate) fn new(secrets: Vec<SessionSecret>, allow: Vec<Allowed>) -> Self {
        let granted = |secret: SessionSecret| Granted {
            finder: Finder::new(&secret.placeholder).into_owned(),
            name: secret.name,
            placeholder: secret.placeholder,
            rules: secret.rules,
        };
        let secrets: Vec<Granted> = secrets.into_iter().map(granted).collect();
        let spellings = Forms::new(secrets.iter().map(|secret| secret.placeholder.as_str()));
        let is_in_body =
            |granted: &&Granted| granted.rules.iter().any(|rule| matches!(rule.site, Site::Body(_)));
        let in_bodies = secrets.iter().filter(is_in_body).map(|secret| secret.placeholder.as_str());
        let in_bodies = Forms::new(in_bodies);
        Self { secrets, allow, learns: false, spellings, in_bodies, mark: Finder::new(MARK) }
    }

    /// Whether a rule is for this host, so that requests to it are looked into.
    pub(crate) fn has_rule_for(&self, target: &Target) -> bool {
        let Some(name) = target.name() else { return false };
        let mut rules = self.secrets.iter().flat_map(|secret| &secret.rules);
        rules.any(|rule| rule.is_for(name, target.port))
    }

    /// Whether the host is reached although no rule is for it, because the session learns. An address is not, unless the user
    /// has named it.
    pub(crate) fn is_open(&self, target: &Target) -> bool {
        self.learns && (target.name().is_some() || self.allows(target))
    }

    /// Whether the host is let through without looking into what is said there. A rule for it goes before.
    pub(crate) fn lets_through(&self, target: &Target) -> bool {
        !self.learns && !self.has_rule_for(target) && self.allows(target)
    }

    /// Whether the user has named the host.
    pub(crate) fn allows(&self, target: &Target) -> bool {
        self.allow.iter().any(|allowed| allowed.covers(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Option<(String, u16)> {
        Target::parse(text, None).map(|target| (target.host, target.port))
    }

    #[test]
    fn a_target_is_read_with_brackets_and_without() {
        for (text, host, port) in [
            ("API.example.com:443", "api.example.com", 443),
            ("::1:8443", "::1", 8443),
            ("[::1]:8443", "::1", 8443),
            ("127.0.0.1:80", "127.0.0.1", 80),
        ] {
            assert_eq!(target(text), Some((host.to_owned(), port)), "{text}");
        }
        for bad in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+443",
            "[host]:443",
            "host:x",
            ":443",
            "a b:1",
            "[::1:1",
            "a@b:1",
            "a/b:1",
        ] {
            assert_eq!(target(bad), None, "{bad}");
        }
        assert_eq!(Target::parse("a.example", Some(443)).unwrap().port, 443);
        assert_eq!(Target::parse("[::1]", Some(443)).unwrap().host, "::1");
    }

    #[test]
    fn a_rule_for_a_host_goes_before_letting_it_through() {
        let secret = serde_json::json!({
            "name": "A", "placeholder": "ssdph-canary-placeholder",
            "rules": [{"host": "*.example.com", "site": "bearer"}]
        });
        let allow =
            ["api.example.com", "other.example", "10.0.0.1:8443"].map(|text| Allowed::parse(text).unwrap());
        let grants = Grants::new(vec![serde_json::from_value(secret).unwrap()], allow.into());
        let target = |text| Target::parse(text, Some(443)).unwrap();
        assert!(
            grants.has_rule_for(&target("api.example.com"))
                && !grants.lets_through(&target("api.example.com"))
        );
        assert!(
            grants.lets_through(&target("other.example")) && grants.lets_through(&target("10.0.0.1:8443"))
        );
        assert!(
            !grants.lets_through(&target("other.example:8443")) && !grants.lets_through(&target("10.0.0.1"))
        );
        assert!(Allowed::parse("10.0.0.1").is_none() && Allowed::parse("*").is_none());
    }
}
