//! The reasons why the broker answers a request itself, in words for an agent. Their names are the `type` of the item in
//! the answer's `errors` (docs/use.md lists them).

/// What a reason means, and what helps.
pub(crate) struct Reason {
    /// The name in the answer.
    pub(crate) name: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// What helps.
    pub(crate) remedy: &'static str,
}

const fn reason(name: &'static str, meaning: &'static str, remedy: &'static str) -> Reason {
    Reason { name, meaning, remedy }
}

/// A rule of its own for the host is what a person can set.
const ASK: &str = "Ask for a rule with the tool request_access, and go on when a person has set it.";

/// Nothing that a person could allow; the request itself must change.
const CHANGE: &str = "Send the request in the plain form that the API documents; no rule can allow this one.";

/// What passes by itself, or is the host's fault.
const AGAIN: &str = "Try again; if it stays, tell the person.";

/// Every reason, by the names of answers.
const REASONS: [Reason; 26] = [
    reason("host_not_allowed", "No rule of a secret in this session is for this host and port.", ASK),
    reason("rule_mismatch", "The rule for this host is not for this method or path.", ASK),
    reason(
        "placeholder_misplaced",
        "The placeholder stands where no rule puts the value, such as in the path, another header or the middle of a text.",
        "Send the placeholder where the API expects its key, whole and unchanged.",
    ),
    reason(
        "body_form",
        "The value goes into a field of the body, and the body is no form or JSON object that can be read in one way, or is too long.",
        "Send the body whole, as a form or a JSON object of at most 1 MiB, with the placeholder as the field's whole value.",
    ),
    reason(
        "signature_form",
        "The request is signed for AWS in a way in which it cannot be signed again, or not with this session's key.",
        "The answer's message says which way of signing works.",
    ),
    reason(
        "placeholder_repeated",
        "The placeholder stands in the request more than once.",
        "Send it once, at the place where the API expects its key.",
    ),
    reason(
        "placeholder_ended",
        "The placeholder is from a session that has ended.",
        "Read the variable again, or ask the person to start this program again with: secretctl proxy run",
    ),
    reason("plain_http", "The request would go without TLS.", "Use https://; no value is sent without TLS."),
    reason(
        "private_address",
        "The host has an address that is not public.",
        "If that is meant, a person can set the rule again with --private.",
    ),
    reason(
        "host_mismatch",
        "The request names another host than the connection is for.",
        "Send one host in URL, Host header and TLS.",
    ),
    reason(
        "ambiguous_path",
        "The path can be read in two ways, and a rule asks about it.",
        "Leave out dot segments, doubled slashes and needless percent-encoding.",
    ),
    reason("smuggling", "The request can be read in two ways.", CHANGE),
    reason("http_version", "The request is neither HTTP/1.1 nor HTTP/2.", CHANGE),
    reason("proxy_request", "What was asked of the proxy is malformed.", CHANGE),
    reason("target", "The request's target is malformed.", CHANGE),
    reason(
        "vault_locked",
        "The vault is locked, so that no value can be used.",
        "Ask the person to run: secretctl unlock",
    ),
    reason(
        "session_ended",
        "The session is over or was ended by a person.",
        "Ask the person to start this program again with: secretctl proxy run",
    ),
    reason(
        "rate_limit",
        "The session has used up its requests for this minute.",
        "Wait for the seconds that the Retry-After header says.",
    ),
    reason(
        "daemon",
        "The daemon cannot be reached or cannot write its log, so that no value is handed over.",
        "Ask the person to run: secretctl doctor",
    ),
    reason("name_resolution", "The host's name has no address.", "Check the name."),
    reason("connect", "The host does not accept the connection.", "Try again later, or check host and port."),
    reason(
        "upstream_tls",
        "The host's certificate is not trusted, not for this name or expired.",
        "No value is sent there. A person must look at the host's certificate.",
    ),
    reason("upstream_protocol", "The host ended the connection, or its answer is not HTTP.", AGAIN),
    reason(
        "content_coding",
        "The host compressed its answer in a way that cannot be searched for values.",
        AGAIN,
    ),
    reason("response", "The host did not begin its answer in time.", AGAIN),
    reason("take", "The daemon did not hand the value over in time.", AGAIN),
];

/// The reason of this name.
pub(crate) fn find(name: &str) -> Option<&'static Reason> {
    REASONS.iter().find(|reason| reason.name == name)
}

#[cfg(test)]
mod tests {
    use secrets_proto::session::WhyRefused;

    use super::*;

    #[test]
    fn every_refusal_is_explained_once() {
        for why in WhyRefused::ALL {
            assert!(find(why.as_str()).is_some(), "{}", why.as_str());
        }
        let mut names = REASONS.map(|reason| reason.name);
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }
}
