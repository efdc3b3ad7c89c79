//! Values that nobody thought of, in batches: set, export, read elsewhere; export, import.

use secretsd_tests::random::Random;
use secretsd_tests::{Env, programs};

use crate::{has, output_of};

/// How many values one batch has; their number and sizes keep a run within seconds.
const BATCH: usize = 40;

/// What formats stumble over comes often; anything but NUL may come.
fn value(random: &mut Random) -> String {
    const SPECIAL: [&str; 24] = [
        "\\", "'", "\"", "$", "`", "\n", "\r", "\r\n", " ", "\t", "#", "=", "{", "}", "${", "\\n", "\\'",
        "\u{1b}", "\u{7f}", "\u{85}", "\u{2028}", "\u{feff}", "é", "🦀",
    ];
    let most = if random.once_in(10) { 4_000 } else { 30 };
    let length = 1 + random.below(most);
    let mut value = String::new();
    for _ in 0..length {
        match random.below(4) {
            0 | 1 => value.push_str(SPECIAL[usize::try_from(random.below(SPECIAL.len() as u64)).unwrap()]),
            2 => value.push(char::from(u8::try_from(1 + random.below(127)).unwrap())),
            _ => {
                value.push(char::from_u32(1 + u32::try_from(random.below(0x10_ffff)).unwrap()).unwrap_or('x'))
            }
        }
    }
    value
}

#[test]
fn any_value_survives_every_way_out_and_back_in() {
    let test = "any_value_survives_every_way_out_and_back_in";
    let mut random = Random::new();
    let env = Env::unlocked(programs!());
    let mut stored: Vec<(String, String)> = Vec::new();
    for index in 0..BATCH {
        let (name, value) = (format!("P{index:02}"), value(&mut random));
        // One by the client, the others faster.
        if index == 0 {
            env.ctl(["set", &name]).stdin(&value).expect(0);
        } else {
            env.store(&name, &value);
        }
        stored.push((name, value));
    }
    for (name, value) in &stored {
        assert!(env.value(name) == *value, "{name}");
    }
    assert!(env.ctl(["get", "P00"]).run().stdout == stored[0].1.as_bytes());

    let [dotenv, json, shell] = ["dotenv", "json", "shell"]
        .map(|format| env.ctl(["export", "--all", "--format", format]).run().stdout);
    let read: Vec<(String, String)> =
        dotenvy::from_read_iter(dotenv.as_slice()).collect::<Result<_, _>>().unwrap();
    assert!(read == stored, "dotenvy reads otherwise");
    let script = "import json,sys\nfor n, v in json.load(sys.stdin).items(): sys.stdout.buffer.write(f'{n}={v}\\0'.encode())";
    let expected: String = stored.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
    assert!(
        output_of(&env, &["python3", "-c", script], &json) == expected.as_bytes(),
        "python reads otherwise"
    );
    std::fs::write(env.path("shell"), shell).unwrap();
    std::fs::write(env.path("dotenv"), &dotenv).unwrap();
    let names: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
    for program in ["sh", "bash", "zsh"] {
        if !has(test, program) {
            continue;
        }
        for read in ["eval \"$(cat shell)\"", ". ./dotenv"] {
            let script = format!(
                r#"{read}; for name do eval "value=\$$name"; printf '%s=%s\0' "$name" "$value"; done"#
            );
            let seen = output_of(&env, &[&[program, "-c", &script, "sh"], names.as_slice()].concat(), b"");
            assert!(seen == expected.as_bytes(), "{program} reads otherwise: {read}");
        }
    }

    for text in [dotenv, json] {
        let mut names =
            env.ctl(["rm", "--purge", "--yes"].iter().copied().chain(names.iter().copied())).run();
        names.stderr.clear();
        assert_eq!(names.code, Some(0));
        env.ctl(["import", "-"]).stdin(text).expect(0);
        for (name, value) in &stored {
            assert!(env.value(name) == *value, "{name} comes back otherwise");
        }
    }
}
