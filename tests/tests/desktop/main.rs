//! The desktop's approver, on a real session bus, with the real dunst under Xvfb, and a pinentry: what a notification says,
//! that nothing but the passphrase allows, and that nothing that merely happens answers.

mod stage;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use secretsd_tests::env::{CHEAP_KDF, PASSPHRASE};
use secretsd_tests::harness::lacks;
use secretsd_tests::process::{self, until};

use stage::{Stage, VALUE};

const NEEDED: [&str; 4] = ["dbus-daemon", "Xvfb", "dunst", "dunstctl"];

/// Waits until the one ask is shown.
fn shown(stage: &Stage) {
    until("the ask is shown", || stage.displayed() == "1");
    assert_eq!(stage.asks().len(), 1);
}

#[test]
fn what_merely_happens_on_a_desktop_allows_nothing() {
    const TEST: &str = "what_merely_happens_on_a_desktop_allows_nothing";
    if lacks(TEST, &NEEDED) || lacks(TEST, &["dbus-send"]) {
        return;
    }
    let stage = Stage::ready(0);
    // Were a window opened, the right passphrase would be typed there at once.
    stage.env.private_file("typed", format!("{PASSPHRASE}\n").repeat(9));
    let untouched = |what: &str| {
        assert_eq!(stage.env.get("/approvals/rules").expect(200)["total"], 0, "{what}");
        assert!(!stage.noted().contains("GETPIN"), "{what}: a window was opened");
    };

    let asking = stage.ask(&["--wait", "4", "get", "KEY"]);
    shown(&stage);
    stage.dunstctl(&["close-all"]);
    until("it is closed", || stage.displayed() == "0");
    let (code, out, _) = stage.end(asking);
    assert_eq!((code, out.as_str()), (3, ""), "closed");
    untouched("closed");
    lock_and_unlock(&stage);

    // Pressed by a program of the user: the default action, which there is none of.
    let asking = stage.ask(&["--wait", "4", "get", "KEY"]);
    shown(&stage);
    stage.env.private_file("choice", "no such entry");
    stage.dunstctl(&["action"]);
    stage.dunstctl(&["action", "0"]);
    // Said by a stranger, to all and to each alone.
    let names = stage.command("dbus-send");
    let mut names = names;
    names.args(["--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames"]);
    let (_, output) = process::run(&mut names, b"");
    let listed = String::from_utf8(output.stdout).unwrap();
    let unique: Vec<&str> = listed.split('"').filter(|name| name.starts_with(':')).collect();
    assert!(unique.len() >= 2, "{listed}");
    for key in ["default", "allow", "answer", "deny"] {
        for number in 1..=4 {
            for to in std::iter::once(None).chain(unique.iter().map(Some)) {
                let mut signal = stage.command("dbus-send");
                signal.arg("--type=signal").args(to.map(|to| format!("--dest={to}")));
                signal
                    .args(["/org/freedesktop/Notifications", "org.freedesktop.Notifications.ActionInvoked"]);
                signal.args([format!("uint32:{number}"), format!("string:{key}")]);
                assert!(signal.status().unwrap().success());
            }
        }
    }
    let (code, out, _) = stage.end(asking);
    assert_eq!((code, out.as_str()), (3, ""), "pressed by strangers");
    untouched("pressed by strangers");
    lock_and_unlock(&stage);

    stage.dunstctl(&["set-paused", "true"]);
    let asking = stage.ask(&["--wait", "4", "get", "KEY"]);
    until("it waits unseen", || stage.dunstctl(&["count", "waiting"]) == "1");
    let (code, out, _) = stage.end(asking);
    assert_eq!((code, out.as_str()), (3, ""), "do not disturb");
    untouched("do not disturb");
}

/// Ends what waits, so that the next ask is another.
fn lock_and_unlock(stage: &Stage) {
    stage.env.ctl(["lock"]).expect(0);
    until("nothing is shown any more", || stage.displayed() == "0");
    stage.env.post("/vault/unlock", &serde_json::json!({ "passphrase": PASSPHRASE })).expect(200);
    until("the approver waits again", || stage.approvers() == 1);
}

#[test]
fn a_notification_that_expires_answers_nothing() {
    const TEST: &str = "a_notification_that_expires_answers_nothing";
    if lacks(TEST, &NEEDED) {
        return;
    }
    let stage = Stage::ready(1);
    let asking = stage.ask(&["--wait", "6", "get", "KEY"]);
    shown(&stage);
    until("it has expired", || stage.displayed() == "0");
    assert_eq!(stage.asks()[0]["state"], "pending");
    assert_eq!(stage.end(asking).0, 3);
    assert!(!stage.noted().contains("GETPIN"));
}

#[test]
fn the_passphrase_answers_and_a_button_denies() {
    const TEST: &str = "the_passphrase_answers_and_a_button_denies";
    if lacks(TEST, &NEEDED) {
        return;
    }
    let stage = Stage::ready(0);
    stage.env.private_file("typed", format!("wrong\n{PASSPHRASE}\n"));
    let asking = stage.ask(&["get", "KEY"]);
    shown(&stage);
    stage.press("Answer");
    let (code, out, err) = stage.end(asking);
    assert_eq!((code, out.trim_end()), (0, VALUE), "{err}\n{}", stage.agent_says());
    let noted = stage.noted();
    for line in ["SETOK Allow", "SETCANCEL Not now", "SETTIMEOUT 60", "SETERROR That is not the passphrase."]
    {
        assert!(noted.contains(line), "{line}: {noted}");
    }
    assert!(noted.contains("SETDESC Reveal KEY to "), "{noted}");
    assert!(!noted.contains("external-password-cache"), "no keyring keeps what is typed");
    until("it says so", || stage.agent_says().contains(": allowed"));
    assert!(!stage.agent_says().contains(PASSPHRASE) && !stage.agent_says().contains("KEY"));
    until("nothing is left on the desktop", || stage.displayed() == "0");
    lock_and_unlock(&stage);

    // Not now decides nothing.
    stage.env.private_file("typed", "cancel\n");
    let asking = stage.ask(&["--wait", "5", "get", "KEY"]);
    shown(&stage);
    stage.press("Answer");
    until("nothing was decided", || stage.agent_says().contains("nothing was decided"));
    assert_eq!(stage.asks()[0]["state"], "pending");
    assert_eq!(stage.end(asking).0, 3);
    lock_and_unlock(&stage);

    let asking = stage.ask(&["get", "KEY"]);
    shown(&stage);
    stage.press("Deny");
    assert_eq!(stage.end(asking).0, 5);
}

#[test]
fn a_window_goes_when_its_ask_is_settled_elsewhere() {
    const TEST: &str = "a_window_goes_when_its_ask_is_settled_elsewhere";
    if lacks(TEST, &NEEDED) {
        return;
    }
    let mut stage = Stage::ready(0);
    let asking = stage.ask(&["get", "KEY"]);
    shown(&stage);
    stage.press("Answer");
    until("the window is there", || stage.noted().contains("GETPIN"));
    stage.env.ctl(["deny"]).expect(0);
    assert_eq!(stage.end(asking).0, 5);
    until("the window is gone", || stage.agent_says().contains("settled meanwhile"));
    until("so is the notification", || stage.displayed() == "0");
    stage.stop_agent(Signal::TERM);
}

#[test]
fn hostile_names_are_shown_as_plain_text() {
    const TEST: &str = "hostile_names_are_shown_as_plain_text";
    if lacks(TEST, &NEEDED) {
        return;
    }
    let stage = Stage::ready(0);
    let dir = stage.env.private_dir("<b>bold<b>");
    let evil = dir.join("\u{1b}[31m<a href='x'>&lt;\u{202e}%n%s\\n");
    symlink("/bin/true", &evil).unwrap();
    let reason = format!("<img src=\"http://127.0.0.1/\"> {}", "é".repeat(100));
    let asking =
        stage.ask(&["--wait", "5", "run", "-s", "KEY", "--reason", &reason, "--", evil.to_str().unwrap()]);
    shown(&stage);
    stage.env.private_file("typed", "cancel\n");
    stage.press("Answer");
    until("a window was opened", || stage.noted().contains("GETPIN"));
    assert_eq!(stage.end(asking).0, 125);
    let all = fs::read_to_string(stage.env.path("shown")).unwrap();
    let line = |name: &str| {
        let found = all.lines().find(|line| line.trim_start().starts_with(name));
        found.unwrap_or_else(|| panic!("{name}: {all}")).to_owned()
    };
    assert!(line("summary:").contains("Reveal KEY to "), "{all}");
    let noted = stage.noted();
    let described = noted.lines().find(|line| line.starts_with("SETDESC")).unwrap();
    assert!(described.len() < 1_000, "{described}");
    for said in [line("summary:").as_str(), line("body:").as_str(), described] {
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
        assert!(!said.contains("<b>") && !said.contains("<a") && !said.contains("<img"), "{said:?}");
        assert!(!said.contains("http://"), "{said:?}");
    }
}

#[test]
fn a_pinentry_for_terminals_is_never_asked() {
    const TEST: &str = "a_pinentry_for_terminals_is_never_asked";
    if lacks(TEST, &NEEDED) {
        return;
    }
    let mut stage = Stage::new();
    stage.dunst(0);
    // By its flavor, which the one for a display has too where it finds none; and by its name.
    for flavor in ["gtk2:curses", "curses", "tty", "gnome3:tty"] {
        stage.env.private_file("flavor", flavor);
        let status = stage.agent_command(&[]).status().unwrap();
        assert!(!status.success() && stage.agent_says().contains("no pinentry has a window"), "{flavor}");
    }
    stage.env.private_file("flavor", "gtk2");
    let by_name = stage.env.path("pinentry-curses");
    fs::copy(stage.env.path("pinentry"), &by_name).unwrap();
    let link = stage.env.path("chosen");
    symlink(&by_name, &link).unwrap();
    for path in [&by_name, &link] {
        let mut command = stage.agent_command(&[]);
        command.env("SECRETSD_PINENTRY", path);
        assert!(!command.status().unwrap().success(), "{}", path.display());
    }
    // Nor where the settings name it; and what they do not name well is told with its line.
    let with_settings = |line: &str| {
        stage.env.settings(&format!("{CHEAP_KDF}[approve]\n{line}\n"));
        let mut agent = stage.agent_command(&[]);
        assert!(!agent.env_remove("SECRETSD_PINENTRY").status().unwrap().success(), "{line}");
        stage.agent_says()
    };
    let says = with_settings(&format!("pinentry = \"{}\"", by_name.display()));
    assert!(says.contains("no pinentry has a window"), "{says}");
    let says = with_settings("pinentry = \"pinentry-gtk-2\"");
    assert!(says.contains("config.toml: pinentry is the absolute path of a program"), "{says}");
    let says = with_settings("pinentry = canary");
    assert!(says.contains("config.toml: line 6: ") && !says.contains("canary"), "{says}");
    assert!(!stage.noted().contains("GETPIN"));
    let mut without = stage.agent_command(&[]);
    without.env_remove("DISPLAY");
    assert!(!without.status().unwrap().success() && stage.agent_says().contains("there is no display"));
}

#[test]
fn the_pinentry_of_the_settings_is_asked_unless_a_variable_names_another() {
    const TEST: &str = "the_pinentry_of_the_settings_is_asked_unless_a_variable_names_another";
    if lacks(TEST, &NEEDED) {
        return;
    }
    let mut stage = Stage::new();
    stage.dunst(0);
    stage.env.private_file("typed", format!("{PASSPHRASE}\n"));
    let pinentry = stage.env.path("pinentry");
    let settings = |path: &Path| {
        stage.env.settings(&format!("{CHEAP_KDF}[approve]\npinentry = \"{}\"\n", path.display()));
    };
    settings(&stage.env.path("not-there"));
    // The variable that the stage sets wins.
    let mut agent = stage.command(Path::new(stage.env.programs().client).with_file_name("secretctl-approve"));
    agent.arg("--check").env("SECRETSD_PINENTRY", &pinentry);
    assert!(agent.status().unwrap().success(), "the settings win over the variable");
    assert!(!agent.env_remove("SECRETSD_PINENTRY").status().unwrap().success(), "the settings are not read");
    settings(&pinentry);
    let mut agent = stage.agent_command(&[]);
    agent.env_remove("SECRETSD_PINENTRY");
    stage.spawn_agent(agent);
    until("the approver waits", || stage.approvers() == 1);
    let asking = stage.ask(&["get", "KEY"]);
    shown(&stage);
    stage.press("Answer");
    let (code, out, err) = stage.end(asking);
    assert_eq!((code, out.trim_end()), (0, VALUE), "{err}\n{}", stage.agent_says());
    assert!(stage.noted().contains("SETDESC Reveal KEY to "), "{}", stage.noted());
}

#[test]
fn where_nobody_shows_notifications_nobody_waits_for_an_answer() {
    const TEST: &str = "where_nobody_shows_notifications_nobody_waits_for_an_answer";
    if lacks(TEST, &NEEDED) {
        return;
    }
    let mut stage = Stage::new();
    let agent = stage.agent_command(&[]);
    stage.spawn_agent(agent);
    until("it says so", || stage.agent_says().contains("nobody shows notifications"));
    assert_eq!(stage.approvers(), 0);
    let start = Instant::now();
    let asking = stage.ask(&["--wait", "20", "get", "KEY"]);
    assert_eq!(stage.end(asking).0, 3);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // One that comes later shows what waits.
    stage.dunst(0);
    until("the approver waits", || stage.approvers() == 1);
    until("what waits is shown", || stage.displayed() == "1");
}

#[test]
fn a_real_pinentry_takes_the_passphrase() {
    const TEST: &str = "a_real_pinentry_takes_the_passphrase";
    if lacks(TEST, &NEEDED) || lacks(TEST, &["pinentry-gtk-2", "xdotool"]) {
        return;
    }
    let mut stage = Stage::new();
    stage.dunst(0);
    stage.agent(&[("SECRETSD_PINENTRY", "/usr/bin/pinentry-gtk-2")]);
    let asking = stage.ask(&["get", "KEY"]);
    shown(&stage);
    stage.press("Answer");
    let xdotool = |words: &[&str]| {
        let mut command = stage.command("xdotool");
        process::run(command.args(words), b"").1
    };
    until("the window is there", || {
        !xdotool(&["search", "--onlyvisible", "--class", "pinentry"]).stdout.is_empty()
    });
    let window = xdotool(&["search", "--onlyvisible", "--class", "pinentry"]).stdout;
    let window = String::from_utf8(window).unwrap().lines().next().unwrap().to_owned();
    xdotool(&["windowfocus", "--sync", &window]);
    xdotool(&["type", PASSPHRASE]);
    xdotool(&["key", "Return"]);
    let (code, out, err) = stage.end(asking);
    assert_eq!((code, out.trim_end()), (0, VALUE), "{err}\n{}", stage.agent_says());
}
