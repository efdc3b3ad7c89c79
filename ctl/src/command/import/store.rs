//! The writes of an import: in one transaction, or, where one request does not hold all, in as few as there can be; and
//! what a person is told who interrupts it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

use secrets_client::{Call, Method};
use secrets_proto::reveal::RevealRequest;
use secrets_proto::secret::{SecretDetail, SecretList, WriteSecret, WriteSecrets};
use secrets_proto::{SecretName, Selector};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::plan::{Action, Planned, names};
use crate::command::sync::kept;
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::session::Session;
use crate::{ending, handover, output};

/// Less than the daemon takes in one request.
const REQUEST: usize = 1_000_000;

/// What a secret takes in a request beside its name and value.
const AROUND: usize = 112;

/// The most bytes of values that are read back at once: less than an answer may have.
const ANSWER: usize = 4 << 20;

/// How far the import has come, for who interrupts it.
static STAGE: AtomicU8 = AtomicU8::new(NOTHING);
const NOTHING: u8 = 0;
const UNDER_WAY: u8 = 1;
const ALL: u8 = 2;

/// Has a signal that ends the import tell what is stored.
pub(super) fn tell_of_interruption() {
    // Where there can be no thread, signals do what they always do.
    let _ = ending::before(|signal| {
        if [SIGINT, SIGTERM, SIGHUP].contains(&signal) {
            output::say(match STAGE.load(Ordering::Relaxed) {
                NOTHING => "interrupted; nothing was stored",
                UNDER_WAY => "interrupted while storing; see what is there with: secretctl list",
                _ => "interrupted; all is stored, and the file is unchanged",
            });
        }
    });
}

/// The most names in a message.
const NAMED: usize = 20;

/// Stores everything. If that ends before all is stored, it prints which secrets are.
/// `local`: on this machine alone, also what is there and is replaced.
pub(super) fn store(session: &Session, items: &[Planned], local: bool) -> Result<(), Failure> {
    if local {
        keep_local(session, items)?;
    }
    let todo: Vec<&Planned> = items.iter().filter(|planned| planned.action != Action::Skip).collect();
    let parts = parts(&todo, WriteSecrets::MAX, REQUEST, |planned| {
        let note = planned.item.note.as_ref().map_or(0, |note| escaped(note.as_str()));
        AROUND + note + planned.item.name.as_str().len() + escaped(planned.item.value.expose())
    });
    let mut at = 0;
    for part in parts {
        let request = WriteSecrets { secrets: part.iter().map(|planned| write(planned, local)).collect() };
        let call = Call::new(Method::POST, "/user/secrets/batch").json(&request)?;
        drop(request);
        STAGE.store(UNDER_WAY, Ordering::Relaxed);
        let outcome = session
            .call_noted(&call, &note(at, part.len(), todo.len()))
            .and_then(|answer| Ok(answer.parse::<SecretList>()?));
        let Err(failure) = outcome else {
            at += part.len();
            continue;
        };
        return Err(interrupted(&todo, at, part.len(), &failure));
    }
    STAGE.store(ALL, Ordering::Relaxed);
    Ok(())
}

/// What is waited for: so many, or which of them.
fn note(before: usize, count: usize, all: usize) -> String {
    match count {
        1 if all == 1 => "storing 1 secret…".to_owned(),
        _ if count == all => format!("storing {all} secrets…"),
        _ => format!("storing secrets {} to {} of {all}…", before + 1, before + count),
    }
}

/// Keeps on this machine what is replaced, before it has the value that is not to leave.
fn keep_local(session: &Session, items: &[Planned]) -> Result<(), Failure> {
    for planned in items.iter().filter(|planned| planned.action == Action::Replace) {
        let wanted = Wanted::parse(planned.item.name.as_str())?;
        let SecretDetail { secret, local, .. } = wanted.get(session)?;
        if !local {
            output::say(&kept::told(&kept::keep(session, secret.id)?));
        }
    }
    Ok(())
}

fn write(planned: &Planned, local: bool) -> WriteSecret {
    WriteSecret {
        name: planned.item.name.clone(),
        value: planned.item.value.clone(),
        provider: planned.provider.as_ref().map(|(_, provider)| provider.clone()),
        note: planned.item.note.clone().filter(|_| planned.action == Action::Create),
        replace: planned.action == Action::Replace,
        local,
    }
}

/// The names, of many the first: thousands would push what is said of them out of sight.
fn few(all: &[&SecretName]) -> String {
    match all.split_at_checked(NAMED) {
        Some((first, more @ [_, ..])) => format!("{} and {} more", names(first), more.len()),
        Some(_) | None => names(all),
    }
}

/// The failure of a request, after what was stored before it.
fn interrupted(todo: &[&Planned], stored: usize, asked: usize, failure: &Failure) -> Failure {
    let names_of =
        |some: &[&Planned]| few(&some.iter().map(|planned| &planned.item.name).collect::<Vec<&SecretName>>());
    let (done, rest) = todo.split_at(stored.min(todo.len()));
    let (part, later) = rest.split_at(asked.min(rest.len()));
    if !done.is_empty() {
        output::say(&format!("stored: {}", names_of(done)));
    }
    if !failure.is_refusal() {
        output::say(&format!("perhaps stored, check with secretctl list: {}", names_of(part)));
    }
    if !later.is_empty() {
        output::say(&format!("not stored: {}", names_of(later)));
    }
    let nothing = if done.is_empty() && failure.is_refusal() { "nothing was stored, " } else { "" };
    // Which of them another program has stored meanwhile.
    let taken: Vec<&Planned> = failure.positions().iter().filter_map(|at| part.get(*at).copied()).collect();
    let failure_text =
        if taken.is_empty() { failure.to_string() } else { format!("{} already exists", names_of(&taken)) };
    Failure::new(failure.exit(), format!("{failure_text}; {nothing}the file is unchanged"))
}

/// Compares what the vault has with what was read. Fails if it has something else of what was stored; gives the names
/// of which it has something else because they were skipped.
pub(super) fn read_back<'a>(
    session: &Session,
    items: &'a [Planned],
    with_skipped: bool,
) -> Result<Vec<&'a SecretName>, Failure> {
    let wanted: Vec<&Planned> =
        items.iter().filter(|planned| with_skipped || planned.action != Action::Skip).collect();
    let mut differing: Vec<&Planned> = Vec::new();
    let size = |planned: &Planned| planned.item.value.expose().len();
    for some in parts(&wanted, RevealRequest::MAX_SELECTORS, ANSWER, size) {
        let selectors = some.iter().map(|planned| Selector::Name(planned.item.name.clone())).collect();
        let request = handover::request(selectors, "import", None)?;
        let reply = handover::reveal(session, &request).map_err(|failure| {
            let stored = items.iter().filter(|planned| planned.action != Action::Skip);
            let stored: Vec<&SecretName> = stored.map(|planned| &planned.item.name).collect();
            output::say(&format!("stored: {}", names(&stored)));
            let text = format!("stored, but cannot be read back: {failure}; the file is unchanged");
            Failure::new(failure.exit(), text)
        })?;
        let values: HashMap<_, _> =
            reply.secrets.iter().map(|secret| (&secret.name, &secret.value)).collect();
        let differs = |planned: &&&Planned| values.get(&planned.item.name) != Some(&&planned.item.value);
        differing.extend(some.iter().filter(differs));
    }
    let (skipped, wrong): (Vec<&Planned>, Vec<&Planned>) =
        differing.into_iter().partition(|planned| planned.action == Action::Skip);
    if wrong.is_empty() {
        return Ok(skipped.iter().map(|planned| &planned.item.name).collect());
    }
    let wrong: Vec<&SecretName> = wrong.iter().map(|planned| &planned.item.name).collect();
    let text = format!("read back differently than stored: {}; the file is unchanged", names(&wrong));
    Err(Failure::new(Exit::DaemonFailed, text))
}

/// The items in parts of at most so many, and so many bytes together; one that is larger is a part of its own.
fn parts<'s, 'p>(
    items: &'s [&'p Planned],
    most: usize,
    bytes: usize,
    size: impl Fn(&Planned) -> usize,
) -> Vec<&'s [&'p Planned]> {
    let (mut parts, mut start, mut sum) = (Vec::new(), 0, 0);
    for (at, planned) in items.iter().enumerate() {
        let size = size(planned);
        if at > start && (at - start >= most || sum + size > bytes) {
            parts.extend(items.get(start..at));
            (start, sum) = (at, 0);
        }
        sum += size;
    }
    parts.extend(items.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

/// How many bytes a text takes in JSON, at most.
fn escaped(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_the_first_are_told() {
        let all: Vec<SecretName> =
            (0..3_000).map(|number| SecretName::parse(&format!("N{number}")).unwrap()).collect();
        let all: Vec<&SecretName> = all.iter().collect();
        assert_eq!(few(&all[..2]), "N0, N1");
        assert!(few(&all[..NAMED]).ends_with(", N19"));
        assert!(few(&all).ends_with(", N18, N19 and 2980 more"));
    }

    #[test]
    fn no_text_takes_more_bytes_than_are_counted() {
        for text in ["plain", "\u{0}\u{1f}\u{7f}", "a\"b\\c\n\r\t\u{8}\u{c}", "é日\u{2028}"] {
            assert!(serde_json::to_string(text).unwrap().len() - 2 <= escaped(text), "{text:?}");
        }
    }
}
