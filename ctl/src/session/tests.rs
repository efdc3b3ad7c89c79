//! What happens between a locked vault and an answer, against a scripted daemon.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use secrets_client::TokenSource;
use secrets_proto::ErrorBody;
use secrets_proto::vault::VaultState;
use tempfile::TempDir;

use super::*;

/// A daemon with one vault, which "right" opens, and a log of what it was asked.
struct Daemon {
    dir: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    fn start(first_state: VaultState) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut state = first_state;
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let Some((line, body)) = read_request(&mut stream) else { continue };
                let (status, answer) = respond(&line, &body, &mut state);
                log.lock().unwrap().push(line);
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
                stream.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
            }
        });
        Self { dir, asked }
    }

    fn session(&self, ask: Ask) -> Session {
        let token = self.dir.path().join("token");
        std::fs::write(&token, "t").unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let paths = Paths {
            socket: self.dir.path().join("s.sock"),
            socket_is_default: false,
            token: TokenSource::File(token),
        };
        Session { ask, ..Session::new(paths, false).unwrap() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut impl BufRead) -> Option<(String, String)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    (!line.is_empty()).then(|| (line, String::from_utf8(body).unwrap()))
}

fn respond(line: &str, body: &str, state: &mut VaultState) -> (u16, String) {
    let refuse = |kind: ErrorType| (kind.code(), serde_json::to_string(&ErrorBody::new(kind, "no")).unwrap());
    let status = |state: VaultState| {
        let state = serde_json::to_string(&state).unwrap();
        let rest =
            r#""format":1,"auto_lock":{"idle_seconds":0,"max_seconds":0},"memory_lock":"ok","version":"0""#;
        (200, format!(r#"{{"state":{state},{rest}}}"#))
    };
    match line {
        "GET /api/v1/vault" => status(*state),
        "POST /api/v1/vault/unlock" if body == r#"{"passphrase":"right"}"# => {
            *state = VaultState::Unlocked;
            status(*state)
        }
        "POST /api/v1/vault/unlock" => refuse(ErrorType::WrongKeyError),
        _ if *state == VaultState::Unlocked => (200, "{}".to_owned()),
        _ => refuse(ErrorType::VaultLockedError),
    }
}

type Asked = Result<Option<SensitiveString>, prompt::Error>;

fn nobody(_: &str, _: &dyn Fn() -> bool) -> Asked {
    Err(prompt::Error::NoTerminal)
}

fn right(_: &str, _: &dyn Fn() -> bool) -> Asked {
    Ok(Some(SensitiveString::new("right".into())))
}

fn wrong(_: &str, _: &dyn Fn() -> bool) -> Asked {
    Ok(Some(SensitiveString::new("wrong".into())))
}

#[test]
fn a_locked_vault_is_opened_by_asking_and_the_call_goes_on() {
    let daemon = Daemon::start(VaultState::Locked);
    assert_eq!(daemon.session(right).call(&Call::get("/x")).unwrap().bytes(), b"{}");
    let expected = [
        "GET /api/v1/x",
        "GET /api/v1/vault",
        "GET /api/v1/vault",
        "POST /api/v1/vault/unlock",
        // Whether a recovery key was never seen.
        "GET /api/v1/vault/keys",
        "GET /api/v1/x",
    ];
    assert_eq!(daemon.asked(), expected);
}

#[test]
fn with_nobody_to_ask_it_fails_with_its_own_code() {
    let daemon = Daemon::start(VaultState::Locked);
    let failure = daemon.session(nobody).call(&Call::get("/x")).err().unwrap();
    assert_eq!(failure.exit(), Exit::Locked);
    assert!(failure.message().contains("secretctl unlock"));
}

#[test]
fn three_wrong_answers_are_enough() {
    let daemon = Daemon::start(VaultState::Locked);
    let failure = daemon.session(wrong).call(&Call::get("/x")).err().unwrap();
    assert_eq!(failure.exit(), Exit::NotAllowed);
    let tries = daemon.asked().iter().filter(|line| line.ends_with("/unlock")).count();
    assert_eq!(tries, TRIES);
}

#[test]
fn nobody_is_asked_for_the_passphrase_of_a_vault_that_does_not_exist() {
    let daemon = Daemon::start(VaultState::Uninitialized);
    let failure = daemon.session(|_, _| panic!("asked")).call(&Call::get("/x")).err().unwrap();
    assert_eq!(failure.exit(), Exit::Locked);
    assert!(failure.message().contains("secretctl init"));
}

#[test]
fn an_open_vault_needs_one_request() {
    let daemon = Daemon::start(VaultState::Unlocked);
    daemon.session(|_, _| panic!("asked")).call(&Call::get("/x")).unwrap();
    assert_eq!(daemon.asked(), ["GET /api/v1/x"]);
}

#[test]
fn without_a_daemon_and_without_leave_to_start_one_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths {
        socket: dir.path().join("s.sock"),
        socket_is_default: false,
        token: TokenSource::Given(SensitiveString::new("t".into())),
    };
    let failure = Session::new(paths, false).unwrap().call(&Call::get("/x")).err().unwrap();
    assert_eq!(failure.exit(), Exit::NoDaemon);
    assert!(failure.message().ends_with(" unlock"), "{failure}");
}
