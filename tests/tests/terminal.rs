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
        shell.wait_for("more than one line was pasted; nothing was stored\r\n\x1b[1;32mwrite:\x1b[0m secretctl set A < FILE");
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
    terminal.expect(
        5,
        "three wrong passphrases, the vault stays locked; if the passphrase is lost, use the recovery key\r\n\x1b[1;32mfix:\x1b[0m secretctl unlock --recovery",
    );
}

#[test]
fn a_recovery_key_may_be_mistyped_and_nothing_typed_is_asked_again() {
    let mut env = Env::new(programs!());
    env.settings(secretsd_tests::env::CHEAP_KDF);
    env.start();
    let made = env.post("/vault/init", &json!({ "passphrase": PASSPHRASE })).expect(201);
    let key = made["recovery_key"].as_str().unwrap();
    env.post("/vault/lock", &json!({})).expect(200);
    let mut terminal = Terminal::ctl(&env, &["unlock", "--recovery"]);
    for (typed, said) in
        [("", "nothing was typed; try again"), ("not a key", "usually in 14 groups of 4; try again")]
    {
        terminal.wait_for("recovery key: ");
        assert!(!terminal.echoes());
        terminal.type_keys(&format!("{typed}\r"));
        terminal.wait_for(said);
    }
    terminal.wait_for("recovery key: ");
    terminal.type_keys(&format!("{key}\r"));
    terminal.expect(0, "vault unlocked");
    assert!(!terminal.shown().contains(key));
    // As with the passphrase.
    env.post("/vault/lock", &json!({})).expect(200);
    let mut terminal = Terminal::ctl(&env, &["unlock"]);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys("\r");
    terminal.wait_for("nothing was typed; try again");
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.expect(0, "vault unlocked");
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
    terminal.expect(1, "the input has a tab or another control character; nothing was stored\r\n");
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
    terminal.expect(1, "the input has a tab or another control character; nothing was stored\r\n");
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
        // Typed twice by habit, and once more: none of it is shown.
        ("repeat it: ", "short"),
        ("that is short: anyone with the vault file could guess it; use it anyway? [y/N] ", "canary"),
        ("choose a longer one", ""),
        ("new passphrase: ", "sh0rt"),
        ("repeat it: ", "sh0rt"),
        ("use it anyway? [y/N] ", "y"),
        ("y\r\n", ""),
    ] {
        terminal.wait_for(question);
        let answer = answer.trim_end();
        if question.ends_with(' ') {
            terminal.type_keys(&format!("{answer}\r"));
        }
    }
    terminal.wait_for("its last group, ");
    terminal.type_keys("no\r");
    terminal.wait_for("that is not its last group");
    terminal.wait_for("its last group, ");
    let key = recovery_key(&terminal);
    terminal.type_keys(&format!("{}\r", key.rsplit('-').next().unwrap().to_lowercase()));
    terminal.expect(0, "next: secretctl import .env");
    assert!(!terminal.shown().contains("canary"), "{}", terminal.shown());
    env.post("/vault/lock", &json!({})).expect(200);
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin("sh0rt").expect(0);
    // The key itself, without a file and without an echo.
    env.post("/vault/lock", &json!({})).expect(200);
    for line in [&["unlock", "--recovery"][..], &["unlock", "--recovery-key-file", "-"]] {
        env.post("/vault/lock", &json!({})).expect(200);
        let mut terminal = Terminal::ctl(&env, line);
        terminal.wait_for("recovery key: ");
        assert!(!terminal.echoes());
        terminal.type_keys(&format!("{key}\r"));
        terminal.expect(0, "vault unlocked");
        assert!(!terminal.shown().contains(&key), "{}", terminal.shown());
    }
}

/// The recovery key that was shown.
fn recovery_key(terminal: &Terminal) -> String {
    let shown = terminal.shown();
    let (_, after) = shown.split_once("shown only once:\r\n").unwrap();
    after.lines().next().unwrap().to_owned()
}

#[test]
fn enter_alone_makes_a_passphrase_of_six_words_that_is_asked_back() {
    let env = Env::started(programs!());
    let mut terminal = Terminal::ctl(&env, &["init", "--yes"]);
    terminal.wait_for("new passphrase: ");
    terminal.type_keys("\r");
    terminal.wait_for("it is shown only once:\r\n");
    terminal.wait_for("repeat it: ");
    let shown = terminal.shown();
    let (_, after) = shown.split_once("shown only once:\r\n").unwrap();
    let made = after.lines().next().unwrap().to_owned();
    assert_eq!(made.split(' ').count(), 6, "{made}");
    terminal.type_keys("another\r");
    terminal.wait_for("they differ; try again");
    terminal.wait_for("repeat it: ");
    terminal.type_keys(&format!("{made}\r"));
    // With --yes nobody is asked for the recovery key's last group.
    terminal.expect(0, "next: secretctl import .env, or secretctl set NAME");
    assert_eq!(terminal.shown().matches(&made).count(), 1);
    env.post("/vault/lock", &json!({})).expect(200);
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin(made).expect(0);
}

#[test]
fn a_passphrase_may_be_mistyped_twice_when_it_is_changed() {
    let env = Env::unlocked(programs!());
    let mut terminal = Terminal::ctl(&env, &["passwd"]);
    for typed in ["wrong", "wr0ng", PASSPHRASE] {
        terminal.wait_for("present passphrase: ");
        terminal.type_keys(&format!("{typed}\r"));
    }
    for question in ["new passphrase: ", "repeat it: "] {
        terminal.wait_for(question);
        terminal.type_keys("another battery staple\r");
    }
    terminal.expect(0, "passphrase changed");
    let mut terminal = Terminal::ctl(&env, &["passwd"]);
    for _ in 0..3 {
        terminal.wait_for("present passphrase: ");
        terminal.type_keys("wrong\r");
    }
    terminal.expect(5, "three wrong passphrases, nothing was changed");
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
    let told = "OPENAI_API_KEY already exists\r\n\x1b[1;32mfix:\x1b[0m secretctl set OPENAI_API_KEY";
    terminal.expect(6, told);
    assert!(!terminal.shown().contains("value: "));
    for (arguments, code, message) in [
        (["add", "OPENAI_API_KEY"], 6, told),
        (["preset", "openai"], 6, told),
        (["preset", "foo"], 7, "no such provider\r\n\x1b[1;32msee:\x1b[0m secretctl presets"),
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

#[test]
fn long_tables_go_through_a_pager_and_values_never_do() {
    let env = Env::unlocked(programs!());
    for number in 0..30 {
        env.store(&format!("KEY_{number}"), &format!("{VALUE}\n").repeat(40));
    }
    let client = env.programs().client;
    let script = |rows: u16, pager: &str, line: &str| {
        let script = format!("stty rows {rows} cols 80; {pager} '{client}' {line}; echo en''ded:$?");
        let mut terminal = Terminal::run(&env, &["sh", "-c", &script]);
        terminal.wait_for("ended:0");
        terminal.shown()
    };
    let mark = "SECRETCTL_PAGER='sed s/^/paged:/'";
    for line in ["list", "audit", "run --help"] {
        let shown = script(20, mark, line);
        assert!(shown.contains("\r\npaged:"), "{line}: {shown}");
        // Nothing is paged that fits, or where no pager is wanted.
        assert!(!script(2000, mark, line).contains("paged:"), "{line}");
        assert!(!script(20, "SECRETCTL_PAGER= PAGER='sed s/^/paged:/'", line).contains("paged:"), "{line}");
        assert!(!script(20, mark, &format!("{line} | cat")).contains("paged:"), "{line}");
    }
    assert!(script(20, "PAGER='sed s/^/paged:/'", "list").contains("paged:"));
    // One that is not there shows nothing, so that we do.
    assert!(script(20, "PAGER=no-such-pager", "list").contains("KEY_29"));
    // Whatever prints a value, a pager could keep it: in the file of what was searched for, or in one that is saved.
    env.private_file("template", "{{ secret:KEY_0 }}");
    for line in [
        "get KEY_0 --show",
        "export --all --show",
        "export --all --show --format json",
        "inject -i template --show",
    ] {
        let shown = script(20, mark, line);
        assert!(shown.contains(VALUE) && !shown.contains("paged:"), "{line}: {shown}");
    }
}

#[test]
fn ctrl_c_is_for_the_pager() {
    let env = Env::unlocked(programs!());
    for number in 0..30 {
        env.store(&format!("KEY_{number}"), "value");
    }
    let pager =
        "trap : INT; cat >/dev/null; echo stan''ds; read x </dev/tty; read x </dev/tty; echo pager-en''ded";
    env.private_file("home/pager", pager);
    let script = format!(
        "stty rows 20 cols 80; trap : INT; PAGER='sh home/pager' '{}' list; echo all-en''ded:$?",
        env.programs().client
    );
    let mut terminal = Terminal::run(&env, &["sh", "-c", &script]);
    terminal.wait_for("stands");
    terminal.type_keys("\x03");
    terminal.wait_until("pager-ended", "\r");
    terminal.expect(0, "all-ended:0");
}

#[test]
fn a_new_recovery_key_is_asked_back_and_a_token_on_the_screen_is_warned_of() {
    let env = Env::unlocked(programs!());
    let unconfirmed = |env: &Env| {
        let list = env.get("/vault/keys").expect(200);
        list["keys"].as_array().unwrap().iter().filter(|key| key["unconfirmed"] == true).count()
    };
    let before = unconfirmed(&env);
    // Three times wrong: the key is there, and told as one that perhaps nobody has.
    let mut terminal = Terminal::ctl(&env, &["key", "add", "--recovery"]);
    for _ in 0..3 {
        terminal.wait_for("its last group, the 4 characters after the last dash: ");
        terminal.type_keys("no\r");
        terminal.wait_for("that is not its last group");
    }
    terminal
        .expect(0, "the recovery key is not confirmed; if you don't have it: secretctl key add --recovery");
    assert_eq!(unconfirmed(&env), before + 1);
    let mut terminal = Terminal::ctl(&env, &["key", "add", "--recovery"]);
    terminal.wait_for("its last group, ");
    let key = recovery_key(&terminal);
    terminal.type_keys(&format!("{}\r", key.rsplit('-').next().unwrap()));
    terminal.expect(0, "which nobody had confirmed");
    assert_eq!(unconfirmed(&env), 0);
    // With --yes nobody is asked.
    Terminal::ctl(&env, &["key", "add", "--recovery", "--yes"]).expect(0, "shown only once:");
    let mut terminal = Terminal::ctl(&env, &["rotate"]);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.wait_for("its last group, ");
    let (_, key) = terminal
        .shown()
        .rsplit_once("shown only once:\r\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let key = key.lines().next().unwrap().to_owned();
    terminal.type_keys(&format!("{}\r", key.rsplit('-').next().unwrap()));
    assert!(terminal.wait().success());
    assert_eq!(unconfirmed(&env), 0);

    let mut terminal = Terminal::ctl(&env, &["token", "create", "--name", "ci", "--scope", "list"]);
    terminal
        .expect(0, "the token stays on this screen and in what it scrolled past: clear both; --output FILE");
    let output = env.ctl(["token", "create", "--name", "cd", "--scope", "list"]).run();
    output.assert_code(0);
    assert!(!output.err().contains("stays on this screen"), "{}", output.err());
}

#[test]
fn a_recovery_key_that_is_malformed_is_told_from_a_wrong_one() {
    let env = locked(secretsd_tests::env::CHEAP_KDF);
    let mut terminal = Terminal::ctl(&env, &["unlock", "--recovery"]);
    for typed in ["too-short", &"0".repeat(56), &"7".repeat(56)] {
        terminal.wait_for("recovery key: ");
        terminal.type_keys(&format!("{typed}\r"));
    }
    terminal.expect(5, "three wrong recovery keys, the vault stays locked");
    let shown = terminal.shown();
    assert!(shown.contains("56 letters and digits, usually in 14 groups of 4; try again"), "{shown}");
    assert!(shown.contains("the recovery key has a typing error: its checksum does not match"), "{shown}");
    assert!(!shown.contains("too-short") && !shown.contains("777"), "{shown}");
}
