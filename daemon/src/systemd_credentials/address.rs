//! The address that a service manager connects from: `\\0<hex>/unit/<unit>/<credential>`, in the abstract namespace,
//! where the number is random (systemd.exec(5), "LoadCredential="). It is a claim: any process of the user can bind it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

use secrets_proto::{SecretName, UnitName};
use tokio::net::UnixStream;

/// What a peer claims by its address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// To be starting this unit.
    pub(super) unit: UnitName,
    /// To be asking for this secret; `None` if the credential's name is no secret's.
    pub(super) name: Option<SecretName>,
}

/// What this peer claims; `None` if it is no service manager that asks for a unit.
pub(super) fn claim(stream: &UnixStream) -> Option<Claim> {
    let address = SocketAddr::from(stream.peer_addr().ok()?);
    parse(address.as_abstract_name()?)
}

fn parse(address: &[u8]) -> Option<Claim> {
    let (number, rest) = std::str::from_utf8(address).ok()?.split_once("/unit/")?;
    let (unit, id) = rest.split_once('/')?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !(1..=16).contains(&number.len()) || !number.bytes().all(is_hex) || !is_credential(id) {
        return None;
    }
    // A template never starts; its instances do.
    let unit = UnitName::parse(unit).ok().filter(|unit| !unit.is_template())?;
    Some(Claim { unit, name: SecretName::parse(id).ok() })
}

/// Whether systemd accepts this as a credential's name: that of a file and of a descriptor.
fn is_credential(id: &str) -> bool {
    let known = |byte: u8| (b' '..0x7f).contains(&byte) && !b"/:".contains(&byte);
    (1..=255).contains(&id.len()) && id != "." && id != ".." && id.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claimed(address: &str) -> Option<(String, Option<String>)> {
        parse(address.as_bytes()).map(|Claim { unit, name }| (unit.into(), name.map(String::from)))
    }

    #[test]
    fn what_systemd_binds_is_understood() {
        for (address, unit, name) in [
            ("3b9f1c20d4e5a678/unit/web.service/OPENAI_API_KEY", "web.service", Some("OPENAI_API_KEY")),
            ("0/unit/web@a.service/openai_api_key", "web@a.service", Some("OPENAI_API_KEY")),
            ("ab/unit/a\\x2db.mount/db.password", "a\\x2db.mount", None),
        ] {
            assert_eq!(claimed(address), Some((unit.to_owned(), name.map(str::to_owned))), "{address}");
        }
    }

    #[test]
    fn anything_else_claims_nothing() {
        let long = format!("0/unit/web.service/{}", "A".repeat(256));
        for address in [
            "",
            "/unit/web.service/A",
            "0123456789abcdef0/unit/web.service/A",
            "AB/unit/web.service/A",
            "0x1/unit/web.service/A",
            "0/unit/web.service",
            "0/unit/web.service/",
            "0/unit//A",
            "0/unit/web@.service/A",
            "0/unit/web/A",
            "0/unit/web.timer/A",
            "0/unit/../A",
            "0/unit/web.service/A/B",
            "0/unit/web.service/..",
            "0/unit/web.service/A:B",
            "0/unit/web.service/A\n",
            "0/unit/web.service/A\0",
            "0/unit/web.service\0/A",
            "0/unit/web.service/\u{e9}",
            "0//unit/web.service/A",
            "0/user/web.service/A",
            long.as_str(),
        ] {
            assert_eq!(claimed(address), None, "{address:?}");
        }
        assert_eq!(parse(b"0/unit/web.service/\xff"), None);
    }

    proptest! {
        #[test]
        fn no_address_breaks_it(address in any::<Vec<u8>>(), tail in "[ -~]{0,40}") {
            parse(&address);
            if let Some(claim) = parse(format!("0/unit/{tail}").as_bytes()) {
                prop_assert!(tail.starts_with(claim.unit.as_str()));
            }
        }
    }
}
