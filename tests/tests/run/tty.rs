//! `run` at a terminal with real programs: what a person sees and does is as without it, but for the values.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::process;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::json;

use crate::{KEY, VALUE, assert_not_shown, stored};

/// A shell with job control on a terminal, which runs `run` with these words and then tells its status.
fn shell(env: &Env, run: &str) -> Terminal {
    let mut shell = Terminal::run(env, &["bash", "--norc", "--noprofile", "-i"]);
    shell.resize(24, 80);
    shell.type_keys("PS1='ou''ter> '; bind 'set enable-bracketed-paste off'\r");
    shell.wait_for("outer> ");
    let (client, line) = (env.programs().client, run);
    shell.type_keys(&format!("'{client}' run {line}; echo en''ded:$?\r"));
    shell
}

#[test]
fn a_shell_inside_has_job_control_and_shows_no_value() {
    let env = stored();
    let mut shell = shell(&env, "-s A,KEY --mask -- bash --norc --noprofile -i");
    shell.type_keys("PS1='in''ner> '; bind 'set enable-bracketed-paste off'\r");
    shell.wait_for("inner> ");
    assert!(!shell.shown().contains("no job control"), "{}", shell.shown());
    shell.type_keys("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all-t''tys\r");
    shell.wait_for("all-ttys");
    shell.type_keys("echo \"<$A>\"; echo \"$KEY\"; echo \"$A\" | base64; echo sh''own\r");
    shell.wait_for("<••••>");
    shell.wait_for("shown");
    shell.type_keys("echo go; sleep 600\r");
    shell.wait_for("\ngo");
    // The sleep may not have the foreground yet.
    shell.wait_until("Stopped", "\x1a");
    shell.wait_for("inner> ");
    shell.type_keys("fg\r");
    shell.wait_for("sleep 600");
    shell.wait_until("inner> ", "\x03");
    shell.type_keys("echo st:$?\r");
    shell.wait_for("st:130");
    shell.type_keys("stty size\r");
    shell.wait_for("24 80");
    shell.resize(30, 100);
    shell.wait_until("30 100", "stty size\r");
    // The shell inside stops, and so does what is around it.
    shell.type_keys("suspend\r");
    shell.wait_for("Stopped");
    shell.wait_for("outer> ");
    shell.type_keys("fg\r");
    shell.wait_until("again", "echo ag''ain\r");
    shell.type_keys("exit 9\r");
    // The list after the stopped command was given up by the shell.
    shell.wait_for("outer> ");
    shell.type_keys("echo st:$?\r");
    shell.wait_for("st:9");
    assert_not_shown(shell.shown().as_bytes());
}

#[test]
fn a_program_is_stopped_continued_and_interrupted_by_keys() {
    let env = stored();
    for way in ["-s A --mask", "--file A", "--file A --mask", "-s A"] {
        let mut shell = shell(
            &env,
            &format!(
                "{way} -- sh -c 'trap \"echo got''-int\" INT; echo re''ady; while ! read x; do :; done; echo \"read:$x\"; exit 4'"
            ),
        );
        shell.wait_for("ready");
        shell.type_keys("\x1a");
        shell.wait_for("Stopped");
        shell.wait_for("outer> ");
        let outer = shell.foreground();
        shell.type_keys("fg\r");
        // Before, Ctrl-C would be the shell's.
        shell.wait_for_foreground(|group| group != outer);
        shell.type_keys("\x03");
        shell.wait_for("got-int");
        shell.type_keys("a line\r");
        shell.wait_for("read:a line");
        shell.wait_for("outer> ");
        shell.type_keys("echo st:$?\r");
        shell.wait_for("st:4");
        assert_eq!(shell.shown().matches("got-int").count(), 1, "{way}: {}", shell.shown());
        let mut shell = self::shell(&env, &format!("{way} -- sh -c 'echo re''ady; exec sleep 600'"));
        shell.wait_for("ready");
        shell.type_keys("\x03");
        // Ended by the signal itself; the shell gives the rest of its line up.
        shell.wait_for("outer> ");
        shell.type_keys("echo en''ded:$?\r");
        shell.wait_for("ended:130");
    }
}

#[test]
fn ctrl_c_ends_the_loop_or_script_around_a_command() {
    let env = stored();
    let client = env.programs().client;
    for way in ["-s A --mask", "--file A", "--file A --mask", "-s A"] {
        let run = format!("'{client}' run {way} -- sh -c 'echo re\"\"ady; exec sleep 600'");
        for line in [
            format!("for i in 1 2 3; do {run}; echo went''-on; done"),
            format!("bash -c \"{}; echo went''-on\"", run.replace('"', "\\\"")),
            format!("{run}; echo went''-on"),
        ] {
            let mut shell = Terminal::run(&env, &["bash", "--norc", "--noprofile", "-i"]);
            shell.type_keys("PS1='go''> '\r");
            shell.wait_for("go> ");
            shell.type_keys(&format!("{line}\r"));
            shell.wait_for("ready");
            shell.type_keys("\x03");
            shell.wait_for("go> ");
            shell.type_keys("echo st:$?\r");
            shell.wait_for("st:130");
            assert!(!shell.shown().contains("went-on"), "{line}: {}", shell.shown());
        }
    }
}

#[test]
fn a_password_prompt_hides_what_is_typed() {
    let env = stored();
    let mut terminal = Terminal::ctl(
        &env,
        &["run", "-s", "A", "--mask", "--", "bash", "-c", "read -s -p 'password: ' x; echo; echo got:${#x}"],
    );
    terminal.wait_for("password: ");
    terminal.type_keys("hidden-word\r");
    terminal.expect(0, "got:11");
    assert!(!terminal.shown().contains("hidden"), "{}", terminal.shown());
    assert!(terminal.echoes());
}

#[test]
fn an_editor_and_a_pager_work_and_show_no_value() {
    let env = stored();
    let text = format!("first line\napi = {VALUE}\n{KEY}last line\n");
    let file = env.private_file("home/text", &text);
    let path = file.to_str().unwrap();
    let mut terminal =
        Terminal::ctl(&env, &["run", "-s", "A,KEY", "--mask", "--", "vim", "-u", "NONE", "-N", path]);
    terminal.wait_for("first line");
    terminal.wait_for("last line");
    terminal.type_keys("ggxx:s/rst/second/\r:wq\r");
    assert!(terminal.wait().success(), "{}", terminal.shown());
    assert_not_shown(terminal.shown().as_bytes());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text.replace("first", "second"));
    let mut terminal = Terminal::ctl(&env, &["run", "-s", "A,KEY", "--mask", "--", "less", path]);
    terminal.wait_for("last line");
    terminal.type_keys("q");
    assert!(terminal.wait().success());
    assert!(terminal.shown().contains("••••"));
    assert_not_shown(terminal.shown().as_bytes());
    assert!(terminal.echoes());
}

#[test]
fn a_part_of_a_pipeline_leaves_the_terminal_to_the_others() {
    let env = stored();
    let client = env.programs().client;
    let mut shell = Terminal::run(&env, &["bash", "--norc", "--noprofile"]);
    shell.type_keys("PS1='go''> '\r");
    shell.wait_for("go> ");
    let script = "printf \"%s\\n\" \"$A\"; printf \"E%s\\n\" \"$A\" >&2; [ -t 2 ] && echo tty >&2";
    shell.type_keys(&format!("'{client}' run -s A --mask -- sh -c '{script}' | (read x; echo \"[$x]\")\r"));
    shell.wait_for("\r\ntty\r\n");
    shell.wait_for("go> ");
    // Two streams, whose lines come in any order.
    for line in ["E••••\r\n", "[••••]\r\n"] {
        assert!(shell.shown().contains(line), "{}", shell.shown());
    }
    shell
        .type_keys(&format!("cat | '{client}' run -s A --mask -- sh -c '[ -t 1 ] && echo re\"\"ady; cat'\r"));
    shell.wait_for("ready");
    shell.type_keys("typed\r");
    shell.wait_for("typed\r\ntyped\r\n");
    shell.type_keys("\x04");
    shell.wait_for("go> ");
    assert_not_shown(shell.shown().as_bytes());
}

#[test]
fn a_pager_or_editor_that_reads_from_a_pipe_gets_the_keys() {
    let env = stored();
    let client = env.programs().client;
    let mut shell = Terminal::run(&env, &["bash", "--norc", "--noprofile", "--noediting", "-i"]);
    shell.resize(10, 80);
    shell.type_keys("PS1='go''> '\r");
    shell.wait_for("go> ");
    let before = shell.modes();
    let lines = "for i in $(seq 100); do echo li''ne$i $A; done";
    shell.type_keys(&format!(
        "A='{}'; {lines} | '{client}' run -s A --mask -- less\r",
        VALUE.replace('"', "")
    ));
    shell.wait_for("line9");
    // Each key at once, and no line.
    shell.wait_for_echo(false);
    shell.type_keys("G");
    shell.wait_for("(END)");
    // A key between what the pager shows and its next read can be lost.
    shell.wait_until("Stopped", "\x1a");
    shell.wait_for("go> ");
    assert_eq!(shell.modes(), before);
    shell.type_keys("fg\r");
    shell.wait_for("line100");
    shell.wait_for_echo(false);
    shell.wait_until("line1 ", "g");
    shell.type_keys("q");
    shell.wait_for("go> ");
    shell.wait_for_echo(true);
    assert_eq!(shell.modes(), before);
    shell.type_keys(&format!("seq 5 | '{client}' run -s A --mask -- vim -u NONE -N -; echo st''=$?\r"));
    shell.wait_for("5");
    shell.wait_for_echo(false);
    shell.wait_until("st=3", "\x1b:cq 3\r");
    shell.wait_for_echo(true);
    assert_eq!(shell.modes(), before);
    // What reads no single keys leaves them to the others in the pipeline.
    shell.type_keys(&format!("cat | '{client}' run -s A --mask -- sh -c 'read x; echo got:$x'\r"));
    shell.type_keys("a line\r");
    shell.wait_for("got:a line");
    shell.type_keys("\x04");
    shell.wait_for("go> ");
    shell.type_keys(&format!("seq 100 | '{client}' run -s A --mask -- less\r"));
    shell.wait_for("\n5");
    shell.wait_for_echo(false);
    process::signal(*shell.children().last().unwrap(), Signal::TERM);
    shell.wait_for("go> ");
    shell.wait_for_echo(true);
    assert_eq!(shell.modes(), before);
}

#[test]
fn what_was_started_in_the_background_has_the_modes_of_the_foreground() {
    let env = stored();
    let client = env.programs().client;
    // With its line editor, whose modes are not those of a command.
    let mut shell = Terminal::run(&env, &["bash", "--norc", "--noprofile", "-i"]);
    shell.type_keys("PS1='go''> '; bind 'set enable-bracketed-paste off'\r");
    shell.wait_for("go> ");
    shell
        .type_keys(&format!("'{client}' run -s A --mask -- sh -c 'echo re\"\"ady; cat; echo en\"\"ded' &\r"));
    shell.wait_for("ready");
    let outer = shell.foreground();
    shell.type_keys("fg\r");
    shell.wait_for_foreground(|group| group != outer);
    shell.wait_until("typed\r\ntyped\r\n", "typed\r");
    shell.type_keys("\x04");
    shell.wait_for("ended");
    shell.wait_for("go> ");
}

#[test]
fn what_is_left_in_the_background_stays_if_it_needs_no_terminal() {
    let env = stored();
    assert!(env.command("mkfifo").arg("home/fifo").status().unwrap().success());
    let inner = "echo > home/fifo; while [ ! -e home/go ]; do sleep 0.02; done; echo did > home/out";
    // Not before the signal of the hangup is ignored.
    let script = format!("nohup sh -c '{inner}' > /dev/null 2>&1 & read x < home/fifo; echo done");
    let mut terminal = Terminal::ctl(&env, &["run", "-s", "A", "--mask", "--", "sh", "-c", &script]);
    terminal.expect(0, "done");
    env.private_file("home/go", "");
    let end = Instant::now() + process::DEADLINE;
    while std::fs::read(env.path("home/out")).unwrap_or_default() != b"did\n" {
        assert!(Instant::now() < end, "it was ended");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_terminal_is_given_back_however_it_ends() {
    let env = stored();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        // A shell without a line editor, which would set modes of its own.
        let mut shell = Terminal::run(&env, &["sh"]);
        let client = env.programs().client;
        shell.type_keys(&format!(
            "PS1=; '{client}' run -s A --mask -- sh -c 'echo re\"\"ady; exec sleep 600'; echo en''ded:$?\r"
        ));
        shell.wait_for("ready");
        shell.wait_for_echo(false);
        process::signal(shell.last_child(), signal);
        if signal == Signal::INT {
            // The shell gives the rest of its line up.
            shell.wait_for_echo(true);
            shell.type_keys("echo en''ded:$?\r");
        }
        shell.wait_for(&format!("ended:{code}"));
        assert!(shell.echoes(), "{signal:?}");
    }
}

#[test]
fn what_keeps_the_terminal_open_does_not_keep_us() {
    let env = stored();
    let start = Instant::now();
    let script = "setsid sleep 20 & echo done";
    let mut terminal = Terminal::ctl(&env, &["run", "-s", "A", "--mask", "--", "sh", "-c", script]);
    terminal.expect(0, "done");
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_locked_vault_is_opened_at_the_terminal_and_the_input_is_the_commands() {
    let env = stored();
    for way in ["-s A", "--file A", "-s A --mask"] {
        env.post("/vault/lock", &json!({})).expect(200);
        let mut shell = Terminal::run(&env, &["sh"]);
        let client = env.programs().client;
        shell.type_keys(&format!(
            "PS1=; printf 'in''put\\n' | '{client}' run {way} -- cat; echo en''ded:$?\r"
        ));
        shell.wait_for("passphrase of the vault: ");
        shell.type_keys(&format!("{PASSPHRASE}\r"));
        shell.wait_for("input");
        shell.wait_for("ended:0");
        assert!(shell.echoes());
        assert!(!shell.shown().contains(PASSPHRASE));
    }
    env.post("/vault/lock", &json!({})).expect(200);
    let mut shell = Terminal::run(&env, &["sh"]);
    shell.type_keys(&format!(
        "PS1=; '{}' run -s A --mask -- sh -c 'trap \"exit 7\" TERM; echo re\"\"ady; while :; do sleep 0.02; done'; echo en''ded:$?\r",
        env.programs().client
    ));
    shell.wait_for("passphrase of the vault: ");
    shell.type_keys(&format!("{PASSPHRASE}\r"));
    // The signals are the command's now, and no longer the question's.
    shell.wait_for("ready");
    process::signal(shell.last_child(), Signal::TERM);
    shell.wait_for("ended:7");
}

#[test]
fn a_locked_vault_without_a_terminal_is_a_quick_failure() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    env.post("/vault/lock", &json!({})).expect(200);
    for way in [&["-s", "A"][..], &["--file", "A"], &["-s", "A", "--mask"]] {
        let start = Instant::now();
        let output = env.ctl([&["run"], way, &["--", "true"]].concat()).run();
        output.assert_code(125);
        assert!(output.err().contains("secretctl unlock"), "{}", output.err());
        assert!(start.elapsed() < Duration::from_secs(5), "a second, on a machine that does nothing else");
    }
}
