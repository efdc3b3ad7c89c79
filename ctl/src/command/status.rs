//! `status`: the vault's state and what each program knows of the other.

use secrets_proto::Timestamp;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::vault::{AutoLock, MemoryLock, VaultState, VaultStatus};
use serde_json::{Map, Value};

use super::{expiry, verify};
use crate::call::Call;
use crate::environment::Paths;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::Session;
use crate::token::TokenSource;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call_as_is(&Call::get("/vault"))?;
    if output.json {
        let object = with_client(answer.parse()?, session.paths());
        let text = serde_json::to_vec(&object)
            .map_err(|_| Failure::new(Exit::Other, "the status cannot be written as JSON"))?;
        return output::answer_line(&text);
    }
    let status: VaultStatus = answer.parse()?;
    if status.rolled_back {
        output::say(&format!("ROLLBACK DETECTED: {}", verify::ROLLED_BACK));
    }
    if let Some(notice) = expiring(session, &status) {
        output::say(&notice);
    }
    output::answer(describe(&status, session.paths()).as_bytes())
}

/// What expires soon, as far as this token may know.
fn expiring(session: &Session, status: &VaultStatus) -> Option<String> {
    if status.state != VaultState::Unlocked {
        return None;
    }
    let answer = session.call_as_is(&Call::get("/user/secrets").query("view", "full")).ok()?;
    let list: SecretList<SecretDetail> = answer.parse().ok()?;
    expiry::notice(&list.secrets, Timestamp::now())
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

fn describe(status: &VaultStatus, paths: &Paths) -> String {
    let state = match status.state {
        VaultState::Uninitialized => "not made yet (run: secretctl init)",
        VaultState::Locked => "locked (run: secretctl unlock)",
        VaultState::Unlocked if status.rolled_back => "unlocked, READ-ONLY: ROLLBACK DETECTED",
        VaultState::Unlocked => "unlocked",
    };
    let memory = match status.memory_lock {
        MemoryLock::Ok => "keys are kept out of swap",
        MemoryLock::Unavailable => "keys may be swapped out; raise the limit on locked memory",
    };
    let token = match &paths.token {
        TokenSource::File(path) => path.display().to_string(),
        TokenSource::Given(_) => "from SECRETSD_TOKEN".to_owned(),
    };
    let mut lines = vec![("vault", state.to_owned())];
    lines.extend(status.secrets.map(|count| ("secrets", count.to_string())));
    lines.extend(status.keys.map(|count| ("key slots", count.to_string())));
    lines.push(("auto-lock", auto_lock(&status.auto_lock)));
    lines.push(("memory", memory.to_owned()));
    lines.push(("secretsd", format!("{}, vault format {}", status.version, status.format)));
    lines.push(("secretctl", VERSION.to_owned()));
    lines.push(("socket", paths.socket.display().to_string()));
    lines.push(("token", token));
    lines.iter().map(|(title, text)| format!("{title:<10} {}\n", output::printable(text))).collect()
}

fn auto_lock(auto_lock: &AutoLock) -> String {
    let span = |seconds: u64, what: &str| match seconds {
        0 => None,
        _ if seconds.is_multiple_of(3600) => Some(format!("{} h {what}", seconds / 3600)),
        _ if seconds.is_multiple_of(60) => Some(format!("{} min {what}", seconds / 60)),
        _ => Some(format!("{seconds} s {what}")),
    };
    let spans = [span(auto_lock.idle_seconds, "without use"), span(auto_lock.max_seconds, "after unlock")];
    let spans: Vec<String> = spans.into_iter().flatten().collect();
    let Some(at) = auto_lock.locks_at else {
        return if spans.is_empty() { "never".to_owned() } else { spans.join(", ") };
    };
    format!("{}; at {at} as things stand", spans.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_lock_reads_well() {
        let lock =
            |idle_seconds, max_seconds| auto_lock(&AutoLock { idle_seconds, max_seconds, locks_at: None });
        assert_eq!(lock(900, 28_800), "15 min without use, 8 h after unlock");
        assert_eq!(lock(61, 0), "61 s without use");
        assert_eq!(lock(0, 0), "never");
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
