//! `secretctl ui`, and picking secrets for `run`, on a real terminal: tmux shows what a person would see.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use secretsd_tests::harness::skip;
use secretsd_tests::process::DEADLINE;
use secretsd_tests::{Env, process, programs};
use serde_json::json;

const VALUE: &str = "canary-value-on-the-screen";

/// A terminal of this size with a shell on it. Dropping it ends what runs there.
struct Tmux<'a> {
    env: &'a Env,
    socket: PathBuf,
}

impl<'a> Tmux<'a> {
    /// None, said aloud, where there is no tmux.
    fn start(test: &str, env: &'a Env, columns: u16, rows: u16) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip(test, "tmux is not installed");
            return None;
        }
        let tmux = Self { env, socket: env.runtime_dir().join("tmux") };
        let size = [columns.to_string(), rows.to_string()];
        let shell = ["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], "sh"];
        tmux.run(&shell);
        tmux.run(&["set-option", "-g", "set-clipboard", "on"]);
        Some(tmux)
    }

    fn run(&self, words: &[&str]) -> String {
        let mut command: Command = self.env.command("tmux");
        command.arg("-S").arg(&self.socket).args(words).env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        let (_, output) = process::run(&mut command, b"");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a command line of `secretctl`.
    fn ctl(&self, words: &str) {
        self.run(&["send-keys", "-l", &format!("{} {words}", self.env.programs().client)]);
        self.keys(&["Enter"]);
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as wanted and drawn to its end, and gives it.
    #[track_caller]
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        let mut before = String::new();
        loop {
            let screen = self.screen();
            if wanted(&screen) && screen == before {
                return screen;
            }
            before.clone_from(&screen);
            assert!(Instant::now() < end, "{what} is not shown:\n{screen}");
            thread::yield_now();
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let mut command: Command = self.env.command("tmux");
        let _ = command.arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

fn vault() -> Env {
    let env = Env::unlocked(programs!());
    for name in ["ALONE", "AWS_ID", "AWS_KEY"] {
        env.ctl(["set", name]).stdin(format!("{VALUE}-{name}")).expect(0);
    }
    env
}

fn audited(env: &Env, purpose: &str) -> usize {
    let log = env.ctl(["audit", "--json"]).expect(0);
    log.lines().filter(|line| line.contains(&format!("\"purpose\":\"{purpose}\""))).count()
}

#[test]
fn a_value_is_on_the_screen_only_while_a_person_looks_and_is_audited() {
    let env = vault();
    let test = "a_value_is_on_the_screen_only_while_a_person_looks_and_is_audited";
    let Some(tmux) = Tmux::start(test, &env, 80, 24) else { return };
    tmux.ctl("ui");
    let screen = tmux.shows("AWS (2)");
    assert!(!screen.contains(VALUE) && screen.contains("3 secrets"), "{screen}");
    tmux.shows("current");
    assert_eq!(audited(&env, "ui"), 0);
    tmux.keys(&["v"]);
    tmux.shows(&format!("{VALUE}-ALONE"));
    assert_eq!(audited(&env, "ui"), 1);
    tmux.keys(&["x"]);
    tmux.until("no value", |screen| !screen.contains(VALUE) && screen.contains("history"));
    tmux.keys(&["v"]);
    tmux.shows(VALUE);
    // Whatever ends it while a value is shown, nothing of that stays, not even above the screen.
    tmux.keys(&["C-c"]);
    tmux.keys(&["q"]);
    tmux.until("a shell", |screen| !screen.contains("history") && screen.contains("ui"));
    let all = tmux.run(&["capture-pane", "-p", "-S", "-"]);
    assert!(!all.contains("canary"), "{all}");
    // The terminal is as it was.
    tmux.run(&["send-keys", "-l", "echo at$((1+1))last"]);
    tmux.keys(&["Enter"]);
    tmux.shows("at2last");
}

#[test]
fn a_lock_takes_everything_from_the_screen_and_an_unlock_brings_it_back() {
    let env = vault();
    let test = "a_lock_takes_everything_from_the_screen_and_an_unlock_brings_it_back";
    let Some(tmux) = Tmux::start(test, &env, 80, 24) else { return };
    tmux.ctl("ui");
    tmux.shows("3 secrets");
    tmux.keys(&["v"]);
    tmux.shows(VALUE);
    tmux.keys(&["x"]);
    env.post("/vault/lock", &json!({})).expect(200);
    let screen = tmux.shows("the vault is locked");
    assert!(!screen.contains("AWS") && !screen.contains("canary"), "{screen}");
    tmux.keys(&["u"]);
    tmux.shows("passphrase");
    tmux.run(&["send-keys", "-l", secretsd_tests::env::PASSPHRASE]);
    tmux.keys(&["Enter"]);
    tmux.shows("Enter to go back");
    tmux.keys(&["Enter"]);
    tmux.shows("3 secrets");
}

#[test]
fn what_asks_is_shown_and_answered_with_the_passphrase() {
    let env = vault();
    let test = "what_asks_is_shown_and_answered_with_the_passphrase";
    let Some(tmux) = Tmux::start(test, &env, 100, 30) else { return };
    env.ctl(["guard", "ALONE"]).expect(0);
    env.ctl(["get", "ALONE"]).expect(3);
    tmux.ctl("ui");
    tmux.shows("guarded");
    tmux.shows("Reveal ALONE to ");
    // Enter alone is no.
    tmux.keys(&["p"]);
    tmux.shows("[no]:");
    tmux.keys(&["Enter"]);
    tmux.shows("Enter to go back");
    tmux.keys(&["Enter"]);
    tmux.until("nothing asks", |screen| screen.contains("3 secrets") && !screen.contains("Reveal ALONE"));
    assert_eq!(env.get("/approvals/rules").expect(200)["total"], 0);
    // A guarded value that is looked at here asks the person here.
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &json!({ "passphrase": secretsd_tests::env::PASSPHRASE })).expect(200);
    tmux.shows("3 secrets");
    tmux.keys(&["v"]);
    // What is typed before the question is thrown away, and the one from before is still above.
    let screen = tmux.until("a second question", |screen| screen.matches("[no]:").count() == 2);
    assert!(!screen.contains(VALUE), "{screen}");
    tmux.run(&["send-keys", "-l", "once"]);
    tmux.keys(&["Enter"]);
    tmux.shows("passphrase:");
    tmux.run(&["send-keys", "-l", secretsd_tests::env::PASSPHRASE]);
    tmux.keys(&["Enter"]);
    tmux.shows("allowed the reveal of ALONE");
    // What was said before is still above.
    tmux.until("it may go back", |screen| screen.matches("Enter to go back").count() == 2);
    tmux.keys(&["Enter"]);
    tmux.shows(VALUE);
}

#[test]
fn it_ends_when_its_terminal_hangs_up() {
    let env = vault();
    for (before, after) in [("", ""), ("(trap '' HUP; exec ", ")")] {
        let Some(tmux) = Tmux::start("it_ends_when_its_terminal_hangs_up", &env, 80, 24) else { return };
        tmux.run(&["send-keys", "-l", &format!("{before}{} ui{after}", env.programs().client)]);
        tmux.keys(&["Enter"]);
        tmux.shows("3 secrets");
        assert_eq!(running(&env).len(), 1);
        drop(tmux);
        let end = Instant::now() + DEADLINE;
        while !running(&env).is_empty() {
            assert!(Instant::now() < end, "it runs without a terminal");
            thread::yield_now();
        }
    }
}

/// The screens of this daemon that run.
fn running(env: &Env) -> Vec<String> {
    let socket = env.runtime_dir().display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains("secretctl-ui\0browse") && line.contains(&socket)).collect()
}

#[test]
fn history_goes_back_and_the_screen_follows_its_size_and_a_stop() {
    let env = vault();
    let test = "history_goes_back_and_the_screen_follows_its_size_and_a_stop";
    let Some(tmux) = Tmux::start(test, &env, 100, 30) else { return };
    env.ctl(["set", "ALONE"]).stdin("canary-second").expect(0);
    tmux.ctl("ui");
    tmux.shows("current");
    tmux.keys(&["Enter", "Down", "b"]);
    tmux.shows("has the value of version 1 again");
    tmux.keys(&["Enter"]);
    tmux.shows("   3  ");
    assert_eq!(env.value("ALONE"), format!("{VALUE}-ALONE"));
    tmux.keys(&["Escape"]);
    tmux.shows("/ filter");
    // What is stopped gives the terminal back, and takes it again.
    tmux.keys(&["C-z"]);
    tmux.shows("topped");
    tmux.run(&["send-keys", "-l", "fg"]);
    tmux.keys(&["Enter"]);
    tmux.shows("3 secrets");
    tmux.run(&["resize-window", "-x", "60", "-y", "12"]);
    let screen = tmux
        .until("a smaller screen", |screen| screen.lines().nth(9).is_some_and(|line| line.starts_with('└')));
    // The keys are all there, and none is apart from what it does.
    assert!(screen.contains("\na audit · l lock · q"), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 60), "{screen}");
    tmux.keys(&["a"]);
    tmux.shows("rollback");
}

#[test]
fn a_copy_is_in_the_terminals_clipboard_and_audited() {
    let env = vault();
    let Some(tmux) = Tmux::start("a_copy_is_in_the_terminals_clipboard_and_audited", &env, 80, 24) else {
        return;
    };
    tmux.ctl("ui");
    tmux.shows("3 secrets");
    tmux.keys(&["c"]);
    tmux.shows("which is emptied in 30 s");
    assert_eq!(tmux.run(&["show-buffer"]), format!("{VALUE}-ALONE"));
    assert_eq!(audited(&env, "ui"), 1);
}

#[test]
fn run_without_a_selection_lets_a_person_pick() {
    let env = vault();
    let Some(tmux) = Tmux::start("run_without_a_selection_lets_a_person_pick", &env, 80, 24) else { return };
    tmux.ctl("run -- sh -c 'echo got:$AWS_ID:$AWS_KEY:$ALONE:'");
    tmux.shows("Secrets for sh");
    tmux.run(&["send-keys", "-l", "aws"]);
    tmux.shows("filter: aws");
    tmux.keys(&["Up", "Space", "Enter"]);
    let screen = tmux.shows("next time: ");
    assert!(screen.replace('\n', "").contains("secretctl run -s AWS_ID,AWS_KEY -- sh …"), "{screen}");
    let all =
        tmux.until("the values", |screen| screen.replace('\n', "").contains(&format!("{VALUE}-AWS_KEY::")));
    assert!(!all.contains(&format!("{VALUE}-ALONE")), "{all}");
    // Leaving runs nothing.
    tmux.ctl("run -- echo it-ran; echo status:$?");
    tmux.shows("Secrets for echo");
    tmux.keys(&["Escape"]);
    let screen = tmux.shows("status:125");
    assert!(screen.contains("nothing was selected"), "{screen}");
    // Without a terminal nobody is asked.
    let refused = env.ctl(["run", "--", "true"]).run();
    assert!(refused.err().contains("no secrets selected, add -s NAME or --all"), "{}", refused.err());
    assert_eq!(refused.code, Some(2));
}
