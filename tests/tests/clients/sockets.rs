//! Clients for WebSockets, and a server that is one.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use secretsd_tests::canary;

use crate::client::{file, installed, processor, run};
use crate::world::{HOST, VALUE, World};

/// A server of WebSockets, which ends with the test.
struct Server {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    url: String,
}

impl Server {
    fn start(world: &World, python: &str) -> Self {
        let (certificate, key) = world.authority.files(&world.env.path(""), HOST);
        let mut command = Command::new(python);
        command.arg(file("serve_websocket.py")).args([certificate, key]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        out.read_line(&mut port).unwrap();
        Self { child, out, url: format!("wss://{HOST}:{}/", port.trim()) }
    }

    /// With which `Authorization` it was asked next, and by which extensions.
    fn asked(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has a client talk to the server, in both directions: the server gets the value, and the client gets stars for it.
#[track_caller]
fn talks(test: &str, client: impl FnOnce(&str) -> Option<Vec<String>>, says: &str) {
    let Some(python) = installed(test, "python/bin/python") else { return };
    let Some(command) = client(&python) else { return };
    let Some(world) = World::new(test) else { return };
    let mut server = Server::start(&world, &python);
    let host = server.url.trim_start_matches("wss://").trim_end_matches('/').to_owned();
    world.rule(&["--host", &host]);
    let command: Vec<&str> = command.iter().map(String::as_str).chain([server.url.as_str()]).collect();
    let output = run(&world, &[], &command);
    let stars = "*".repeat(VALUE.len());
    assert_eq!(output.out(), format!("you are Bearer {stars}\n{says}\n"), "{}", output.err());
    assert_eq!(canary::find(&output.stdout, VALUE), None);
    assert_eq!(server.asked(), format!("asked Bearer {VALUE} []\n"));
}

#[test]
fn websocket_client() {
    let program = file("ask_websocket.py").to_str().unwrap().to_owned();
    talks("sockets::websocket_client", |python| Some(vec![python.to_owned(), program]), "talked");
}

#[test]
fn websockets() {
    let program = file("ask_websockets.py").to_str().unwrap().to_owned();
    talks("sockets::websockets", |python| Some(vec![python.to_owned(), program]), "talked");
}

#[test]
fn ws() {
    let test = "sockets::ws";
    let node = |_: &str| {
        let node = installed(test, &format!("node/node_modules/node-linux-{}/bin/node", processor()))?;
        let modules = installed(test, "node/node_modules")?;
        let program = file("ask_ws.js").to_str().unwrap().to_owned();
        Some(vec!["env".to_owned(), format!("NODE_PATH={modules}"), node, program])
    };
    talks(test, node, "a text\ntrue");
}
