//! Locking at suspend and session lock by the real logind, from within the sandbox of the unit. The machine that suspends
//! is the lab: the kernel's switch is a file in memory there, and what would write to it notes what it finds.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use secretsd_tests::harness;
use secretsd_tests::lab::{Lab, User};
use serde_json::json;

use crate::support::{init, install, main_pid, state, status, user};

const LOGIND: [&str; 3] =
    ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];

/// Runs instead of `systemd-sleep`: the last that happens before a machine would sleep.
const ASLEEP: &str = "#!/bin/sh\ntr '\\0' '\\n' <\"/proc/$(cat /run/daemon)/environ\" >/run/found && mv /run/found /run/asleep\n";

/// A request whose body does not come, which holds up the daemon's next image.
const SLOW: &str = r#"
import os, socket, sys
run = os.environ["XDG_RUNTIME_DIR"] + "/secretsd/"
slow = socket.socket(socket.AF_UNIX)
slow.connect(run + "secretsd.sock")
token = open(run + "token").read().strip()
slow.sendall(("POST /api/v1/user/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token
    + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{").encode())
print("sent", flush=True)
sys.stdin.read()
"#;

/// A lab of its own: a suspend concerns everybody in it.
fn lab(test: &str) -> Option<Lab> {
    let lab = match Lab::boot() {
        Ok(lab) => lab,
        Err(reason) => {
            harness::skip(test, &reason);
            return None;
        }
    };
    install(&lab);
    Some(lab)
}

/// A session of the user, by its id and its object; it lasts as long as the lab.
fn session(user: &User<'_>) -> (String, String) {
    let lab = user.lab();
    let name = user.name();
    let words = [
        format!("--unit=session-of-{name}"),
        "--property=PAMName=login".to_owned(),
        format!("--property=User={name}"),
    ];
    let mut run = vec!["--quiet"];
    run.extend(words.iter().map(String::as_str));
    run.extend(["--setenv=XDG_SESSION_CLASS=user", "--setenv=XDG_SESSION_TYPE=x11", "sleep", "infinity"]);
    lab.run("systemd-run", &run);
    let mut id = String::new();
    lab.until("the user has a session", || {
        let sessions = lab.run("loginctl", &["list-sessions", "--no-legend"]);
        let line = sessions.lines().find(|line| line.split_whitespace().nth(2) == Some(name));
        id = line.and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_owned();
        !id.is_empty()
    });
    let object = lab.run("busctl", &[&["call"], &LOGIND[..], &["GetSession", "s", &id]].concat());
    (id, object.split('"').nth(1).unwrap().to_owned())
}

fn half_a_request(user: &User<'_>) -> Child {
    let mut slow = user.command("python3");
    slow.args(["-c", SLOW]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut slow = slow.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(slow.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "sent\n");
    slow
}

/// Waits until the daemon would hear of both.
fn is_live(user: &User<'_>) {
    user.lab().until("logind is heard", || {
        let auto_lock = &status(user)["auto_lock"];
        auto_lock["suspend"] == json!("live") && auto_lock["session_lock"] == json!("live")
    });
}

#[test]
fn the_real_logind_locks_the_vault() {
    let Some(lab) = lab("the_real_logind_locks_the_vault") else { return };
    let user = user(&lab, "sleeper");
    init(&user);
    is_live(&user);
    let pid = main_pid(&user);
    let held = lab.run("systemd-inhibit", &["--list", "--no-legend"]);
    assert!(held.lines().any(|line| line.contains("sleeper") && line.contains("secretsd")), "{held}");

    let (id, object) = session(&user);
    assert_eq!(state(&user), "unlocked");
    lab.run("loginctl", &["lock-session", &id]);
    lab.until("locked with the session", || state(&user) == "locked");
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    is_live(&user);
    // As who draws a lock screen without being asked.
    user.run(
        "busctl",
        &["call", LOGIND[0], &object, "org.freedesktop.login1.Session", "SetLockedHint", "b", "true"],
    );
    lab.until("locked with the screen", || state(&user) == "locked");
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    is_live(&user);

    // Logind comes back as another one on the bus.
    lab.run("systemctl", &["restart", "systemd-logind.service"]);
    is_live(&user);
    assert_eq!((state(&user).as_str(), main_pid(&user)), ("unlocked", pid));

    // From here on the lab can sleep.
    lab.run("mount", &["-t", "tmpfs", "tmpfs", "/sys/power"]);
    fs::write(lab.path("/sys/power/state"), "mem\n").unwrap();
    fs::write(lab.path("/sys/power/mem_sleep"), "[s2idle]\n").unwrap();
    fs::write(lab.path("/opt/asleep.sh"), ASLEEP).unwrap();
    let unit = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sh /opt/asleep.sh\n";
    fs::write(lab.path("/etc/systemd/system/systemd-suspend.service"), unit).unwrap();
    lab.run("systemctl", &["daemon-reload"]);
    let can = lab.run("busctl", &[&["call"], &LOGIND[..], &["CanSuspend"]].concat());
    if !can.contains("yes") {
        return harness::skip("a suspend by the real logind", &format!("it says that it cannot: {can}"));
    }
    // An image that comes after no lock, so that the next one can be told from it.
    user.systemctl(&["restart", "secretsd.service"]);
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    is_live(&user);
    let pid = main_pid(&user);
    fs::write(lab.path("/run/daemon"), pid.to_string()).unwrap();
    lab.run("sh", &["/opt/asleep.sh"]);
    let asleep = lab.path("/run/asleep");
    assert!(!fs::read_to_string(&asleep).unwrap().contains("SECRETSD_RELAUNCH="));
    fs::remove_file(&asleep).unwrap();
    let mut slow = half_a_request(&user);
    assert_eq!(state(&user), "unlocked");
    lab.run("busctl", &[&["call"], &LOGIND[..], &["Suspend", "b", "false"]].concat());
    lab.until("the lab sleeps", || asleep.exists());
    let environment = fs::read_to_string(asleep).unwrap();
    assert!(
        environment.contains("SECRETSD_RELAUNCH="),
        "the machine sleeps and the old image is still there: {environment}"
    );
    drop(slow.stdin.take());
    slow.wait().unwrap();
    assert_eq!((state(&user).as_str(), main_pid(&user)), ("locked", pid));
    is_live(&user);
    let held = lab.run("systemd-inhibit", &["--list", "--no-legend"]);
    assert!(held.contains("sleeper"), "not taken again after the resume: {held}");
}
