//! A daemon as far as a test needs one: it knows one secret and remembers what it was asked.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

const ID: &str = "2489e9ad-2ee2-4e00-8ec9-32d5f69181c0";

/// The value of its secret.
pub(crate) const VALUE: &str = "a\n $é'\\\"";

/// A daemon that holds `A_KEY` with a value that is hard to carry.
pub(crate) struct Daemon {
    pub(crate) dir: TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        fs::write(&token, "t0ken").unwrap();
        fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
        let listener = UnixListener::bind(dir.path().join("s.sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(BufReader::new(stream.unwrap()), &log);
            }
        });
        Self { dir, requests }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secretctl"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SECRETSD_SOCKET", self.dir.path().join("s.sock"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it with this on stdin.
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(arguments);
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What it was asked, as `METHOD route body`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// What it answers to a plain list.
pub(crate) fn list() -> String {
    list_of(&secret("A_KEY", ""))
}

fn list_of(secret: &str) -> String {
    format!(r#"{{"secrets":[{secret}],"total":1}}"#)
}

fn secret(name: &str, more: &str) -> String {
    let times = r#""created_at":"2026-04-15T12:00:00Z","updated_at":"2026-04-15T12:00:00Z""#;
    format!(r#"{{"id":"{ID}","name":"{name}","provider":null,"masked_value":"sk-pro••••789",{times}{more}}}"#)
}

fn serve(mut stream: BufReader<UnixStream>, log: &Mutex<Vec<String>>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| Some(line.strip_prefix("content-length:")?.trim().parse().unwrap()));
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").replacen("/api/v1", "", 1);
    let (status, answer) = respond(&line, &head, &body);
    log.lock().unwrap().push(format!("{line} {body}"));
    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
    // The client may have left; that is its right.
    let _ = stream.get_mut().write_all(text.as_bytes());
}

fn respond(line: &str, head: &str, body: &str) -> (u16, String) {
    let error = |code: u16, kind: &str, errors: &str| {
        (code, format!(r#"{{"code":{code},"detail":"the daemon's words","type":"{kind}"{errors}}}"#))
    };
    if !head.contains("Bearer t0ken\r\n") {
        return error(401, "authentication_error", "");
    }
    let full = r#","version":1,"last_used_at":null,"expires_at":null,"note":null,"size_class":"small""#;
    let is_known = line.ends_with(ID) || line.contains("name=A_KEY") || !line.contains("name=");
    match line.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ").as_str() {
        "POST /user/secrets/reveal" if body.contains("NONE") => {
            let missing =
                r#","errors":[{"loc":["body","secrets",1],"msg":"no such secret","type":"missing"}]"#;
            error(404, "not_found_error", missing)
        }
        // As a daemon of an earlier version that knows no directories.
        "POST /user/secrets/reveal" if body.contains("OLD") && body.contains("directory") => {
            let unknown =
                r#","errors":[{"loc":["body","directory"],"msg":"unknown field","type":"extra_forbidden"}]"#;
            error(422, "validation_error", unknown)
        }
        "POST /user/secrets/reveal" => {
            (200, format!(r#"{{"secrets":[{{"id":"{ID}","name":"A_KEY","value":"a\n $é'\\\""}}]}}"#))
        }
        "POST /user/secrets" if body.contains("A_KEY") => error(409, "already_exists_error", ""),
        "POST /user/secrets" => (201, secret("NEW", "")),
        "GET /user/secrets" if !is_known => (200, r#"{"secrets":[],"total":0}"#.into()),
        "GET /user/secrets" if line.contains("view=full") => (200, list_of(&secret("A_KEY", full))),
        "GET /user/secrets" => (200, list()),
        _ if line.starts_with("DELETE") => (204, String::new()),
        _ if line.ends_with(ID) => (200, secret("A_KEY", "")),
        _ => error(404, "not_found_error", ""),
    }
}
