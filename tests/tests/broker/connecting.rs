//! Values and connections: a value is taken once there is a connection for it, and a kept connection that the host has
//! closed costs an answer nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::origin::{Odd, Origin};
use secretsd_tests::process::{self, DEADLINE};
use serde_json::{Value, json};

use crate::world::{HOST, VALUE, World};

/// A port in front of a host, at which connections wait.
struct Gate {
    listener: TcpListener,
    port: u16,
}

impl Gate {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        Self { listener, port }
    }

    /// The next connection. A session and a program have to start before that.
    fn next(&self) -> TcpStream {
        let end = Instant::now() + 4 * DEADLINE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    return stream;
                }
                Err(_) => assert!(Instant::now() < end, "no connection to the host"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Lets a connection pass to the host, to its end.
fn pass(stream: TcpStream, origin: &Origin) {
    let host = TcpStream::connect(("127.0.0.1", origin.port)).unwrap();
    for (mut from, mut to) in [(stream.try_clone().unwrap(), host.try_clone().unwrap()), (host, stream)] {
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut piece) {
                if to.write_all(&piece[..count]).is_err() {
                    break;
                }
            }
            to.shutdown(Shutdown::Write).ok();
        });
    }
}

/// How many uses the audit log tells of.
fn uses(world: &World) -> u64 {
    let log = world.env.get("/audit?limit=1000").expect(200);
    let uses = log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "use");
    uses.filter(|entry| entry["outcome"] == "ok").map(|entry| entry["count"].as_u64().unwrap_or(1)).sum()
}

#[test]
fn a_value_is_taken_once_its_host_is_connected() {
    let test = "a_value_is_taken_once_its_host_is_connected";
    let Some(world) = World::with(test, &["http/1.1"]) else { return };
    let gate = Gate::new();
    let host = format!("{HOST}:{}", gate.port);
    world.rule(&["--host", &host]);
    let script = format!(
        "while read again; do curl -sS -H \"Authorization: Bearer $KEY\" https://{host}/v1/echo; echo; done"
    );
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", &script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut answer = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };

    // The vault is locked while the host does not say anything: what it gets later has no value.
    writeln!(input, "again").unwrap();
    let waits = gate.next();
    world.env.post("/vault/lock", &Value::Null).expect(200);
    pass(waits, &world.origin);
    let refused = answer();
    assert!(refused.contains("\"vault_locked\""), "{refused}");
    assert!(world.origin.seen().is_empty(), "{:?}", world.origin.seen());
    world.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(uses(&world), 0, "a value was taken for a request that was not sent");

    // Nor is one for a host that ends the connection before it says anything.
    writeln!(input, "again").unwrap();
    drop(gate.next());
    let failed = answer();
    assert!(failed.contains("\"code\":502"), "{failed}");
    assert_eq!(uses(&world), 0, "a value was taken for a host that was not there");
    drop(input);
    process::wait(&mut child, DEADLINE);
}

/// A host that closes each connection after its first answer, a moment later and without a word. Gives the requests.
fn hasty(listener: &TcpListener, config: &Arc<ServerConfig>, moment: Duration) -> io::Result<String> {
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).map_err(io::Error::other)?, stream);
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        match tls.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => request.extend(&piece[..count]),
        }
    }
    tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n")?;
    tls.flush()?;
    thread::sleep(moment);
    tls.sock.shutdown(Shutdown::Both)?;
    Ok(String::from_utf8_lossy(&request).into_owned())
}

#[test]
fn what_a_host_closes_between_two_requests_is_asked_again() {
    let test = "what_a_host_closes_between_two_requests_is_asked_again";
    let Some(world) = World::with(test, &["http/1.1"]) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("{HOST}:{}", listener.local_addr().unwrap().port());
    for site in ["bearer", "query:key", "body:token"] {
        world.rule(&["--host", &host, "--site", site]);
    }
    let config = Arc::new(world.authority.config(&[HOST], Odd::Not, &["http/1.1"]));
    let requests = thread::spawn(move || {
        let moments = (0..).map(|turn| Duration::from_micros(turn * 37 % 400));
        let mut requests = Vec::new();
        // A connection that is not used is no request: the broker may close it.
        for moment in moments {
            match hasty(&listener, &config, moment) {
                Ok(request) if request.starts_with("GET /end") => return requests,
                Ok(request) => requests.push(request),
                Err(_) => {}
            }
        }
        requests
    });
    let script = format!(
        "curl -sS -H \"Authorization: Bearer $KEY\" 'https://{host}/v1/[1-60]'
        curl -sS \"https://{host}/v1/[1-60]?key=$KEY\"
        curl -sS -H 'Content-Type: application/json' -d \"{{\\\"token\\\":\\\"$KEY\\\"}}\" 'https://{host}/v1/[1-60]'
        curl -sS 'https://{host}/v1/open/[1-20]'
        curl -sS -o /dev/null https://{host}/end"
    );
    let output = world.run(&["sh", "-c", &script]);
    let out = output.out();
    world.assert_nowhere(&output);
    let requests = requests.join().unwrap();
    // One that was on its way when the host closed may have been heard: it is not sent again.
    // What the broker says has no line end.
    let answered = out.lines().filter(|line| line.ends_with("ok")).count();
    let lost = out.matches("\"upstream_protocol\"").count();
    assert_eq!(answered + lost, 200, "{out}{}", output.err());
    assert_eq!(answered, requests.len());
    assert!(answered > 100, "{lost} of 200 are lost: {out}");
    for request in &requests {
        let has_placeholder = !request.starts_with("GET /v1/open");
        assert_eq!(request.matches(VALUE).count(), usize::from(has_placeholder), "{request}");
        assert!(!request.contains("ssdph"), "{request}");
    }
}
