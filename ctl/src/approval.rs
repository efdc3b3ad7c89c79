//! A request that a person must allow: shown on the terminal and answered there, or waited for where somebody else answers.
//! It knows no session, only ways to ask how the ask stands and to answer it.

use std::time::{Duration, Instant};

use secrets_proto::approval::{
    Approval, ApprovalScope, ApprovalState, Decision, Effect, GuardedRight, Narrowing, Proof,
};
use secrets_proto::vault::KeyKind;
use secrets_proto::{ErrorType, SensitiveString, Uuid};

use crate::failure::{Exit, Failure};
use crate::output::{self, Waiting};
use crate::prompt;

/// How often a person may mistype.
const TRIES: usize = 3;

/// How many digits of an id are shown: those of few asks differ in them.
const DIGITS: usize = 8;

/// How far the first line of an ask goes in, behind our name, and the others with what goes on below them.
const FIRST: usize = "secretctl: ".len();
const INDENT: usize = 4;

/// The most seconds that one request waits: then it is looked whether there is still somebody who could answer.
const STEP: u64 = 5;

/// How the daemon is asked.
pub(crate) struct Ways<'a> {
    /// How an ask stands, after this many seconds or as soon as it is settled.
    pub(crate) get: &'a dyn Fn(Uuid, u64) -> Result<Approval, Failure>,
    /// Answers an ask.
    pub(crate) decide: &'a dyn Fn(Uuid, &Decision) -> Result<Approval, Failure>,
    /// Opens the vault, which is the answer to an ask for that.
    pub(crate) open: &'a dyn Fn(Proof) -> Result<(), Failure>,
    /// The most seconds that one answer may take to come.
    pub(crate) step: u64,
}

/// How a command waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long, if it cannot ask on a terminal itself.
    pub(crate) wait: Duration,
    /// Whether it asks on the terminal.
    pub(crate) may_ask: bool,
}

/// Returns when the ask was allowed. With a terminal the person at it is asked; without one the client that waits to answer asks is
/// waited for, if there is somebody.
pub(crate) fn settle(ways: &Ways<'_>, ask: Uuid, patience: Patience) -> Result<(), Failure> {
    let approval = (ways.get)(ask, 0)?;
    let state = if patience.may_ask && prompt::can_ask() {
        match answer_here(ways, &approval, &Narrowing::default())? {
            Some(answered) => answered.state,
            // Somebody else was faster.
            None => match elsewhere(ways, &approval)? {
                ApprovalState::Denied => return Err(denied(&approval, " elsewhere")),
                state @ (ApprovalState::Pending | ApprovalState::Allowed | ApprovalState::Expired) => state,
            },
        }
    } else {
        wait(ways, &approval, patience.wait)?
    };
    match state {
        ApprovalState::Allowed => Ok(()),
        ApprovalState::Denied => Err(denied(&approval, "")),
        ApprovalState::Pending | ApprovalState::Expired => Err(unanswered(&approval)),
    }
}

fn wait(ways: &Ways<'_>, approval: &Approval, patience: Duration) -> Result<ApprovalState, Failure> {
    if approval.approvers == 0 || approval.state != ApprovalState::Pending {
        return Ok(approval.state);
    }
    let names = approval.names();
    let _waiting = Waiting::start(&format!("waiting until somebody allows {names}…"));
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let step = left.as_secs().clamp(1, ways.step.min(STEP));
        let now = (ways.get)(approval.id, if left.is_zero() { 0 } else { step })?;
        if now.state != ApprovalState::Pending || left.is_zero() || now.approvers == 0 {
            return Ok(now.state);
        }
    }
}

/// What became of an ask that somebody was just asked about, and that was settled without them. Says so, unless it was
/// denied: that is for the caller.
pub(crate) fn elsewhere(ways: &Ways<'_>, approval: &Approval) -> Result<ApprovalState, Failure> {
    let state = (ways.get)(approval.id, 0).map_err(|failure| match failure.kind() {
        Some(ErrorType::VaultLockedError) => {
            Failure::new(Exit::Locked, "the vault was locked meanwhile; nothing was done")
        }
        _ => failure,
    })?;
    match state.state {
        ApprovalState::Allowed => output::say("allowed elsewhere"),
        ApprovalState::Expired => output::say("the question has ended: nobody has answered it in time"),
        ApprovalState::Denied | ApprovalState::Pending => {}
    }
    Ok(state.state)
}

/// Whether nobody needs to answer an ask any more: it is settled, or has ended with a lock or with its daemon.
fn is_over(ways: &Ways<'_>, ask: Uuid) -> bool {
    match (ways.get)(ask, 0) {
        Ok(approval) => approval.state != ApprovalState::Pending,
        Err(failure) => {
            let is_gone = [ErrorType::VaultLockedError, ErrorType::NotFoundError].map(Some);
            is_gone.contains(&failure.kind()) || failure.exit() == Exit::NoDaemon
        }
    }
}

fn denied(approval: &Approval, by: &str) -> Failure {
    let text = format!("{} was denied{by}; nothing was done", approval.asked_for());
    Failure::new(Exit::NotAllowed, text)
}

fn unanswered(approval: &Approval) -> Failure {
    let (guarded, id) = (approval.guarded(), short(approval.id));
    let text = format!(
        "{guarded}, and nobody has allowed this; repeat it once that is done: secretctl approve {id}"
    );
    Failure::new(Exit::Locked, text)
}

/// Shows an ask on the terminal and answers it as the person at it says. `None` if it was settled meanwhile.
pub(crate) fn answer_here(
    ways: &Ways<'_>,
    approval: &Approval,
    narrowing: &Narrowing,
) -> Result<Option<Approval>, Failure> {
    let is_settled = || is_over(ways, approval.id);
    let Some(_alone) = prompt::alone_unless(&is_settled) else { return Ok(None) };
    let mut shown = String::from("secretctl: ");
    shown.push_str(&described(approval, true, prompt::columns()).join("\n"));
    prompt::show(&SensitiveString::new(shown)).map_err(undone)?;
    let answer = loop {
        let question = format!("  {}: ", choices(approval));
        let Some(line) = prompt::line_unless(&question, &is_settled).map_err(undone)? else {
            return Ok(None);
        };
        if let Some(answer) = Answer::parse(&line, approval) {
            break answer;
        }
        let hint = SensitiveString::new("  type one of these words, or its first letters".to_owned());
        prompt::show(&hint).map_err(undone)?;
    };
    let decision = match answer {
        Answer::Deny(scope) => {
            let decision =
                Decision { decision: Effect::Deny, scope, seconds: None, client: None, proof: None };
            return settled((ways.decide)(approval.id, &decision));
        }
        Answer::Open => {
            let open = |proof| (ways.open)(proof).and_then(|()| (ways.get)(approval.id, 0));
            return proven(&open, &is_settled);
        }
        Answer::Allow(scope) => allowing(scope, None, narrowing.clone()),
    };
    proven(
        &|proof| {
            let decision = Decision { proof: Some(proof), ..decision.clone() };
            (ways.decide)(approval.id, &decision)
        },
        &is_settled,
    )
}

/// The answer that allows, but for its proof.
pub(crate) fn allowing(scope: ApprovalScope, seconds: Option<u64>, narrowing: Narrowing) -> Decision {
    let client = (narrowing != Narrowing::default()).then_some(narrowing);
    Decision { decision: Effect::Allow, scope: Some(scope), seconds, client, proof: None }
}

/// Asks for the passphrase and does something with it as proof; a recovery key that is typed there is one, too. `None` if it
/// has become needless.
pub(crate) fn proven<T>(
    act: &dyn Fn(Proof) -> Result<T, Failure>,
    is_needless: &dyn Fn() -> bool,
) -> Result<Option<T>, Failure> {
    for attempt in 1..=TRIES {
        let Some(typed) = prompt::hidden_unless("  passphrase: ", is_needless).map_err(undone)? else {
            return Ok(None);
        };
        if typed.is_empty() {
            if attempt < TRIES {
                output::say("nothing was typed; try again");
            }
            continue;
        }
        let is_wrong = |failure: &Failure| failure.kind() == Some(ErrorType::WrongKeyError);
        let (recovery_key, passphrase) = Proof::readings(typed);
        let mut outcome = recovery_key.map(|proof| settled(act(proof)));
        if outcome.as_ref().is_none_or(|outcome| outcome.as_ref().is_err_and(is_wrong)) {
            outcome = Some(settled(act(passphrase)));
        }
        match outcome {
            Some(Err(failure)) if is_wrong(&failure) => {
                if attempt < TRIES {
                    output::say("wrong passphrase, try again; the recovery key works, too");
                }
            }
            outcome => return outcome.unwrap_or(Ok(None)),
        }
    }
    Err(Failure::new(Exit::NotAllowed, "three wrong passphrases; nothing was allowed"))
}

/// A passphrase as proof.
pub(crate) fn proof_of(passphrase: SensitiveString) -> Proof {
    Proof { passphrase: Some(passphrase), recovery_key: None }
}

/// That somebody else has answered is no failure.
fn settled<T>(outcome: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match outcome {
        Err(failure) if failure.kind() == Some(ErrorType::ConflictError) => Ok(None),
        outcome => outcome.map(Some),
    }
}

fn undone(error: prompt::Error) -> Failure {
    error.into_failure("nothing was allowed", "answer it at another terminal: secretctl approve")
}

/// What a person chooses.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Allow(ApprovalScope),
    Deny(Option<ApprovalScope>),
    /// Open the vault.
    Open,
}

impl Answer {
    /// Reads a word or the beginning of one; an empty line is no.
    fn parse(line: &str, approval: &Approval) -> Option<Self> {
        let word = line.trim().to_ascii_lowercase();
        if word.is_empty() || word == "n" || word == "no" {
            return Some(Self::Deny(None));
        }
        if approval.right == GuardedRight::Unlock {
            return OPEN.starts_with(&word).then_some(Self::Open);
        }
        let offered = |scope: ApprovalScope| approval.offers.contains(&scope);
        let found = WORDS.iter().find(|(name, scope)| offered(*scope) && name.starts_with(&word));
        found.map(|(_, scope)| match scope {
            ApprovalScope::Never => Self::Deny(Some(*scope)),
            scope @ (ApprovalScope::Once
            | ApprovalScope::Session
            | ApprovalScope::Time
            | ApprovalScope::Always) => Self::Allow(*scope),
        })
    }
}

/// What scopes are called here.
const WORDS: [(&str, ApprovalScope); 5] = [
    ("once", ApprovalScope::Once),
    ("session", ApprovalScope::Session),
    ("hour", ApprovalScope::Time),
    ("always", ApprovalScope::Always),
    ("never", ApprovalScope::Never),
];

/// What the answer is called that opens the vault.
const OPEN: &str = "open";

fn choices(approval: &Approval) -> String {
    if approval.right == GuardedRight::Unlock {
        return format!("{OPEN}, no [no]");
    }
    let offered = |scope: &ApprovalScope| approval.offers.contains(scope);
    let mut words: Vec<String> = Vec::new();
    for (word, scope) in WORDS.iter().filter(|(_, scope)| offered(scope) && *scope != ApprovalScope::Never) {
        let meant = if *scope == ApprovalScope::Always {
            format!(" ({})", approval.lasting_clients())
        } else {
            String::new()
        };
        words.push(format!("{word}{meant}"));
    }
    words.push("no".to_owned());
    if offered(&ApprovalScope::Never) {
        words.push("never".to_owned());
    }
    format!("{} [no]", words.join(", "))
}

/// An ask in lines that are safe to print. In a window of so many columns what does not fit goes on below, indented: none of
/// it can pass for a line of its own.
pub(crate) fn described(approval: &Approval, is_question: bool, columns: Option<usize>) -> Vec<String> {
    let mut lines = approval.lines(is_question).into_iter();
    let first = lines.next().map(|line| output::folded(&line, columns, FIRST));
    let rest = lines.map(|line| format!("  {}", output::folded(&line, columns, INDENT)));
    first.into_iter().chain(rest).collect()
}

/// What opens the vault without a person, in words.
pub(crate) fn ways_in(kinds: &[KeyKind]) -> String {
    let names: Vec<&str> = kinds
        .iter()
        .map(|kind| match kind {
            KeyKind::KeyFile => "a key file",
            KeyKind::Credential => "a systemd credential",
            KeyKind::KeyProvider => "a key provider",
            KeyKind::Passphrase => "a passphrase",
            KeyKind::Recovery => "a recovery key",
        })
        .collect();
    names.join(" and ")
}

/// The beginning of an id, which is enough to name one of few.
pub(crate) fn short(id: Uuid) -> String {
    id.to_string().chars().take(DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approval() -> Approval {
        let text = r#"{"id":"01234567-89ab-4cde-8f01-23456789abcd","state":"pending","created_at":"2026-04-15T12:00:00Z","expires_at":"2026-04-15T12:05:00Z","count":1,"approvers":0,"right":"reveal","secrets":["KEY"],"purpose":"run","reason":"a\u202eb","client":{"token":"owner","pid":7,"chain":["np\u001bm","bash"],"session":{"tty":"pts/3","leader":"bash"},"command":"/usr/bin/npm","directory":"/src"},"offers":["once","session","always","never"]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn enter_alone_is_no_and_a_word_may_be_cut() {
        let approval = approval();
        let parse = |line: &str| Answer::parse(line, &approval);
        for no in ["", "n", "no", "  NO "] {
            assert_eq!(parse(no), Some(Answer::Deny(None)));
        }
        assert_eq!(parse("s"), Some(Answer::Allow(ApprovalScope::Session)));
        assert_eq!(parse("once"), Some(Answer::Allow(ApprovalScope::Once)));
        assert_eq!(parse("ne"), Some(Answer::Deny(Some(ApprovalScope::Never))));
        // What is not offered, and what is no word, is asked again.
        assert_eq!(parse("hour"), None);
        assert_eq!(parse("yes"), None);
    }

    #[test]
    fn what_others_have_named_steers_no_terminal() {
        let shown = described(&approval(), true, None).join("\n");
        assert_eq!(
            shown,
            "KEY is guarded. Reveal it to npm for `run`?   reason: a\u{fffd}b\n  np\u{fffd}m ← bash   pts/3   /src   token owner\n  session is for whatever npm runs in pts/3"
        );
        assert_eq!(choices(&approval()), "once, session, always (npm in /src), no, never [no]");
    }

    /// In a narrow window the end of a reason does not stand where a question of ours begins.
    #[test]
    fn what_does_not_fit_goes_on_indented() {
        let mut approval = approval();
        let reason = format!("{}secretctl: OTHER is guarded. Reveal it to ls?", "x".repeat(17));
        approval.reason = Some(secrets_proto::reveal::Remark::parse(&reason).unwrap());
        for columns in [20, 40, 53, 80] {
            let shown = format!("secretctl: {}", described(&approval, true, Some(columns)).join("\n"));
            for line in shown.lines().skip(1) {
                assert!(line.starts_with("  "), "{columns}: {shown}");
                assert!(line.chars().count() <= columns, "{columns}: {shown}");
            }
        }
    }
}
