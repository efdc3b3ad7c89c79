//! A fenced command is a command like any other: its streams, its end, signals and the terminal; and what keeps it from being
//! fenced in.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::terminal::Terminal;
use serde_json::Value;

use crate::place::{Place, run};

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes of which this is a word of the command line.
fn processes_with(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|part| part == word.as_bytes())).count()
}

#[test]
fn streams_and_the_end_are_the_commands() {
    let Some(place) = Place::new("streams_and_the_end_are_the_commands") else { return };
    let mut command =
        place.command(&[], &["sh", "-c", "read line; echo \"out $line\"; echo error >&2; exit 7"]);
    let (_, output) = process::run(&mut command, b"in\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "out in\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error\n");
    assert_eq!(output.status.code(), Some(7));
    let mut command = place.command(&[], &["sh", "-c", "kill -USR1 $$"]);
    let (_, output) = process::run(&mut command, b"");
    assert_eq!(output.status.signal(), Some(Signal::USR1.as_raw()));
    for (words, code) in [(&["no-such-program"][..], 127), (&["/etc/passwd"], 126), (&["true"], 0)] {
        assert_eq!(place.run(words).code, Some(code), "{words:?}");
    }
}

#[test]
fn a_script_without_a_first_line_runs_as_elsewhere() {
    let Some(place) = Place::new("a_script_without_a_first_line_runs_as_elsewhere") else { return };
    let script = place.write("script", "echo \"script $1\"\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(place.run(&["./script", "ran"]).out(), "script ran\n");
}

#[test]
fn a_signal_reaches_the_command_and_nothing_outlives_the_fence() {
    let Some(place) = Place::new("a_signal_reaches_the_command_and_nothing_outlives_the_fence") else {
        return;
    };
    // One that handles it decides itself.
    let script = "trap 'echo handled; exit 9' TERM; echo ready; while :; do read line; done";
    let mut command = place.command(&[], &["bash", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    process::signal(child.id(), Signal::TERM);
    assert_eq!(lines.next().unwrap().unwrap(), "handled");
    assert_eq!(process::wait(&mut child, DEADLINE).code(), Some(9));

    // What it has left in the background ends with it, and all of it with us, also without a word.
    for (signal, number) in
        [(Signal::TERM, 100_001 + std::process::id()), (Signal::KILL, 200_001 + std::process::id())]
    {
        let number = number.to_string();
        let script = format!("setsid sleep {number} & echo ready; exec sleep {number}");
        let mut command = place.command(&[], &["sh", "-c", &script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        wait_until("the fence", || processes_with(&number) == 2);
        process::signal(child.id(), signal);
        assert_eq!(process::wait(&mut child, DEADLINE).signal(), Some(signal.as_raw()));
        wait_until("the end of all in the fence", || processes_with(&number) == 0);
    }
}

#[test]
fn a_signal_to_its_group_stays_in_the_fence() {
    let Some(place) = Place::new("a_signal_to_its_group_stays_in_the_fence") else { return };
    let inner = place.command(&[], &["sh", "-c", "kill -TERM 0; exit 3"]);
    // The script around it is in the group of what it starts.
    let mut script = place.world.env.command("setsid");
    script
        .args(["sh", "-c", "\"$@\"; echo \"after $?\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args());
    script
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(&place.project);
    let output = run(&mut script);
    assert_eq!(output.out(), "after 143\n", "{}", output.err());
}

#[test]
fn what_was_left_open_is_closed_and_the_environment_names_no_socket() {
    let test = "what_was_left_open_is_closed_and_the_environment_names_no_socket";
    let Some(place) = Place::new(test) else { return };
    let inner = place.command(&[], &["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; env"]);
    let mut outer = Command::new("sh");
    outer
        .args(["-c", "exec 7</etc/passwd; exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args());
    outer.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer.current_dir(&place.project).stdin(Stdio::null());
    let gone = [
        "SSH_AUTH_SOCK",
        "DBUS_SESSION_BUS_ADDRESS",
        "DISPLAY",
        "TMUX",
        "DOCKER_HOST",
        "TMPDIR",
        "SECRETSD_SOCKET",
    ];
    outer.envs(gone.map(|name| (name, "/nowhere")));
    outer.env("SECRETSD_SOCKET", place.world.env.socket());
    outer.env("AGENT_BY_ANOTHER_NAME", format!("unix:{}", place.world.env.socket().display()));
    let output = run(&mut outer);
    let out = output.out();
    // The last is the directory that is listed.
    assert!(out.starts_with("0 1 2 3 "), "{out}{}", output.err());
    let names: Vec<&str> = out.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    for name in gone.iter().filter(|name| **name != "TMPDIR").chain(&["AGENT_BY_ANOTHER_NAME"]) {
        assert!(!names.contains(name), "{name}");
    }
    assert!(out.contains("\nTMPDIR=/tmp\n"), "{out}");
}

#[test]
fn the_terminal_is_the_commands() {
    let Some(place) = Place::new("the_terminal_is_the_commands") else { return };
    let shell = place.command(&[], &[]);
    let words: Vec<String> = std::iter::once(shell.get_program())
        .chain(shell.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let authority = place.world.authority.pem.display().to_string();
    let project = place.project.display().to_string();
    let start = format!("cd {project}; export SSL_CERT_FILE={authority} PS1='> '\n");
    let fenced = |script: &str| format!("{} {script}\n", words.join(" "));
    let mut terminal = Terminal::run(&place.world.env, &["bash", "--norc", "--noediting", "-i"]);
    terminal.type_keys(&start);
    // Keys, and Ctrl-C, which ends what a shell waits for.
    terminal.type_keys(&fenced("sed -u s/^/got-/"));
    terminal.type_keys("keys\n");
    terminal.wait_for("got-keys");
    terminal.type_keys("\u{3}");
    terminal.wait_for("> ");
    terminal.type_keys("echo status-$?\n");
    terminal.wait_for("status-130");
    // Ctrl-Z and fg.
    terminal.type_keys(&fenced("sh -c 'echo be''gun; read line; echo line-$line; stty size'"));
    terminal.wait_for("begun");
    terminal.type_keys("\u{1a}");
    terminal.wait_for("Stopped");
    terminal.resize(33, 77);
    terminal.type_keys("fg\n");
    terminal.wait_for("stty size'\r\n");
    terminal.type_keys("more\n");
    terminal.wait_for("line-more");
    terminal.wait_for("33 77");
    // A shell inside has jobs of its own.
    terminal.type_keys(&fenced("bash --norc --noediting -i"));
    terminal.wait_for("-i\r\n");
    terminal.type_keys("echo in''side; sleep 100\n");
    terminal.wait_for("inside\r\n");
    terminal.wait_until("Stopped", "\u{1a}");
    // Its prompt, before anything else is typed.
    terminal.wait_for("> ");
    terminal.type_keys("fg\n");
    terminal.wait_for("sleep 100\r\n");
    terminal.wait_until("> ", "\u{3}");
    terminal.type_keys("exit 5\n");
    terminal.wait_for("exit\r\n");
    terminal.wait_for("> ");
    terminal.type_keys("echo status-$?\n");
    terminal.wait_for("status-5");
    // What reads the keys without being asked at the start gets them when it does.
    terminal.type_keys(&fenced("sh -c 'echo ask''ed; read line; echo pipe-$line' | cat"));
    terminal.wait_for("asked");
    terminal.type_keys("x\n");
    terminal.wait_for("pipe-x");
    terminal.type_keys("exit\n");
}

#[test]
fn it_is_refused_where_it_would_protect_nothing() {
    let Some(place) = Place::new("it_is_refused_where_it_would_protect_nothing") else { return };
    let env = &place.world.env;
    let from = |dir: &std::path::Path, arguments: &[&str]| {
        let mut command = place.command(arguments, &["touch", "ran"]);
        run(command.current_dir(dir))
    };
    let (home, data) = (env.path("home"), env.data_dir());
    let link = place.project.join("link");
    std::os::unix::fs::symlink(env.path(""), &link).unwrap();
    for dir in [std::path::Path::new("/"), &home, std::path::Path::new("/tmp"), &env.path(""), &data] {
        let output = from(dir, &[]);
        assert_eq!(output.code, Some(125), "{}: {}", dir.display(), output.err());
        assert!(output.err().contains("cannot build the fence"), "{}", output.err());
        assert!(!dir.join("ran").exists());
    }
    for dir in [
        "/",
        "/proc",
        "/dev",
        "/sys",
        "/run",
        "/nowhere",
        "/etc/passwd",
        home.to_str().unwrap(),
        link.to_str().unwrap(),
    ] {
        let output = from(&place.project, &["--write", dir]);
        assert_eq!(output.code, Some(125), "{dir}: {}", output.err());
    }
    assert!(!place.project.join("ran").exists());
    // `--write` is no fence.
    let output = place.world.run_with(&["-s", "KEY", "--write", "/tmp"], &["true"]);
    assert_eq!(output.code, Some(2), "{}", output.err());
}

#[test]
fn without_what_it_needs_there_is_no_fence_and_no_command() {
    let Some(place) = Place::new("without_what_it_needs_there_is_no_fence_and_no_command") else { return };
    let env = &place.world.env;
    let bin = env.private_dir("bin");
    // All but bubblewrap.
    for name in ["unshare", "sh", "mount", "touch"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join(name))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), bin.join(name)).unwrap();
    }
    let attempt = || {
        let mut command = place.command(&[], &["touch", "ran"]);
        run(command.env("PATH", &bin))
    };
    let doctor = || {
        let mut doctor = env.command(env.programs().client);
        let (_, output) = process::run(doctor.args(["doctor", "--json"]).env("PATH", &bin), b"");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = found["findings"].as_array().unwrap().clone();
        all.into_iter().find(|finding| finding["check"] == "fence").unwrap()
    };
    let output = attempt();
    assert_eq!(
        (output.code, output.err().contains("bubblewrap is not installed")),
        (Some(125), true),
        "{}",
        output.err()
    );
    assert!(doctor()["fix"].as_str().unwrap().contains("install bubblewrap"));
    // One that cannot, says why, and is told.
    let script = "#!/bin/sh\n[ \"$1\" != --version ] || { echo bubblewrap 0.8.0; exit; }\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n";
    let program = bin.join("bwrap");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = attempt();
    assert_eq!(output.code, Some(125));
    assert!(output.err().contains("No permissions to create new namespace"), "{}", output.err());
    assert!(output.err().contains("secretctl doctor"), "{}", output.err());
    assert_eq!(doctor()["level"], "warning");
    // Others could have put it there.
    std::fs::set_permissions(&bin, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let output = attempt();
    assert_eq!(
        (output.code, output.err().contains("could have been put there")),
        (Some(125), true),
        "{}",
        output.err()
    );
    assert!(!place.project.join("ran").exists());
    std::io::stderr().flush().unwrap();
}
