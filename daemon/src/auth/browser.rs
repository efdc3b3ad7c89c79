//! No web page gets anywhere, not even through a proxy that somebody put in front of the socket: browsers mark their
//! requests, and a page that rebinds a name to this machine still sends that name as `Host`.

use std::net::Ipv4Addr;

use secrets_proto::ErrorType;
use secrets_proto::audit::Refusal;

use crate::http::failure::Failure;
use crate::http::head::HeadFields;

/// Refuses what a browser sent, or what was sent to a name of the internet.
pub(crate) fn refuse_browsers(fields: &HeadFields<'_>) -> Result<(), Failure> {
    if fields.is_browser {
        return Err(refused("Web pages may not use this API; use a program"));
    }
    if !is_local(fields.host) {
        return Err(refused("This Host is not local; send Host: localhost"));
    }
    Ok(())
}

fn refused(detail: &'static str) -> Failure {
    Failure::new(ErrorType::ForbiddenError, detail).closing().refused(Refusal::Browser)
}

/// A name without a dot, a name below `localhost`, which leads nowhere else (RFC 6761, 6.3), or a loopback address.
fn is_local(host: &[u8]) -> bool {
    if !host.contains(&b'.') {
        return true;
    }
    let Ok(text) = std::str::from_utf8(host) else { return false };
    let address = match text.rsplit_once(':') {
        Some((address, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            address
        }
        Some(_) => return false,
        None => text,
    };
    is_below_localhost(address) || address.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

fn is_below_localhost(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.rsplit_once('.')
        .is_some_and(|(names, top)| top.eq_ignore_ascii_case("localhost") && names.split('.').all(is_label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_hosts_are_served() {
        for good in [
            "localhost",
            "localhost:80",
            "a.localhost",
            "a-1.b.LocalHost:8080",
            "",
            "[::1]",
            "[::1]:8",
            "127.0.0.1",
            "127.9.9.9:80",
            "2f746d70:0",
        ] {
            assert!(is_local(good.as_bytes()), "{good}");
        }
        for bad in [
            "example.com",
            "localhost.",
            ".localhost",
            "a..localhost",
            "a b.localhost",
            "localhost.evil.com",
            "evil.com/.localhost",
            "evil.com:80/.localhost",
            "alocalhost.com",
            "127.0.0.1.evil.com",
            "128.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:80x",
            "[::ffff:127.0.0.1]",
            "127.0.0.1:80:90",
            "0.0.0.0",
            "127.1",
        ] {
            assert!(!is_local(bad.as_bytes()), "{bad}");
        }
    }
}
