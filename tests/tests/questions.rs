//! Several commands on one terminal, and one vault on several: one question at a time, nobody waits for what has
//! happened, and the terminal is as it was when the last one has ended.

use rustix::process::Signal;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::skip;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, process, programs};
use serde_json::json;

const QUESTION: &str = "passphrase of the vault: ";

fn locked() -> Env {
    let env = Env::unlocked(programs!());
    env.store("A", "value-of-a");
    env.store("B", "value-of-b");
    lock(&env);
    env
}

fn lock(env: &Env) {
    env.post("/vault/lock", &json!({})).expect(200);
}

/// A shell that has no line editor, which would set modes of its own.
fn shell(env: &Env) -> Terminal {
    let mut shell = Terminal::run(env, &["sh"]);
    shell.type_keys("PS1='go''> '\r");
    shell.wait_for("go> ");
    shell
}

/// Types the passphrase, as a person does: one key after another.
fn answer(terminal: &mut Terminal) {
    for key in PASSPHRASE.chars() {
        terminal.type_keys(&key.to_string());
        std::thread::yield_now();
    }
    terminal.type_keys("\r");
}

#[track_caller]
fn assert_asked(shell: &Terminal, times: usize) {
    let shown = shell.shown();
    assert_eq!(shown.matches(QUESTION).count(), times, "{shown}");
    assert!(!shown.contains("wrong") && !shown.contains(PASSPHRASE), "{shown}");
}

#[test]
fn commands_that_start_together_ask_once_and_leave_the_terminal_as_it_was() {
    let env = locked();
    let run = format!("'{}' run -s", env.programs().client);
    let makefile: String = (1..5).map(|n| format!("t{n}:; @{run} A -- echo did-$@\n")).collect();
    env.private_file("home/Makefile", format!("all: t1 t2 t3 t4\n{makefile}"));
    let script = format!("for i in 1 2 3; do {run} A -- echo did-$i & done; wait\n");
    env.private_file("home/script", script);
    for (line, did) in [
        (format!("{run} A -- echo did-1 | {run} B -- sh -c 'cat; echo did-2'"), 2),
        ("make --no-print-directory -j4 -f home/Makefile all".to_owned(), 4),
        (format!("seq 3 | xargs -P3 -I% {run} A -- echo did-%"), 3),
        ("sh home/script".to_owned(), 3),
        (format!("{run} A --mask -- echo did-1 | {run} B --file A -- sh -c 'cat; echo did-2'"), 2),
    ] {
        lock(&env);
        let mut shell = shell(&env);
        let before = shell.modes();
        shell.type_keys(&format!("{line}; echo en''ded:$?\r"));
        shell.wait_for(QUESTION);
        answer(&mut shell);
        shell.wait_for("ended:0");
        assert_asked(&shell, 1);
        let shown = shell.shown();
        let lines = shown.lines().filter(|line| line.contains("did-") && !line.contains("run")).count();
        assert_eq!(lines, did, "{line}: {shown}");
        assert_eq!(shell.modes(), before, "{line}");
    }
}

#[test]
fn a_question_ends_when_the_vault_is_opened_elsewhere() {
    let env = locked();
    let client = env.programs().client;
    let mut first = shell(&env);
    let before = first.modes();
    first.type_keys(&format!("'{client}' run -s A -- echo did''-1; echo en''ded:$?\r"));
    first.wait_for(QUESTION);
    let mut second = shell(&env);
    second.type_keys(&format!("'{client}' run -s A -- echo did''-2\r"));
    second.wait_for(QUESTION);
    answer(&mut second);
    second.wait_for("did-2");
    first.wait_for("\r\nsecretctl: unlocked by another command\r\n");
    first.wait_for("did-1");
    first.wait_for("ended:0");
    assert_eq!(first.modes(), before);
}

#[test]
fn when_the_one_that_asks_ends_the_next_one_asks() {
    let env = locked();
    let client = env.programs().client;
    for signal in [Signal::KILL, Signal::TERM, Signal::HUP] {
        lock(&env);
        let mut shell = shell(&env);
        let before = shell.modes();
        let script = format!(
            "'{client}' run -s A -- echo did-1 & '{client}' run -s B -- echo did-2 & wait; echo waited; sleep 600"
        );
        env.private_file("home/script", script);
        shell.type_keys("exec sh home/script\r");
        shell.wait_for(QUESTION);
        let asking = asking(&shell);
        process::signal(asking, signal);
        shell.wait_for(QUESTION);
        answer(&mut shell);
        shell.wait_for("did-");
        shell.wait_for("waited");
        assert_asked(&shell, 2);
        assert_eq!(shell.modes(), before, "{signal:?}");
    }
}

/// The child that has the terminal's lock.
fn asking(shell: &Terminal) -> u32 {
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let holders = locks.lines().filter_map(|line| line.split_whitespace().nth(4)?.parse().ok());
    let children = shell.children();
    holders.into_iter().find(|holder| children.contains(holder)).expect("nobody asks")
}

#[test]
fn a_stopped_pipeline_gives_the_terminal_back_and_asks_once_when_it_goes_on() {
    let env = locked();
    let client = env.programs().client;
    let mut shell = Terminal::run(&env, &["bash", "--norc", "--noprofile", "--noediting", "-i"]);
    let before = shell.modes();
    shell.type_keys(&format!(
        "'{client}' run -s A -- echo did-1 | '{client}' run -s B -- sh -c 'cat; echo did-2'\r"
    ));
    shell.wait_for(QUESTION);
    shell.type_keys("corr\x1a");
    shell.wait_for("Stopped");
    shell.wait_for_echo(true);
    // The stopped ones do not keep the terminal from others.
    shell.type_keys(&format!("'{client}' list --json\r"));
    shell.wait_for(QUESTION);
    shell.type_keys("\x03");
    shell.wait_for_echo(true);
    shell.type_keys("fg\r");
    shell.wait_for(QUESTION);
    answer(&mut shell);
    shell.wait_for("did-2");
    shell.wait_for_echo(true);
    assert_asked(&shell, 3);
    assert_eq!(shell.modes(), before);
}

#[test]
fn ctrl_c_ends_all_that_wait() {
    let env = locked();
    let client = env.programs().client;
    let run = format!("'{client}' run -s A --");
    let targets: String = (1..4).map(|n| format!("t{n}:; @{run} echo did-$@\n")).collect();
    env.private_file("home/Makefile", format!("all: t1 t2 t3\n{targets}"));
    for line in
        [format!("{run} echo did | {run} cat | {run} cat"), "make -j3 -f home/Makefile all".to_owned()]
    {
        let mut shell = shell(&env);
        let before = shell.modes();
        shell.type_keys(&format!("{line}\r"));
        shell.wait_for(QUESTION);
        shell.type_keys("\x03");
        shell.wait_for("go> ");
        shell.type_keys("echo a''gain\r");
        shell.wait_for("again");
        assert_asked(&shell, 1);
        assert_eq!(shell.modes(), before, "{line}");
        assert!(!shell.shown().contains("did\r"), "{}", shell.shown());
    }
}

#[test]
fn other_questions_wait_for_one_another_too() {
    let env = locked();
    let client = env.programs().client;
    // The pipes are for what comes out; what is asked for is typed.
    let line = format!(
        "'{client}' set C < /dev/tty 2>/dev/null & '{client}' passwd & '{client}' rm --purge B & wait; echo en''ded:$?"
    );
    env.private_file("home/script", line);
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let mut shell = Terminal::run(
        &env,
        &["bash", "--norc", "--noprofile", "-c", "trap : INT; read x; . home/script < /dev/tty"],
    );
    let before = shell.modes();
    shell.type_keys("\r");
    let mut told = 0;
    for _ in 0..5 {
        // In any order; but what belongs together comes together.
        let end = std::time::Instant::now() + process::DEADLINE;
        let questions =
            ["value: ", "present passphrase: ", "new passphrase: ", "repeat it: ", "versions? [y/N] "];
        let (at, question) = loop {
            let shown = shell.shown();
            let found = questions
                .iter()
                .filter_map(|question| Some((shown[told..].find(question)?, *question)))
                .min();
            if let Some(found) = found {
                break found;
            }
            assert!(std::time::Instant::now() < end, "{shown}");
            std::thread::yield_now();
        };
        told += at + question.len();
        // Nobody else has asked in between.
        assert!(shell.shown()[told..].is_empty(), "{}", shell.shown());
        shell.type_keys(match question {
            "value: " => "canary-value\r",
            "versions? [y/N] " => "y\r",
            "present passphrase: " => "correct horse battery staple\r",
            _ => "another horse battery staple\r",
        });
        if question == "repeat it: " {
            shell.wait_for("passphrase changed");
        }
    }
    shell.wait_for("ended:0");
    assert!(!shell.shown().contains("canary") && !shell.shown().contains(PASSPHRASE), "{}", shell.shown());
    assert_eq!(shell.modes(), before);
    assert_eq!(env.value("C"), "canary-value");
    let names = env.get("/user/secrets").expect(200).to_string();
    assert!(!names.contains("\"B\""), "{names}");
}

#[test]
fn what_is_checked_beside_a_question_leaves_its_modes_alone() {
    let env = locked();
    let client = env.programs().client;
    let file = env.private_file("home/passphrase", PASSPHRASE);
    let mut shell = shell(&env);
    let before = shell.modes();
    let file = file.display();
    let script = format!(
        "'{client}' run -s A -- echo did-1 & read x < home/fifo; '{client}' unlock --passphrase-file '{file}'; wait; echo waited; sleep 600"
    );
    env.private_file("home/script", script);
    assert!(env.command("mkfifo").arg("home/fifo").status().unwrap().success());
    shell.type_keys("exec sh home/script\r");
    shell.wait_for(QUESTION);
    std::fs::write(env.path("home/fifo"), "\n").unwrap();
    shell.wait_for("did-1");
    shell.wait_for("waited");
    assert_eq!(shell.modes(), before);
}

#[test]
fn a_masked_command_beside_a_question_leaves_its_modes_alone() {
    let env = locked();
    let client = env.programs().client;
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let mut shell = shell(&env);
    let before = shell.modes();
    assert!(env.command("mkfifo").arg("home/fifo").status().unwrap().success());
    let script = format!(
        "'{client}' set C < /dev/tty & read x < home/fifo; '{client}' run -s A --mask -- echo did-1; wait; echo waited; sleep 600"
    );
    env.private_file("home/script", script);
    shell.type_keys("exec sh home/script\r");
    shell.wait_for("value: ");
    std::fs::write(env.path("home/fifo"), "\n").unwrap();
    shell.wait_for("did-1");
    shell.type_keys("canary-value\r");
    shell.wait_for("waited");
    assert!(!shell.shown().contains("canary"), "{}", shell.shown());
    assert_eq!(env.value("C"), "canary-value");
    assert_eq!(shell.modes(), before);
}

#[test]
fn a_terminal_of_another_user_is_asked_on_once_too() {
    let su = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let name = "a_terminal_of_another_user_is_asked_on_once_too";
    if !std::process::Command::new(su[0])
        .args(&su[1..])
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        return skip(name, "setpriv needs root");
    }
    let env = Env::new(programs!());
    for program in [env.programs().client, env.programs().daemon] {
        std::fs::copy(program, env.path("home").join(program.rsplit('/').next().unwrap())).unwrap();
    }
    env.private_file("home/passphrase", PASSPHRASE);
    assert!(env.command("chown").args(["-R", "65534:65534", "."]).status().unwrap().success());
    let client = env.path("home/secretctl").display().to_string();
    let mut shell = Terminal::run(&env, &[&su[..], &["sh"]].concat());
    shell.type_keys("PS1='go''> '\r");
    shell.wait_for("go> ");
    shell.type_keys(&format!(
        "'{client}' init --passphrase-file home/passphrase && echo v | '{client}' set A; '{client}' lock\r"
    ));
    shell.wait_for("vault locked");
    let before = shell.modes();
    shell.type_keys(&format!("'{client}' run -s A -- echo did-1 | '{client}' run -s A -- cat\r"));
    shell.wait_for(QUESTION);
    answer(&mut shell);
    shell.wait_for("did-1");
    shell.wait_for("go> ");
    assert_asked(&shell, 1);
    assert_eq!(shell.modes(), before);
}
