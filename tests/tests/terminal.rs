//! `secretctl` on a terminal: what a person types is never shown, never half taken, and never left to the shell.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::Signal;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::skip;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, process, programs};
use serde_json::json;

const VALUE: &str = "canary-typed-value";

/// A key derivation that takes long enough to type something meanwhile.
const SLOW_KDF: &str = "[kdf]\nmemory_kib = 262144\npasses = 12\nlanes = 1\n";

fn locked(settings: &str) -> Env {
    let mut env = Env::new(programs!());
    env.settings(settings);
    env.start();
    env.init();
    env.post("/vault/lock", &json!({})).expect(200);
    env
}

#[track_caller]
fn assert_nothing_stored(env: &Env) {
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
}

#[test]
fn a_value_is_asked_for_and_never_shown() {
    let env = Env::unlocked(programs!());
    let mut terminal = Terminal::ctl(&env, &["set", "A"]);
    terminal.wait_for("value: ");
    assert!(!terminal.echoes());
    terminal.type_keys(&format!("{VALUE}\r"));
    terminal.expect(0, "stored A");
    assert!(terminal.echoes());
    assert!(!terminal.shown().contains("canary"), "{}", terminal.shown());
    assert_eq!(env.value("A"), VALUE);
}

#[test]
fn a_paste_of_several_lines_stores_nothing_and_leaves_nothing_to_the_shell() {
    let env = Env::unlocked(programs!());
    for (open, close) in [("", ""), ("\x1b[200~", "\x1b[201~")] {
        let mut shell = Terminal::run(&env, &["sh"]);
        shell.type_keys(&format!("PS1=; '{}' set A; echo ended:$?\r", env.programs().client));
        shell.wait_for("value: ");
        shell.type_keys(&format!("{open}canary-one\r\rcanary-two\rcanary-three\r{close}"));
        shell.wait_for("more than one line was pasted; nothing was stored; use --value-file FILE");
        shell.wait_for("ended:1");
        // Whatever was left in the terminal would come before this.
        shell.type_keys("echo at$((1+1))last\r");
        shell.wait_for("at2last");
        assert!(!shell.shown().contains("canary"), "{}", shell.shown());
        assert!(shell.echoes());
        assert_nothing_stored(&env);
    }
}

#[test]
fn pastes_are_marked_while_a_question_is_open_and_a_lines_end_may_come_along() {
    let env = Env::unlocked(programs!());
    let mut terminal = Terminal::ctl(&env, &["set", "A"]);
    terminal.wait_for("\x1b[?2004h");
    terminal.wait_for("value: ");
    terminal.type_keys(&format!("\x1b[200~{VALUE}\r\x1b[201~\r"));
    terminal.wait_for("\x1b[?2004l");
    terminal.expect(0, "stored A");
    assert_eq!(env.value("A"), VALUE);
}

#[test]
fn what_is_typed_while_a_passphrase_is_checked_is_not_shown_and_not_taken() {
    let env = locked(SLOW_KDF);
    let mut terminal = Terminal::ctl(&env, &["unlock"]);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys("wrong\r");
    terminal.wait_for("checking…");
    assert!(!terminal.echoes());
    terminal.type_keys("canary-too-early\r");
    terminal.wait_for("try again");
    // Had it been taken as the second answer, this would be the third question.
    terminal.wait_for("passphrase of the vault: ");
    assert!(!terminal.echoes());
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.wait_for("checking…");
    terminal.expect(0, "vault unlocked");
    assert!(terminal.echoes());
    assert!(!terminal.shown().contains("canary"), "{}", terminal.shown());
    assert_eq!(terminal.shown().matches("passphrase of the vault").count(), 2);
}

#[test]
fn three_wrong_passphrases_are_enough_and_the_way_out_is_named() {
    let env = locked(secretsd_tests::env::CHEAP_KDF);
    let mut terminal = Terminal::ctl(&env, &["unlock"]);
    for _ in 0..3 {
        terminal.wait_for("passphrase of the vault: ");
        terminal.type_keys("wrong\r");
    }
    terminal.expect(5, "three wrong passphrases; if it is lost: secretctl unlock --recovery-key-file FILE");
}

#[test]
fn a_signal_gives_the_terminal_back_and_ends_the_program() {
    let env = Env::unlocked(programs!());
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        // A shell, because a terminal whose session's leader ends is reset by the kernel.
        let mut shell = Terminal::run(&env, &["sh"]);
        shell.type_keys(&format!("PS1='g'o:; '{}' set A\r", env.programs().client));
        shell.wait_for("value: ");
        assert!(!shell.echoes());
        process::signal(shell.last_child(), signal);
        shell.wait_for("\x1b[?2004l");
        shell.wait_for("go:");
        assert!(shell.echoes(), "{signal:?}");
        shell.type_keys("echo ended:$?\r");
        shell.wait_for(&format!("ended:{}", 128 + signal.as_raw()));
    }
    let env = locked(SLOW_KDF);
    let mut shell = Terminal::run(&env, &["sh"]);
    shell.type_keys(&format!("PS1=; '{}' unlock; echo ended:$?\r", env.programs().client));
    shell.wait_for("passphrase of the vault: ");
    shell.type_keys("wrong\r");
    shell.wait_for("checking…");
    process::signal(shell.last_child(), Signal::TERM);
    shell.wait_for("ended:143");
    assert!(shell.echoes());
    // The daemon is still at it; the key for it works as well.
    let mut terminal = Terminal::ctl(&env, &["unlock"]);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys("wrong\r");
    terminal.wait_for("checking…");
    terminal.type_keys("\x03");
    assert_eq!(terminal.wait().signal(), Some(Signal::INT.as_raw()));
}

#[test]
fn ctrl_c_interrupts_and_ctrl_d_cancels() {
    let env = Env::unlocked(programs!());
    let mut terminal = Terminal::ctl(&env, &["set", "A"]);
    terminal.wait_for("value: ");
    terminal.type_keys("canary\x03");
    assert_eq!(terminal.wait().signal(), Some(Signal::INT.as_raw()));
    assert!(terminal.echoes());

    let mut terminal = Terminal::ctl(&env, &["set", "A"]);
    terminal.wait_for("value: ");
    terminal.type_keys("\x04");
    terminal.expect(1, "cancelled; nothing was stored");

    let mut terminal = Terminal::ctl(&env, &["set", "A"]);
    terminal.wait_for("value: ");
    // Nobody could continue it: it leads its session.
    terminal.type_keys("a\x1a\tb\r");
    terminal
        .expect(1, "the input has a tab or another control character; nothing was stored; use --value-file");
    assert_nothing_stored(&env);

    env.post("/vault/lock", &json!({})).expect(200);
    let mut terminal = Terminal::ctl(&env, &["list"]);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys("\x04");
    terminal.expect(1, "cancelled; nothing was done, the vault stays locked");
}

#[test]
fn a_terminal_of_an_outer_pid_namespace_is_one_like_any_other() {
    let outside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !Command::new(outside[0]).args(&outside[1..]).arg("true").status().is_ok_and(|status| status.success())
    {
        return skip(
            "a_terminal_of_an_outer_pid_namespace_is_one_like_any_other",
            "unshare --pid needs root",
        );
    }
    let env = Env::unlocked(programs!());
    // Its process group and session are `unshare`'s, which have no number in there.
    let mut terminal = Terminal::run(&env, &[&outside[..], &[env.programs().client, "set", "A"]].concat());
    terminal.wait_for("value: ");
    assert!(!terminal.echoes());
    terminal.type_keys("a\x1a\tb\r");
    terminal
        .expect(1, "the input has a tab or another control character; nothing was stored; use --value-file");
    assert!(terminal.echoes());
    assert_nothing_stored(&env);
}

#[test]
fn a_stopped_question_is_asked_again_without_echo() {
    let env = Env::unlocked(programs!());
    let mut shell = Terminal::run(&env, &["bash", "--norc", "--noprofile", "--noediting", "-i"]);
    for (round, stop) in ["by key", "by signal"].into_iter().enumerate() {
        let name = format!("A{round}");
        shell.type_keys(&format!("'{}' set {name}\r", env.programs().client));
        shell.wait_for("value: ");
        assert!(!shell.echoes());
        if stop == "by key" {
            shell.type_keys("forgotten\x1a");
        } else {
            process::signal(shell.last_child(), Signal::STOP);
        }
        shell.wait_for("Stopped");
        shell.wait_for_echo(true);
        shell.type_keys("fg\r");
        shell.wait_for("value: ");
        shell.wait_for_echo(false);
        shell.type_keys(&format!("{VALUE}\r"));
        shell.wait_for(&format!("stored {name}"));
        shell.wait_for_echo(true);
        assert_eq!(env.value(&name), VALUE, "{stop}");
    }
    assert!(!shell.shown().contains("canary"), "{}", shell.shown());
}

#[test]
fn init_asks_again_until_both_are_the_same_and_warns_of_a_short_one() {
    let env = Env::started(programs!());
    let mut terminal = Terminal::ctl(&env, &["init"]);
    for (question, answer) in [
        ("new passphrase: ", PASSPHRASE),
        ("repeat it: ", "another"),
        ("they differ; try again", ""),
        ("new passphrase: ", "short"),
        ("that is short: anyone with the vault file could guess it; use it anyway? [y/N] ", "n\r"),
        ("new passphrase: ", "sh0rt"),
        ("use it anyway? [y/N] ", "y\r"),
        ("repeat it: ", "sh0rt"),
    ] {
        terminal.wait_for(question);
        let answer = answer.trim_end();
        if question.ends_with(' ') {
            terminal.type_keys(&format!("{answer}\r"));
        }
    }
    terminal.expect(0, "write down its recovery key");
    env.post("/vault/lock", &json!({})).expect(200);
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin("sh0rt").expect(0);
}

#[test]
fn three_passphrases_that_differ_make_no_vault() {
    let env = Env::started(programs!());
    let mut terminal = Terminal::ctl(&env, &["init"]);
    for _ in 0..3 {
        terminal.wait_for("new passphrase: ");
        terminal.type_keys(&format!("{PASSPHRASE}\r"));
        terminal.wait_for("repeat it: ");
        terminal.type_keys("another\r");
    }
    terminal.expect(7, "nothing was created");
    assert_eq!(env.state(), "uninitialized");
}

#[test]
fn what_cannot_be_done_is_said_before_a_value_is_asked_for() {
    let env = Env::unlocked(programs!());
    env.store("OPENAI_API_KEY", "x");
    env.post("/vault/lock", &json!({})).expect(200);
    let mut terminal = Terminal::ctl(&env, &["add", "openai_api_key"]);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    let taken = "OPENAI_API_KEY already exists; replace its value with: secretctl set OPENAI_API_KEY";
    terminal.expect(6, taken);
    assert!(!terminal.shown().contains("value: "));
    for (arguments, code, message) in [
        (["add", "OPENAI_API_KEY"], 6, taken),
        (["preset", "openai"], 6, taken),
        (["preset", "foo"], 7, "no such provider; see: secretctl presets"),
        (["update", "NOPE"], 4, "no such secret: NOPE"),
    ] {
        let mut terminal = Terminal::ctl(&env, &arguments);
        terminal.expect(code, message);
        assert!(!terminal.shown().contains("value: "), "{arguments:?}");
    }
    // The same without anybody at a terminal.
    let output = env.ctl(["add", "OPENAI_API_KEY"]).stdin("y").run();
    output.assert_code(6);
    assert!(output.err().contains(taken), "{}", output.err());
}
