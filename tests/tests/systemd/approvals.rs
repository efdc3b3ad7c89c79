//! Guarded secrets where the daemon runs in its sandbox: what it can see there of who asks. Of another process's program and
//! directory the kernel tells nothing to who is in a user namespace of its own (`PrivateUsers=`), so that these are the
//! client's word; terminal, unit and ancestors are seen all the same, and an answer for a session or unit rests on them.

use std::fs;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::lab::User;
use serde_json::{Value, json};

use crate::support::{installed, user};

/// Does as it is told in `steps`, an array of `get`, `[method, path, body]` and `allow` with a scope; what came of each goes
/// into the file that is named last.
const ASKER: &str = r#"
import http.client, json, os, socket, subprocess, sys
runtime = os.environ["XDG_RUNTIME_DIR"] + "/secretsd/"
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(runtime + "secretsd.sock")
def api(method, path, body=None):
    connection = Connection("localhost")
    headers = {"Authorization": "Bearer " + open(runtime + "token").read().strip()}
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, "/api/v1" + path, body and json.dumps(body), headers)
    return json.loads(connection.getresponse().read())
def step(step):
    if step == "get":
        # Without a terminal of its own, so that it asks nothing there.
        done = subprocess.run(["setsid", "--wait", "secretctl", "get", "KEY"], stdin=subprocess.DEVNULL, capture_output=True)
        return {"code": done.returncode, "out": done.stdout.decode(), "err": done.stderr.decode()}
    if step == "asks":
        return api("GET", "/approvals")["approvals"]
    if step == "rules":
        return api("GET", "/approvals/rules")["rules"]
    ask = api("GET", "/approvals")["approvals"][0]
    body = {"decision": "allow", "scope": step, "proof": {"passphrase": open("passphrase").read()}}
    return api("POST", "/approvals/" + ask["id"] + "/decision", body)
done = [step(name) for name in sys.argv[2:]]
open(sys.argv[1] + ".new", "w").write(json.dumps(done))
os.rename(sys.argv[1] + ".new", sys.argv[1])
"#;

/// What came of these steps, in a pseudo terminal of their own.
fn in_terminal(user: &User<'_>, steps: &str) -> Value {
    let command = format!("/usr/bin/python3 ask.py result {steps}");
    user.run("script", &["--quiet", "--return", "--command", &command, "/dev/null"]);
    result(user)
}

/// The same in a service of this name.
fn in_service(user: &User<'_>, unit: &str, steps: &str) -> Value {
    let (unit, home) = (format!("--unit={unit}"), format!("--working-directory={}", user.home()));
    let mut arguments = vec!["--user", "--wait", "--collect", "--quiet", &unit, &home];
    arguments.extend(["/usr/bin/python3", "ask.py", "result"]);
    arguments.extend(steps.split(' '));
    user.run("systemd-run", &arguments);
    result(user)
}

fn result(user: &User<'_>) -> Value {
    let path = user.lab().path(format!("{}/result", user.home()));
    let read = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fs::remove_file(path).unwrap();
    read
}

fn by(ask: &Value) -> Value {
    ask["client"]["by"].clone()
}

#[test]
fn in_its_sandbox_the_daemon_sees_terminal_and_unit_and_takes_the_clients_word_for_the_program() {
    const TEST: &str =
        "in_its_sandbox_the_daemon_sees_terminal_and_unit_and_takes_the_clients_word_for_the_program";
    let Some(lab) = installed(TEST) else { return };
    eprintln!("with {}", lab.run("systemctl", &["--version"]).lines().next().unwrap());
    let user = user(lab, "asker");
    user.write("passphrase", 0o600, PASSPHRASE);
    user.write("ask.py", 0o644, ASKER);
    user.write("value", 0o600, "a-value-of-the-lab");
    user.run("secretctl", &["init", "--passphrase-file", "passphrase"]);
    user.run("secretctl", &["set", "KEY", "--value-file", "value"]);
    user.run("secretctl", &["guard", "KEY"]);

    // In a terminal: the session is seen, and reaches a tool in a session of its own; another terminal is another.
    let done = in_terminal(&user, "get asks session get get asks");
    assert_eq!(done[0]["code"], 3, "{done}");
    let ask = &done[1][0];
    let client = &ask["client"];
    assert_ne!(client["pid"], 0, "{ask}");
    assert_eq!(client["chain"][0], "secretctl", "{ask}");
    assert!(client["chain"].as_array().unwrap().iter().any(|name| name == "python3"), "{ask}");
    assert!(client["session"]["tty"].as_str().unwrap().starts_with("pts/"), "{ask}");
    assert_eq!(
        by(ask),
        json!({ "session": "kernel", "program": "client", "script": "client", "directory": "client" }),
        "{ask}"
    );
    assert_eq!(client["script"], format!("{}/ask.py", user.home()), "{ask}");
    assert_eq!(client["directory"], user.home(), "{ask}");
    assert_eq!(done[2]["state"], "allowed", "{done}");
    assert_eq!((&done[3]["code"], &done[3]["out"]), (&json!(0), &json!("a-value-of-the-lab")), "{done}");
    assert_eq!((&done[4]["code"], &done[5]), (&json!(0), &json!([])), "{done}");
    let other = in_terminal(&user, "get asks once get");
    assert_eq!(other[0]["code"], 3, "an answer reached another terminal: {other}");
    assert_eq!(other[3]["code"], 3, "once served another process: {other}");
    user.run("secretctl", &["deny"]);

    // In a service: the unit is seen, and is what a rule is about.
    let done = in_service(&user, "deploy", "get asks always rules get");
    assert_eq!(done[0]["code"], 3, "{done}");
    let ask = &done[1][0];
    assert_eq!(ask["client"]["unit"], "deploy.service", "{ask}");
    assert_eq!(ask["client"]["session"]["leader"], "deploy.service", "{ask}");
    assert_eq!((&by(ask)["unit"], &by(ask)["session"]), (&json!("kernel"), &json!("kernel")), "{ask}");
    assert_eq!(done[3][0]["client"], json!({ "token": "owner", "unit": "deploy.service" }), "{done}");
    assert_eq!(done[4]["code"], 0, "{done}");
    let again = in_service(&user, "deploy", "get");
    assert_eq!(again[0]["out"], "a-value-of-the-lab", "{again}");
    let other = in_service(&user, "other", "get");
    assert_eq!(other[0]["code"], 3, "a rule for a unit served another: {other}");
}
