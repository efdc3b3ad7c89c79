//! Why a host is not connected, or gives no answer, as the program is told it.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;
use secrets_proto::ErrorType;
use secrets_proto::session::WhyRefused;

use crate::denial::Denial;

/// What a connection fails with.
pub(super) type Failure = Box<dyn StdError + Send + Sync>;

/// Why no connection is tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("the name has no address")]
    NoAddress,
    #[error("the name has no public address")]
    Private,
    #[error("the proxy does not connect")]
    Proxy,
}

/// Why a host could not be connected.
pub(super) fn not_connected(failure: &Failure) -> Denial {
    known(failure.as_ref()).unwrap_or_else(unreachable)
}

/// Why a request was not sent, or not answered.
pub(super) fn not_sent(error: &(dyn StdError + 'static)) -> Denial {
    known(error).unwrap_or_else(|| {
        bad("upstream_protocol", "the host ended the connection, or its answer is no HTTP")
    })
}

/// What is known of a failure by one of its causes.
fn known(error: &(dyn StdError + 'static)) -> Option<Denial> {
    let mut source = Some(error);
    while let Some(cause) = source {
        if let Some(reason) = cause.downcast_ref::<Reason>() {
            return Some(not_tried(reason));
        }
        // An error of I/O may wrap one of TLS, which it does not give as its source.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = wrapped.and_then(|wrapped| wrapped.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls.or_else(|| cause.downcast_ref::<rustls::Error>()) {
            return Some(bad("upstream_tls", not_trusted(tls)));
        }
        source = wrapped.map_or_else(|| cause.source(), |wrapped| Some(wrapped as &(dyn StdError + 'static)));
    }
    None
}

fn not_tried(reason: &Reason) -> Denial {
    match reason {
        Reason::NoAddress => {
            bad("name_resolution", "the host's name has no address; check the name and the network")
        }
        Reason::Private => private(),
        Reason::Proxy => bad(
            "connect",
            "the proxy that the session was started with (HTTPS_PROXY) does not connect to the host",
        ),
    }
}

/// That the host is on a network of its own, and no rule allows that.
pub(crate) fn private() -> Denial {
    Denial::refusal(
        WhyRefused::PrivateAddress,
        "the host has an address that is not public; if it is meant, allow it with: secretctl proxy rule set NAME --host HOST --private, then start the program again",
    )
}

fn not_trusted(error: &rustls::Error) -> &'static str {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(reason) = error else {
        return "TLS could not be agreed with the host; no value was sent";
    };
    if matches!(reason, Expired | ExpiredContext { .. }) {
        "the host's certificate has expired; no value was sent"
    } else if matches!(reason, NotValidYet | NotValidYetContext { .. }) {
        "the host's certificate is not valid yet; check this machine's clock. No value was sent"
    } else if matches!(reason, NotValidForName | NotValidForNameContext { .. }) {
        "the host's certificate is for another name; no value was sent"
    } else if matches!(reason, UnknownIssuer) {
        "the host's certificate is not signed by an authority that this machine trusts; no value was sent. An authority of your own goes into the machine's store, or into SSL_CERT_FILE of the command that starts the session"
    } else {
        "the host's certificate is malformed; no value was sent"
    }
}

pub(super) fn bad(item: &'static str, message: &'static str) -> Denial {
    Denial::failure(ErrorType::BadGatewayError, item, message)
}

/// That the host did not begin its answer in time.
pub(super) fn no_answer() -> Denial {
    late("response", "the host did not begin its answer within ten minutes")
}

/// That the host was not connected in time.
pub(super) fn late_to_connect() -> Denial {
    late("connect", "the host was not connected within ten seconds")
}

fn late(item: &'static str, message: &'static str) -> Denial {
    Denial::failure(ErrorType::GatewayTimeoutError, item, message)
}

pub(super) fn unreachable() -> Denial {
    bad("connect", "the host cannot be connected to")
}
