//! Asking for values: from selectors that were typed to a reveal, with everything that is missing named at once.
//! It does not know where the values go.

use secrets_client::Call;
use secrets_proto::reveal::{Purpose, Remark, RevealReply, RevealRequest};
use secrets_proto::{SecretName, SecretValue, Selector};

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{conflict, lookup, output};

/// The selectors, or the failure that names every one that is none.
pub(crate) fn selectors(texts: &[String], all: bool) -> Result<Vec<Selector>, Failure> {
    refuse_empty(texts)?;
    let mut problems = Vec::new();
    let selectors = if all { vec![Selector::parse("*")?] } else { parse(texts, "selector", &mut problems) };
    settle(&problems)?;
    Ok(selectors)
}

/// An empty one is what a variable becomes in a script that is not set.
pub(crate) fn refuse_empty<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<(), Failure> {
    if texts.into_iter().any(String::is_empty) {
        return Err(Failure::new(Exit::Usage, "empty selector; use -s NAME"));
    }
    output::check_stdout()
}

/// The selectors among the texts; each other one is added to the problems by its position.
pub(crate) fn parse(texts: &[String], what: &str, problems: &mut Vec<String>) -> Vec<Selector> {
    let mut selectors = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Selector::parse(text) {
            Ok(selector) => selectors.push(selector),
            Err(_) if text.contains('=') => problems.push(format!(
                "{what} {}: a secret is given by its name alone, and its variable has the same name",
                index + 1
            )),
            Err(invalid) => problems.push(format!("{what} {}: {invalid}", index + 1)),
        }
    }
    selectors
}

/// The failure that tells all problems, if there are any.
pub(crate) fn settle(problems: &[String]) -> Result<(), Failure> {
    if problems.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Invalid, problems.join("; "))) }
}

/// The values of all of these, or the failure that names each that is missing.
pub(crate) fn reveal(session: &Session, request: &RevealRequest) -> Result<RevealReply, Failure> {
    ask(session, request).map_err(|failure| lookup::name_the_absent(session, failure, &request.secrets))
}

/// What is asked for, for the audit log too.
pub(crate) fn request(
    secrets: Vec<Selector>,
    purpose: &str,
    reason: Option<&str>,
) -> Result<RevealRequest, Failure> {
    let reason = reason.map(Remark::parse).transpose()?;
    Ok(RevealRequest { secrets, purpose: Purpose::parse(purpose)?, command: None, reason, directory: None })
}

/// The values, or the daemon's own failure, which tells the positions of what is missing.
pub(crate) fn ask(session: &Session, request: &RevealRequest) -> Result<RevealReply, Failure> {
    let reply: RevealReply = session.fetch(&Call::reveal(request)?)?;
    let with = reply.secrets.iter().filter(|secret| secret.conflict);
    if let Some(notice) = conflict::notice(with.map(|secret| secret.name.as_str())) {
        output::say(&notice);
    }
    Ok(reply)
}

/// The values, as [`ask`] gets them, but a locked vault stays locked.
pub(crate) fn ask_as_is(session: &Session, request: &RevealRequest) -> Result<RevealReply, Failure> {
    let call = Call::reveal(request)?;
    Ok(session.call_as_is(&call)?.parse()?)
}

/// The value as protocols of lines and headers can hold it: without the line end that tools leave behind a key. One that
/// is empty then, or has control characters, is no such value; the failure names it.
pub(crate) fn in_one_line<'a>(name: &SecretName, value: &'a SecretValue) -> Result<&'a str, Failure> {
    let value = value.expose();
    let value = value.strip_suffix('\n').unwrap_or(value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    let wrong = |what| Failure::new(Exit::Invalid, format!("{name} {what}; set it again"));
    if value.is_empty() {
        return Err(wrong("holds nothing but a line end"));
    }
    if value.contains(|c: char| c.is_control()) {
        return Err(wrong("has line breaks or other control characters, which cannot be part of this"));
    }
    Ok(value)
}

/// Refuses to show values on a terminal by accident, or to lose them where there is no stdout.
pub(crate) fn refuse_terminal(show: bool) -> Result<(), Failure> {
    if output::stdout_is_terminal() && !show {
        return Err(Failure::new(Exit::Usage, "not printing values to a terminal; pipe them, or use --show"));
    }
    Ok(())
}
