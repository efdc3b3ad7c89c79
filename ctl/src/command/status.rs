//! `status`: the vault's state and what each program knows of the other.

use clap::Args;
use secrets_client::{Call, Paths, TokenSource};
use secrets_proto::Timestamp;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::vault::{AutoLock, KeyInfo, KeyList, MemoryLock, Trigger, VaultState, VaultStatus};
use serde_json::{Map, Value};

use super::{expiry, key, verify};
use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::leap;
use crate::obstacle::hindered_by;
use crate::output::{self, Output};
use crate::session::{NO_VAULT, Session, no_vault};
use crate::unconfirmed;

/// Show the state of the vault and the daemon
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl status --json")]
pub(crate) struct StatusArgs {}

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call_as_is(&Call::status())?;
    if output.json {
        let object = with_client(answer.parse()?, session.paths());
        let text = serde_json::to_vec(&object)
            .map_err(|_| Failure::new(Exit::Other, "the status cannot be written as JSON"))?;
        return output::answer_json_line(&text);
    }
    let status: VaultStatus = answer.parse()?;
    if status.rolled_back {
        output::say(&format!("ROLLBACK DETECTED: {}", verify::ROLLED_BACK));
    }
    if let Some(notice) = expiring(session, &status) {
        output::say(&notice);
    }
    for warning in warnings(&status) {
        output::say(&warning);
    }
    let keys = keys(session, &status);
    if let Some(notice) = unconfirmed::notice(&keys) {
        output::say(&notice);
    }
    if status.state == VaultState::Uninitialized {
        let why = no_vault();
        if why != NO_VAULT {
            output::say(&why);
        }
    }
    let text = describe(&status, &keys, session.paths(), output.colour, Timestamp::now());
    output::answer(text.as_bytes())
}

/// What the owner should do something about.
fn warnings(status: &VaultStatus) -> Vec<String> {
    let mut warnings = Vec::new();
    if status.version != VERSION {
        warnings.push(format!(
            "secretsd has version {}, secretctl {VERSION}; see: secretctl doctor",
            status.version
        ));
    }
    warnings.extend(clock_notice(status));
    if status.memory_lock == MemoryLock::Unavailable {
        warnings.push("keys may be written to swap; see: secretctl doctor".to_owned());
    }
    if status.keys == Some(1) {
        warnings
            .push("the vault has only one key; add another with: secretctl key add --recovery".to_owned());
    }
    warnings
}

/// Says that the clock may be wrong, and what that means.
pub(super) fn clock_notice(status: &VaultStatus) -> Option<String> {
    status.clock_leapt_seconds.map(|seconds| format!("{}; {}", leap::told(seconds), leap::MEANS))
}

/// The keys that open the vault, as far as this token may know.
fn keys(session: &Session, status: &VaultStatus) -> Vec<KeyInfo> {
    if status.state != VaultState::Unlocked {
        return Vec::new();
    }
    let answer = session.call_as_is(&Call::get("/vault/keys")).ok();
    answer.and_then(|answer| answer.parse::<KeyList>().ok()).map(|list| list.keys).unwrap_or_default()
}

/// What expires soon, as far as this token may know.
fn expiring(session: &Session, status: &VaultStatus) -> Option<String> {
    if status.state != VaultState::Unlocked {
        return None;
    }
    let answer = session.call_as_is(&Call::list().query("view", "full")).ok()?;
    let list: SecretList<SecretDetail> = answer.parse().ok()?;
    let times = list.secrets.iter().map(|detail| (detail.secret.name.as_str(), detail.expires_at));
    expiry::notice(times, Timestamp::now(), &Clock::of_stderr())
}

fn with_client(mut object: Map<String, Value>, paths: &Paths) -> Map<String, Value> {
    object.insert("client_version".to_owned(), VERSION.into());
    object.insert("socket".to_owned(), paths.socket.to_string_lossy().into());
    let file = match &paths.token {
        TokenSource::File(path) => path.to_string_lossy().into(),
        TokenSource::Given(_) => Value::Null,
    };
    object.insert("token_file".to_owned(), file);
    object
}

/// How wide the titles are.
const TITLE: usize = 10;

/// The state first, with what to do about it; then the numbers, then where things are.
fn describe(status: &VaultStatus, keys: &[KeyInfo], paths: &Paths, colour: bool, now: Timestamp) -> String {
    let (state, then, code) = match status.state {
        VaultState::Uninitialized => ("not created yet", "; create it with: secretctl init".to_owned(), "33"),
        VaultState::Locked => ("locked", "; unlock it with: secretctl unlock".to_owned(), "33"),
        VaultState::Unlocked if status.rolled_back => {
            ("unlocked, READ-ONLY: ROLLBACK DETECTED", left(&status.auto_lock, now), "31")
        }
        VaultState::Unlocked => ("unlocked", left(&status.auto_lock, now), "32"),
    };
    let state = if colour { format!("\x1b[1;{code}m{state}\x1b[0m") } else { state.to_owned() };
    let memory = match status.memory_lock {
        MemoryLock::Ok => "keys are kept out of swap",
        MemoryLock::Unavailable => "keys may be written to swap; raise the limit on locked memory",
    };
    let token = match &paths.token {
        TokenSource::File(path) => path.display().to_string(),
        TokenSource::Given(_) => "from SECRETSD_TOKEN".to_owned(),
    };
    let mut lines = Vec::new();
    lines.extend(status.start_failure.iter().map(|reason| ("at start", format!("not unlocked: {reason}"))));
    lines.extend(status.lost.iter().map(|lost| ("lost", lost.clone())));
    lines.extend(status.secrets.map(|count| ("secrets", count.to_string())));
    if keys.is_empty() {
        lines.extend(status.keys.map(|count| ("keys", count.to_string())));
    } else {
        let mut names: Vec<String> = keys.iter().map(key::called).collect();
        // What is typed every day first.
        names.sort_by_key(|name| (name != "passphrase", name.clone()));
        lines.push(("opens with", names.join(", ")));
    }
    lines.push(("auto-lock", spans(&status.auto_lock)));
    lines.push(("memory", memory.to_owned()));
    lines.push(("secretsd", format!("{}, vault format {}", status.version, status.format)));
    lines.push(("secretctl", VERSION.to_owned()));
    lines.push(("socket", paths.socket.display().to_string()));
    lines.push(("token", token));
    let lines = lines.iter().map(|(title, text)| output::titled(title, TITLE, text));
    std::iter::once(format!("{:<TITLE$} {state}{then}\n", "vault")).chain(lines).collect()
}

/// How long it stays open if nobody uses it.
fn left(auto_lock: &AutoLock, now: Timestamp) -> String {
    let Some(at) = auto_lock.locks_at else { return String::new() };
    match u64::try_from(at.as_second().saturating_sub(now.as_second())) {
        Ok(seconds @ 1..) => format!(", locks in {}", span(seconds)),
        Ok(0) | Err(_) => ", about to lock".to_owned(),
    }
}

/// When it locks by itself.
fn spans(auto_lock: &AutoLock) -> String {
    let of = |seconds: u64, what: &str| (seconds > 0).then(|| format!("{} {what}", span(seconds)));
    let spans = [of(auto_lock.idle_seconds, "without use"), of(auto_lock.max_seconds, "after unlock")];
    let at = |state: Trigger| {
        let (suspend, session_lock) = (auto_lock.suspend == state, auto_lock.session_lock == state);
        [suspend.then_some("suspend"), session_lock.then_some("session lock")].into_iter().flatten()
    };
    let mut spans: Vec<String> = spans.into_iter().flatten().collect();
    spans.extend(at(Trigger::Live).map(|what| format!("at {what}")));
    let mut text = if spans.is_empty() { "never".to_owned() } else { spans.join(", ") };
    let missing: Vec<&str> = at(Trigger::Unavailable).collect();
    if !missing.is_empty() {
        text.push_str(&format!("; not at {}", missing.join(" or ")));
        text.extend(auto_lock.obstacle.map(|obstacle| format!(": {}", hindered_by(obstacle))));
    }
    text
}

/// A length of time in at most two units.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        if rest >= length && parts.len() < 2 {
            parts.push(format!("{} {unit}", rest / length));
        }
        rest %= length;
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use secrets_proto::vault::Obstacle;

    use super::*;

    const LOCK: AutoLock = AutoLock {
        idle_seconds: 900,
        max_seconds: 28_800,
        suspend: Trigger::Off,
        session_lock: Trigger::Off,
        obstacle: None,
        locks_at: None,
    };

    #[test]
    fn spans_of_time_read_well() {
        assert_eq!(spans(&LOCK), "15 min without use, 8 h after unlock");
        assert_eq!(spans(&AutoLock { idle_seconds: 61, max_seconds: 0, ..LOCK }), "1 min 1 s without use");
        assert_eq!(spans(&AutoLock { idle_seconds: 0, max_seconds: 0, ..LOCK }), "never");
        let live = AutoLock { suspend: Trigger::Live, session_lock: Trigger::Live, ..LOCK };
        assert!(spans(&live).ends_with(", 8 h after unlock, at suspend, at session lock"));
        let refused = AutoLock { suspend: Trigger::Unavailable, obstacle: Some(Obstacle::Refused), ..live };
        assert!(
            spans(&refused)
                .ends_with(", 8 h after unlock, at session lock; not at suspend: refused by logind")
        );
        assert_eq!(span(0), "0 s");
        assert_eq!(span(86_400 + 59), "1 d 59 s");
        assert_eq!(span(7 * 3_600 + 59 * 60 + 59), "7 h 59 min");
    }

    #[test]
    fn what_is_left_counts_down() {
        let now = Timestamp::parse("2026-04-15T12:00:00Z").unwrap();
        let left = |at: &str| left(&AutoLock { locks_at: Some(Timestamp::parse(at).unwrap()), ..LOCK }, now);
        assert_eq!(left("2026-04-15T12:14:59Z"), ", locks in 14 min 59 s");
        assert_eq!(left("2026-04-15T12:00:00Z"), ", about to lock");
        assert_eq!(left("2026-04-15T11:00:00Z"), ", about to lock");
        assert_eq!(super::left(&LOCK, now), "");
    }

    #[test]
    fn json_is_the_apis_object_and_ours() {
        let paths = Paths {
            socket: "/r/s.sock".into(),
            socket_is_default: false,
            token: TokenSource::Given(secrets_proto::SensitiveString::new("t0ken".into())),
        };
        let api = serde_json::from_str(r#"{"state":"locked","new_field":1}"#).unwrap();
        let text = Value::from(with_client(api, &paths)).to_string();
        for part in
            [r#""state":"locked""#, r#""new_field":1"#, r#""client_version":"#, r#""socket":"/r/s.sock""#]
        {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("t0ken"));
    }
}
