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
