//! Masked output that is no terminal.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use secretsd_tests::Env;
use secretsd_tests::process::{self, DEADLINE};

use crate::{KEY, VALUE, assert_not_shown, stored};

#[test]
fn real_encoders_are_masked_and_the_rest_is_untouched() {
    let env = stored();
    for script in [
        "printf %s \"$A\"",
        "env",
        "printf %s \"$A\" | base64",
        "printf 'x%s' \"$KEY\" | base64",
        "printf 'xy%sz' \"$KEY\" | base64 -w0",
        "printf 'x%s' \"$KEY\" | openssl base64",
        "printf %s \"$KEY\" | xxd -p",
        "printf %s \"$A\" | xxd -p -u -c 7",
        "printf %s \"$A\" | od -An -v -tx1",
        "python3 -c 'import json,os; print(json.dumps(dict(os.environ)))'",
        "python3 -c 'import json,os; print(json.dumps(os.environ[\"A\"], ensure_ascii=False))'",
        "python3 -c 'import urllib.parse,os; print(urllib.parse.quote(os.environ[\"A\"]))'",
        "python3 -c 'import urllib.parse,os; print(urllib.parse.urlencode({\"k\": os.environ[\"KEY\"]}))'",
        "python3 -c 'import base64,os; print(base64.urlsafe_b64encode(os.environb[b\"A\"]).decode())'",
        "printf %s \"$KEY\" | grep --color=always -n M",
    ] {
        let script = format!("echo before; {script}; echo; echo after");
        let output = env.ctl(["run", "-s", "A,KEY", "--mask", "--", "sh", "-c", &script]).run();
        output.assert_code(0);
        assert_not_shown(&output.stdout);
        let shown = output.out();
        assert!(shown.starts_with("before\n") && shown.ends_with("after\n"), "{shown}");
        assert!(shown.contains("••••"), "{script}: {shown}");
    }
}

#[test]
fn stdout_and_stderr_stay_apart_and_stdin_is_passed_on() {
    let env = stored();
    let script = "cat; printf '%s|' \"$A\" >&2; [ ! -t 1 ] && [ ! -t 2 ]";
    let output =
        env.ctl(["run", "-s", "A", "--mask", "--", "sh", "-c", script]).stdin(format!("<{VALUE}>")).run();
    output.assert_code(0);
    assert_eq!((output.out().as_str(), output.err().as_str()), ("<••••>", "••••|"));
}

#[test]
fn files_are_masked_too_and_short_values_are_named() {
    let env = stored();
    env.store("SHORT", "1234567");
    let script = "cat $KEY; echo $SHORT";
    let output = env.ctl(["run", "--file", "KEY", "-s", "SHORT", "--mask", "--", "sh", "-c", script]).run();
    output.assert_code(0);
    assert_eq!(output.out(), "••••1234567\n");
    assert!(output.err().contains("not masked, shorter than 8 characters: SHORT\n"), "{}", output.err());
}

#[test]
fn of_files_with_a_structure_what_is_secret_is_masked() {
    let env = Env::unlocked(secretsd_tests::programs!());
    let account = r#"{
  "type": "service_account",
  "private_key_id": "0c1d2e3f4a5b6c7d8e9f0a1b",
  "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvAIBADANBgkq\n-----END PRIVATE KEY-----\n",
  "token_uri": "https://oauth2.googleapis.com/token"
}
"#;
    let config = "apiVersion: v1\nclusters:\n- cluster:\n    server: https://10.0.0.1:6443\n  name: production\nusers:\n\
                  - name: kubernetes-admin\n  user:\n    token: a-token-of-the-admin\n";
    env.store("ACCOUNT", account);
    env.store("CONFIG", config);
    env.store("PIN", "12345678");
    let run = |script: &str, stdin: &str| {
        let command = ["run", "--all", "--mask", "--", "sh", "-c", script];
        let output = env.ctl(command).stdin(stdin).run();
        output.assert_code(0);
        output.out()
    };
    // Other files of the same kinds.
    let others = "  \"type\": \"service_account\",\n  \"token_uri\": \"https://oauth2.googleapis.com/token\"\n\
                  apiVersion: v1\n- cluster:\n  name: production\n- name: kubernetes-admin\n\
                  -----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
    assert_eq!(run("cat; seq 1 9", others), format!("{others}1\n2\n3\n4\n5\n6\n7\n8\n9\n"));
    let python = |expression: &str| {
        format!("python3 -c 'import json,os; a=json.loads(os.environ[\"ACCOUNT\"]); {expression}'")
    };
    assert_eq!(run(&python("print(a[\"private_key_id\"])"), ""), "••••\n");
    assert_eq!(run(&python("print(a[\"private_key\"].split()[3])"), ""), "••••\n");
    assert_eq!(
        run(&python("del a[\"private_key_id\"]; print(json.dumps(a))"), ""),
        "{\"type\": \"service_account\", \"private_key\": \"••••\", \"token_uri\": \"https://oauth2.googleapis.com/token\"}\n"
    );
    assert_eq!(run("printf '%s' \"$CONFIG\" | sed -n 's/.*token: //p'", ""), "••••\n");
    assert_eq!(run("printf '%s' \"$CONFIG\"; printf %s \"$ACCOUNT\"; echo $PIN", ""), "••••••••••••\n");
}

#[test]
fn a_secret_that_need_not_be_masked_is_shown_and_no_other() {
    let env = stored();
    env.store("STAGE", "production");
    env.store("STAGE_2", "staging-2");
    let script = "echo $STAGE $STAGE_2 \"$A\"";
    let run = |unmasked: &str| {
        let output =
            env.ctl(["run", "--all", "--mask", "--no-mask-for", unmasked, "--", "sh", "-c", script]).run();
        output.assert_code(0);
        (output.out(), output.err())
    };
    assert_eq!(run("STAGE").0, "production •••• ••••\n");
    assert_eq!(run("STAGE*").0, "production staging-2 ••••\n");
    let (out, err) = run("STAGE_3");
    assert_eq!(out, "•••• •••• ••••\n");
    assert!(err.contains("--no-mask-for STAGE_3: no selected secret"), "{err}");
    // Without a mask it would promise what is not so.
    let output = env.ctl(["run", "--all", "--no-mask-for", "STAGE", "--", "true"]).run();
    output.assert_code(2);
    assert!(output.err().contains("add that"), "{}", output.err());
}

#[test]
fn what_may_begin_a_value_does_not_wait_long() {
    let env = stored();
    let mut command = env.command(env.programs().client);
    command.args(["run", "-s", "A", "--mask", "--", "sh", "-c", "printf '.sk-can'; cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0];
    stdout.read_exact(&mut first).unwrap();
    let (start, mut rest) = (Instant::now(), [0; 6]);
    stdout.read_exact(&mut rest).unwrap();
    let took = start.elapsed();
    assert_eq!((&first, &rest), (b".", b"sk-can"));
    // A loaded machine is given some time to wake up.
    assert!(took < Duration::from_millis(500), "{took:?}");
    // What comes then is the rest of a value that began there.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{}!", &VALUE[6..]).as_bytes()).unwrap();
    drop(stdin);
    let mut shown = String::new();
    stdout.read_to_string(&mut shown).unwrap();
    assert_eq!(shown, "••••!");
    assert!(process::wait(&mut child, DEADLINE).success());
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_it_would_without_us() {
    let env = stored();
    let line =
        format!("'{}' run -s A --mask -- yes | head -1; echo ${{PIPESTATUS[0]}}", env.programs().client);
    let mut command = env.command("bash");
    let (_, output) = process::run(command.args(["-c", &line]), b"");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "y\n141\n");
}

#[test]
fn output_that_cannot_be_written_is_told_and_is_no_success() {
    let env = stored();
    let run = format!("'{}' run -s A --mask --", env.programs().client);
    let sh = |line: &str| {
        let mut command = env.command("bash");
        let (_, output) = process::run(command.args(["-c", line]), b"");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let full = "secretctl: cannot write the command's output: No space left on device\n";
    for (command, code) in
        [("sh -c 'echo small'", 125), ("sh -c 'echo small; exit 3'", 3), ("seq 100000", 141)]
    {
        let (status, message) = sh(&format!("{run} {command} > /dev/full"));
        assert_eq!((status, message.as_str()), (code, full), "{command}");
    }
    // The other stream goes on.
    let (status, message) = sh(&format!("{run} sh -c 'echo small; echo other >&2' > /dev/full"));
    assert_eq!(status, 125);
    assert!(message.contains("other\n") && message.contains(full), "{message}");
    // A limit on files is an error of the same kind, which must not end us before the command.
    let (status, message) = sh(&format!("ulimit -f 1; {run} head -c 1500 /dev/zero > home/large"));
    assert_eq!(status, 125, "{message}");
    assert_eq!(message, "secretctl: cannot write the command's output: File too large\n");
    // Without a reader a command ends by SIGPIPE.
    assert!(env.command("mkfifo").arg("home/fifo").status().unwrap().success());
    let gone = format!(
        "{run} sh -c 'read x < home/fifo; echo small' | (exec 0<&-; echo > home/fifo); echo ${{PIPESTATUS[0]}} >&2"
    );
    assert_eq!(sh(&gone).1, "141\n");
}

#[test]
fn what_ends_us_by_a_timer_or_a_limit_ends_the_command() {
    let env = stored();
    for way in ["-s A --mask", "--file A", "-s A"] {
        for signal in ["ALRM", "VTALRM", "PROF", "XCPU", "XFSZ"] {
            let line = format!(
                "'{}' run {way} -- sh -c 'echo ready > home/fifo; exec sleep 600' & read x < home/fifo; kill -{signal} $!; wait $!; echo $(($? - 128)) $(kill -l {signal})",
                env.programs().client
            );
            std::fs::remove_file(env.path("home/fifo")).ok();
            assert!(env.command("mkfifo").arg("home/fifo").status().unwrap().success());
            let mut command = env.command("bash");
            let (_, output) = process::run(command.args(["-c", &line]), b"");
            let shown = String::from_utf8(output.stdout).unwrap();
            let (status, number) = shown.trim().split_once(' ').unwrap();
            assert_eq!(status, number, "{way} {signal}");
            assert!(
                !std::fs::read_dir(env.runtime_dir()).unwrap().any(|entry| entry
                    .unwrap()
                    .path()
                    .join("A")
                    .exists()),
                "{way} {signal}"
            );
        }
        // What the kernel sends was for the command too.
        let mut command = env.command("perl");
        let script = format!(
            "alarm 1; exec '{}', 'run', split(/ /, '{way}'), '--', 'sleep', '600'",
            env.programs().client
        );
        let (_, output) = process::run(command.args(["-e", &script]), b"");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(14), "{way}");
    }
}

#[test]
fn megabytes_are_passed_on_whole() {
    let env = stored();
    let script = "i=0; while [ $i -lt 8 ]; do head -c 262144 /dev/zero; printf %s \"$KEY\"; i=$((i+1)); done";
    let output = env.ctl(["run", "-s", "KEY", "--mask", "--", "sh", "-c", script]).run();
    output.assert_code(0);
    assert_eq!(output.stdout.len(), 8 * (262_144 + "••••".len()));
    assert_not_shown(&output.stdout);
    assert!(!output.out().contains(KEY));
}

#[test]
fn what_stays_in_the_background_does_not_keep_us() {
    let env = stored();
    let start = Instant::now();
    let script = "sleep 20 & echo done";
    let output = env.ctl(["run", "-s", "A", "--mask", "--", "sh", "-c", script]).run();
    output.assert_code(0);
    assert_eq!(output.out(), "done\n");
    assert!(start.elapsed() < Duration::from_secs(15));
}
