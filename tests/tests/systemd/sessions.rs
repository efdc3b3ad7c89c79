//! Sessions with names under systemd: their broker is a unit, hardened like the daemon's.

use std::collections::BTreeMap;

use secretsd_tests::lab::{Lab, User};
use serde_json::{Value, json};

use crate::support::{init, installed, user};

const VALUE: &str = "sk-proj-canary-0123456789-abcdefghijklmnop";
const SERVICE: &str = "secretsd-broker@build.service";
const SOCKET: &str = "secretsd-broker@build.socket";

/// A host inside, which answers with the length of what it is sent as `Authorization`, and notes it.
const HOST: &str = r#"
import http.server, ssl, sys
class Host(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with open("seen", "a") as seen:
            seen.write(self.headers.get("Authorization", "-") + "\n")
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"yes")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("leaf.pem", "leaf.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
open("port.new", "w").write(str(server.server_port))
import os; os.rename("port.new", "port")
server.serve_forever()
"#;

const CERTIFICATES: &str = "
set -e
new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $new -keyout ca.key -out ca.pem -subj /CN=test -days 2 -addext keyUsage=critical,keyCertSign
openssl req $new -keyout leaf.key -out leaf.csr -subj /CN=api.host.test
printf 'subjectAltName=DNS:api.host.test\nbasicConstraints=CA:FALSE\n' > ext
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out leaf.pem
";

/// A user with a session that is called `build`, and the host's address.
fn session<'a>(lab: &'a Lab, name: &str) -> (User<'a>, String) {
    let user = user(lab, name);
    init(&user);
    user.run("sh", &["-c", CERTIFICATES]);
    user.write("host.py", 0o644, HOST);
    lab.run("sh", &["-c", "grep -q api.host.test /etc/hosts || echo 127.0.0.1 api.host.test >> /etc/hosts"]);
    let home = user.home();
    let work = format!("--working-directory={home}");
    user.run("systemd-run", &["--user", "--quiet", "--unit=host", &work, "/usr/bin/python3", "host.py"]);
    lab.until("the host listens", || lab.path(format!("{home}/port")).exists());
    let host = format!("api.host.test:{}", user.run("cat", &["port"]).trim());
    user.run("sh", &["-c", &format!("printf %s {VALUE} | secretctl set KEY")]);
    user.run("secretctl", &["proxy", "rule", "set", "KEY", "--private", "--host", &host]);
    user.systemctl(&["set-environment", &format!("SSL_CERT_FILE={home}/ca.pem")]);
    user.run("secretctl", &["proxy", "start", "build", "-s", "KEY"]);
    (user, host)
}

fn listed(user: &User<'_>) -> Value {
    let list: Value = serde_json::from_str(&user.run("secretctl", &["proxy", "list", "--json"])).unwrap();
    list["sessions"][0].clone()
}

fn ask(user: &User<'_>, host: &str) -> String {
    let curl = format!("curl -sS -H \"Authorization: Bearer $KEY\" https://{host}/");
    user.run("secretctl", &["proxy", "attach", "build", "--", "sh", "-c", &curl])
}

#[test]
fn a_session_is_a_unit_that_outlasts_the_daemon_and_is_stopped_whole() {
    let Some(lab) = installed("a_session_is_a_unit_that_outlasts_the_daemon_and_is_stopped_whole") else {
        return;
    };
    let (user, host) = session(lab, "lasting");
    assert_eq!(ask(&user, &host), "yes");
    assert_eq!(user.run("cat", &["seen"]), format!("Bearer {VALUE}\n"));
    assert_eq!(user.property(SERVICE, "ActiveState"), "active");
    assert_eq!((&listed(&user)["state"], &listed(&user)["uses"]), (&json!("running"), &json!(1)));
    let variables =
        user.run("sh", &["-c", "eval \"$(secretctl proxy env build)\"; echo $KEY; cat $SSL_CERT_FILE"]);
    assert!(variables.starts_with("sk-proj-ssdph") && variables.contains("BEGIN CERTIFICATE"), "{variables}");

    // Locked, and by a daemon that is new.
    user.systemctl(&["restart", "secretsd.service"]);
    assert_eq!(listed(&user)["state"], "paused");
    assert!(ask(&user, &host).contains("vault_locked_error"));
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    assert_eq!(ask(&user, &host), "yes");

    user.run("secretctl", &["proxy", "stop", "build"]);
    assert!(listed(&user).is_null());
    for unit in [SERVICE, SOCKET] {
        assert_eq!(user.property(unit, "ActiveState"), "inactive", "{unit}");
    }
    let runtime = lab.path(format!("{}/secretsd", user.runtime_dir()));
    for dir in ["proxy", "brokers"] {
        assert_eq!(std::fs::read_dir(runtime.join(dir)).unwrap().count(), 0, "{dir}");
    }
    let journal = user.journal(SERVICE);
    assert!(!journal.contains(VALUE) && !journal.contains("ssd_"), "{journal}");

    // Again, and ended by systemd, as at the end of the machine's day.
    user.run("secretctl", &["proxy", "start", "build", "-s", "KEY"]);
    let id = listed(&user)["session"].as_str().unwrap().to_owned();
    user.systemctl(&["stop", SERVICE]);
    lab.until("the end of the session", || listed(&user).is_null());
    let tokens = user.run("secretctl", &["token", "list", "--json"]);
    assert!(!tokens.contains(&id), "{tokens}");
    lab.until("the end of its socket", || user.property(SOCKET, "ActiveState") == "inactive");
}

#[test]
fn a_killed_broker_leaves_no_socket_on_which_another_could_be_started() {
    let Some(lab) = installed("a_killed_broker_leaves_no_socket_on_which_another_could_be_started") else {
        return;
    };
    let (user, host) = session(lab, "killed");
    user.systemctl(&["kill", "--signal=KILL", SERVICE]);
    lab.until("the end of its socket", || user.property(SOCKET, "ActiveState") == "inactive");
    assert_eq!(listed(&user)["state"], "ended");
    user.run("secretctl", &["proxy", "start", "build", "-s", "KEY"]);
    assert_eq!(ask(&user, &host), "yes");
    user.run("secretctl", &["proxy", "stop", "build"]);
}

#[test]
fn the_brokers_unit_confines_it_to_the_network_and_its_sockets() {
    let Some(lab) = installed("the_brokers_unit_confines_it_to_the_network_and_its_sockets") else { return };
    let (user, _) = session(lab, "confined");
    let pid = user.property(SERVICE, "MainPID");
    let proc = |file: &str| lab.run("cat", &[&format!("/proc/{pid}/{file}")]);
    let status = proc("status");
    let status: BTreeMap<&str, &str> = status.lines().filter_map(|line| line.split_once(":\t")).collect();
    for (field, value) in
        [("Umask", "0077"), ("NoNewPrivs", "1"), ("Seccomp", "2"), ("CapBnd", "0000000000000000")]
    {
        assert_eq!(status[field], value, "{field}");
    }
    // Nothing of the session is where others of the user could read it.
    assert!(!proc("cmdline").contains("build"));
    let owner = lab.run("stat", &["-c", "%U", &format!("/proc/{pid}/environ")]);
    assert_eq!(owner, "root\n", "its user can look into it");
    // The vault is not there for it.
    let vault = format!("/proc/{pid}/root{}/.local/share/secretsd", user.home());
    let mode = lab.run("stat", &["-c", "%a", &vault]);
    assert_eq!(mode, "0\n");
    user.run("secretctl", &["proxy", "stop", "build"]);
}
