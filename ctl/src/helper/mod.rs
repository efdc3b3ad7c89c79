//! What the commands share that other programs run for a credential, each in a protocol of its own. Those programs ask
//! in scripts and editors too: nobody is asked, no daemon is started, and whatever keeps us from answering is found out
//! quickly. It knows none of the protocols.

pub(crate) mod login;
pub(crate) mod note;
pub(crate) mod place;

use std::io;

use secrets_client::{Call, Method};
use secrets_proto::reveal::Remark;
use secrets_proto::secret::{CreateSecret, PatchSecret, SecretDetail, SecretList, UpdateSecret};
use secrets_proto::{ErrorType, SecretName, SecretValue, Selector, Timestamp};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{environment, handover, input, output};

/// What the names of logins begin with: of docker's, cargo's, Python's keyring's and ansible's.
pub(crate) const PREFIXES: [&str; 4] = [DOCKER, CARGO, KEYRING, ANSIBLE];
pub(crate) const DOCKER: &str = "DOCKER__";
pub(crate) const CARGO: &str = "CARGO__";
pub(crate) const KEYRING: &str = "KEYRING__";
pub(crate) const ANSIBLE: &str = "ANSIBLE__";

/// The most bytes of a question that holds no value.
pub(crate) const QUESTION: usize = 64 << 10;

/// The most bytes of a request that holds a value, in JSON: each byte of it may be written as six.
pub(crate) const OFFER: usize = 6 * SecretValue::MAX + QUESTION;

/// A secret that may be handed over.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its value.
    pub(crate) value: SecretValue,
    /// When it stops working.
    pub(crate) expires_at: Option<Timestamp>,
    /// Its owner's note.
    pub(crate) note: Option<Remark>,
}

/// All of stdin, if it is not too much.
pub(crate) fn read(limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    input::bounded(io::stdin().lock(), "stdin", limit)
}

/// Refuses to answer a person, by saying how the command is meant.
pub(crate) fn refuse_terminal(set_up: &str) -> Result<(), Failure> {
    if output::stdout_is_terminal() {
        return Err(Failure::new(Exit::Usage, set_up));
    }
    Ok(())
}

/// Refuses where a placeholder would be no answer: inside of a session of `proxy run`.
pub(crate) fn refuse_session(what: &str) -> Result<(), Failure> {
    if environment::in_session() {
        let text = format!("{what} works outside of secretctl proxy run only: a placeholder is no use there");
        return Err(Failure::new(Exit::NotAllowed, text));
    }
    Ok(())
}

/// What is known of a secret without its value, if there is one of this name.
pub(crate) fn look_up(session: &Session, name: &SecretName) -> Result<Option<SecretDetail>, Failure> {
    let call = Call::list().query("name", name.as_str()).query("view", "full");
    let list: SecretList<SecretDetail> = session.call_as_is(&call).map_err(plain)?.parse()?;
    Ok(list.secrets.into_iter().find(|detail| detail.secret.name == *name))
}

/// The secret of this name, if there is one and it has not expired; `reason` goes to the audit log.
pub(crate) fn find(
    session: &Session,
    name: &SecretName,
    purpose: &str,
    reason: Option<&str>,
) -> Result<Option<Found>, Failure> {
    let detail = match look_up(session, name) {
        Ok(None) => return Ok(None),
        Ok(detail) => detail,
        // Who may reveal need not be allowed to list.
        Err(failure) if failure.kind() == Some(ErrorType::ForbiddenError) => None,
        Err(failure) => return Err(failure),
    };
    if let Some(detail) = &detail {
        check_current(name, detail.expires_at)?;
    }
    let found = reveal(session, name, purpose, reason, detail.and_then(|detail| detail.note))?;
    if let Some(found) = &found {
        check_current(name, found.expires_at)?;
    }
    Ok(found)
}

/// The value of a secret that was looked up, whether it has expired or not, with its note.
pub(crate) fn reveal(
    session: &Session,
    name: &SecretName,
    purpose: &str,
    reason: Option<&str>,
    note: Option<Remark>,
) -> Result<Option<Found>, Failure> {
    let request = handover::request(vec![Selector::Name(name.clone())], purpose, reason)?;
    let mut reply = match handover::ask_as_is(session, &request) {
        Err(failure) if failure.exit() == Exit::NotFound => return Ok(None),
        reply => reply.map_err(plain)?,
    };
    let revealed = reply.secrets.pop();
    Ok(revealed.map(|revealed| Found { value: revealed.value, expires_at: revealed.expires_at, note }))
}

/// Refuses what has expired: programs use it all the same, or go on to another identity.
pub(crate) fn check_current(name: &SecretName, expires_at: Option<Timestamp>) -> Result<(), Failure> {
    match expires_at.filter(|time| *time <= Timestamp::now()) {
        None => Ok(()),
        Some(time) => {
            let text = format!(
                "{name} expired at {}; put in a new one: secretctl set {name} --expires TIME",
                Clock::of_stderr().shown(time)
            );
            Err(Failure::new(Exit::Other, text))
        }
    }
}

/// Stores a value in the place of what was found there, which its history keeps. What had expired no longer has.
pub(crate) fn store(
    session: &Session,
    name: &SecretName,
    value: SecretValue,
    before: Option<&SecretDetail>,
) -> Result<(), Failure> {
    let Some(before) = before else {
        let body = CreateSecret { name: name.clone(), value, provider: None, local: false };
        let call = Call::new(Method::POST, "/user/secrets").json(&body)?;
        return session.call_as_is(&call).map(drop).map_err(plain);
    };
    let route = format!("/user/secrets/{}", before.secret.id);
    let call = Call::new(Method::PUT, &route).json(&UpdateSecret { value })?.if_version(before.version);
    session.call_as_is(&call).map_err(plain)?;
    if before.expires_at.is_some_and(|time| time <= Timestamp::now()) {
        let patch = PatchSecret { expires_at: Some(None), ..PatchSecret::default() };
        session.call_as_is(&Call::new(Method::PATCH, &route).json(&patch)?).map_err(plain)?;
    }
    Ok(())
}

/// Moves a secret to the trash, if it is still as it was found.
pub(crate) fn remove(session: &Session, found: &SecretDetail) -> Result<(), Failure> {
    let call = Call::new(Method::DELETE, &format!("/user/secrets/{}", found.secret.id));
    session.call_as_is(&call.if_version(found.version)).map(drop).map_err(plain)
}

/// What other programs show of a failure: they run us where no terminal is ours.
pub(crate) fn plain(failure: Failure) -> Failure {
    if failure.exit() == Exit::Locked && !failure.is_unanswered() {
        return Failure::new(Exit::Locked, "the vault is locked; run: secretctl unlock");
    }
    failure
}

/// The failure that there is no secret of this name.
pub(crate) fn absent(name: &SecretName) -> Failure {
    Failure::new(Exit::NotFound, format!("no such secret: {name}"))
}

/// Writes a line of JSON that may hold values: up to `values` of them.
pub(crate) fn answer_json(answer: &impl Serialize, values: usize) -> Result<(), Failure> {
    // Never grows, so that no copy is left behind: each byte of a value may become six.
    let mut text = Zeroizing::new(Vec::with_capacity(values * SecretValue::MAX * 6 + 4096));
    serde_json::to_writer(&mut *text, answer)
        .map_err(|_| Failure::new(Exit::Other, "the answer cannot be written as JSON"))?;
    output::answer_json_line(&text)
}
