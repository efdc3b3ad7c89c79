//! `export`: each format, read by what reads it elsewhere.

use std::collections::BTreeMap;

use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::Value;

use crate::{awkward, has, output_of, python, store_all};

#[test]
fn dotenv_is_read_back_by_dotenvy() {
    let env = Env::unlocked(programs!());
    let stored = store_all(&env, &awkward());
    let text = env.ctl(["export", "--all"]).expect(0);
    let read: Vec<(String, String)> =
        dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().unwrap();
    assert!(read == stored, "dotenvy reads something else");
}

#[test]
fn dotenv_and_shell_are_read_back_by_shells_which_execute_nothing() {
    let env = Env::unlocked(programs!());
    let stored = store_all(&env, &awkward());
    let dump = r#"for name do eval "value=\$$name"; printf '%s=%s\0' "$name" "$value"; done"#;
    let shell = env.ctl(["export", "--all", "--format", "shell"]).run().stdout;
    let script = format!("eval \"$(cat shell)\"\n{dump}");
    std::fs::write(env.path("shell"), shell).unwrap();
    std::fs::write(env.path("dotenv"), env.ctl(["export", "--all"]).run().stdout).unwrap();
    let sourced = format!(". ./dotenv\n{dump}");
    let expected: String = stored.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
    for shell in ["sh", "dash", "bash", "zsh"] {
        if !has("dotenv_and_shell_are_read_back_by_shells_which_execute_nothing", shell) {
            continue;
        }
        for script in [&script, &sourced] {
            let mut words = vec![shell, "-c", script.as_str(), "sh"];
            words.extend(stored.iter().map(|(name, _)| name.as_str()));
            let seen = String::from_utf8(output_of(&env, &words, b"")).unwrap();
            for ((name, value), seen) in stored.iter().zip(seen.split_terminator('\0')) {
                assert!(format!("{name}={value}") == seen, "{shell} reads {name} otherwise: {script}");
            }
            assert!(seen == expected, "{shell}");
        }
    }
    // The shell format exports, so that programs see it.
    let seen = output_of(&env, &["sh", "-c", "eval \"$(cat shell)\"; printenv V1"], b"");
    assert_eq!(String::from_utf8(seen).unwrap(), format!("{}\n", env.value("V1")));
}

#[test]
fn json_is_read_back_by_python() {
    let env = Env::unlocked(programs!());
    let stored: BTreeMap<String, String> = store_all(&env, &awkward()).into_iter().collect();
    let text = env.ctl(["export", "--all", "--format", "json"]).run().stdout;
    // Python writes ASCII alone, so that what it understood shows.
    let again = output_of(
        &env,
        &["python3", "-c", "import json,sys; print(json.dumps(json.load(sys.stdin)))"],
        &text,
    );
    for text in [text, again] {
        let read: BTreeMap<String, String> = serde_json::from_slice(&text).unwrap();
        assert!(read == stored, "another value");
    }
    assert_eq!(env.ctl(["export", "-s", "NONE*", "--format", "json"]).run().code, Some(4));
}

#[test]
fn dotenv_is_read_back_by_python_dotenv_but_for_what_it_cannot_hold() {
    let test = "dotenv_is_read_back_by_python_dotenv_but_for_what_it_cannot_hold";
    let Some(python) = python(test, "dotenv") else { return };
    let env = Env::unlocked(programs!());
    // It has no way to write carriage returns, ${…}, `'` beside `$` or a backquote, or a backslash at the end.
    let fits = |value: &String| {
        let both = value.contains('\'') && value.contains(['$', '`']);
        !(value.contains('\r') || value.contains("${") || both || value.ends_with('\\'))
    };
    let values: Vec<String> = awkward().into_iter().filter(fits).collect();
    assert!(values.len() > 20);
    let stored: BTreeMap<String, String> = store_all(&env, &values).into_iter().collect();
    let text = env.ctl(["export", "--all"]).run().stdout;
    let script = "import dotenv,io,json,sys; \
                  print(json.dumps(dotenv.dotenv_values(stream=io.StringIO(sys.stdin.buffer.read().decode(), newline=''))))";
    let read: BTreeMap<String, String> =
        serde_json::from_slice(&output_of(&env, &[python, "-c", script], &text)).unwrap();
    for (name, value) in &stored {
        assert!(read.get(name) == Some(value), "{name}: {:?}", value.get(..20));
    }
}

#[test]
fn export_takes_selectors_and_nothing_else() {
    let env = Env::unlocked(programs!());
    for name in ["B", "A", "AWS_ID"] {
        env.store(name, "x");
    }
    assert_eq!(env.ctl(["export", "-s", "b,A*"]).expect(0), "B='x'\nA='x'\nAWS_ID='x'\n");
    let output = env.ctl(["export"]).run();
    output.assert_code(2);
    assert!(output.err().contains("--all"), "{}", output.err());
    env.ctl(["export", "--all", "-s", "A"]).expect(2);
    env.ctl(["export", "-s", ""]).expect(2);
    env.ctl(["export", "-s", "A-B"]).expect(7);
    let output = env.ctl(["export", "-s", "A,NONE,GONE"]).run();
    output.assert_code(4);
    assert!(output.err().contains("NONE, GONE"), "{}", output.err());
    let audit = env.ctl(["audit", "--json"]).expect(0);
    let entry: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
    assert!(audit.contains("\"export\""), "{entry}");
}

#[test]
fn a_terminal_sees_values_only_when_it_is_said() {
    let env = Env::unlocked(programs!());
    env.store("A", "canary-value");
    let template = env.private_file("t", "{{ secret:A }}");
    let template = template.to_str().unwrap();
    for arguments in [&["export", "-s", "A"][..], &["inject", "-i", template]] {
        let mut terminal = Terminal::ctl(&env, arguments);
        terminal.expect(2, "--show");
        assert!(!terminal.shown().contains("canary"));
        let mut terminal = Terminal::ctl(&env, &[arguments, &["--show"]].concat());
        terminal.expect(0, "canary-value");
    }
}

#[test]
fn fish_reads_back_what_is_written_for_it_and_executes_nothing() {
    let test = "fish_reads_back_what_is_written_for_it_and_executes_nothing";
    if !has(test, "fish") {
        return;
    }
    let env = Env::unlocked(programs!());
    let stored = store_all(&env, &awkward());
    std::fs::write(env.path("fish"), env.ctl(["export", "--all", "--format", "fish"]).run().stdout).unwrap();
    for (name, value) in stored {
        // Programs that it starts see the variable, too.
        let script = format!(
            "source fish; printf '%s' ${name}; printf '\\0'; string length -- \"${name}\" >/dev/null; env -0"
        );
        let seen = String::from_utf8(output_of(&env, &["fish", "-N", "-c", &script], b"")).unwrap();
        assert!(seen.starts_with(&format!("{value}\0")), "{name} in fish");
        assert!(seen.split('\0').any(|seen| seen == format!("{name}={value}")), "{name} in a program");
    }
}

#[test]
fn docker_gets_lines_without_quotes_or_nothing() {
    let env = Env::unlocked(programs!());
    let values = ["x", "it's \"$5\" `a` \\", "# a #b", " é ", "a=b"];
    let stored = store_all(&env, &values.map(str::to_owned));
    let text = env.ctl(["export", "--all", "--format", "docker"]).expect(0);
    assert_eq!(text, stored.iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>());
    for (name, bad) in [("B1", "canary\nB"), ("B2", "canary\r"), ("B3", &"x".repeat(65_533))] {
        env.store(name, bad);
    }
    let output = env.ctl(["export", "--all", "--format", "docker"]).run();
    output.assert_code(7);
    assert!(output.err().contains("B1, B2, B3: ") && !output.err().contains("canary"), "{}", output.err());
}

#[test]
fn a_named_reader_gets_the_same_values_or_the_name_of_what_it_cannot_read() {
    let test = "a_named_reader_gets_the_same_values_or_the_name_of_what_it_cannot_read";
    let env = Env::unlocked(programs!());
    let stored = store_all(&env, &awkward());
    let python = python(test, "dotenv");
    let node = has(test, "node").then_some("node");
    let script = "import dotenv,json,sys; print(json.dumps(dotenv.dotenv_values(sys.argv[1])))";
    for (reader, program) in [("node", node), ("python", python)] {
        let Some(program) = program else { continue };
        let export = |names: &[&str]| env.ctl(["export", "--for", reader, "-s", &names.join(",")]).run();
        let all: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
        let told = export(&all);
        told.assert_code(7);
        let told = told.err();
        let unfit: Vec<&str> =
            told.strip_prefix("secretctl: ").unwrap().split(':').next().unwrap().split(", ").collect();
        let fit: Vec<&str> = all.into_iter().filter(|name| !unfit.contains(name)).collect();
        assert!(fit.len() >= 20, "{told}");
        std::fs::write(env.path("file"), export(&fit).stdout).unwrap();
        let read = match reader {
            "node" => {
                output_of(&env, &[program, "--env-file=file", "-p", "JSON.stringify(process.env)"], b"")
            }
            _ => output_of(&env, &[program, "-c", script, "file"], b""),
        };
        let read: Value = serde_json::from_slice(&read).unwrap();
        for (name, value) in stored.iter().filter(|(name, _)| fit.contains(&name.as_str())) {
            assert!(read[name] == **value, "{reader}: {name} {:?}", value.get(..20));
        }
    }
    // Who names no reader is told which values are not for all.
    env.store("BOTH", "it's $5 canary");
    env.store("PLAIN", "canary");
    let output = env.ctl(["export", "-s", "BOTH,PLAIN"]).run();
    output.assert_code(0);
    let told = output.err();
    assert!(told.starts_with("secretctl: BOTH: not the same value for node, dotenv, python"), "{told}");
    assert!(!told.contains("canary") && !told.contains("PLAIN"), "{told}");
    env.ctl(["export", "--all", "--for", "node", "--format", "json"]).expect(2);
}

#[test]
fn a_file_is_private_and_whole_or_not_there() {
    use std::os::unix::fs::PermissionsExt;
    let env = Env::unlocked(programs!());
    env.store("A", "it's");
    let path = env.path("out");
    let out = path.to_str().unwrap();
    for (format, expected) in [("dotenv", "A=\"it's\"\n"), ("json", "{\n  \"A\": \"it's\"\n}")] {
        std::fs::write(&path, "before").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(env.ctl(["export", "-s", "A", "--format", format, "-o", out]).expect(0), "");
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim_end(), expected.trim_end());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    env.ctl(["export", "-s", "A,NONE", "-o", out]).expect(4);
    std::os::unix::fs::symlink(&path, env.path("link")).unwrap();
    env.ctl(["export", "-s", "A", "-o", env.path("link").to_str().unwrap()]).expect(1);
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"A\""));
    assert_eq!(env.ctl(["export", "-s", "A", "-o", "-"]).expect(0), "A=\"it's\"\n");
}
