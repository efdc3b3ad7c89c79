//! A file of variables is read as systemd reads it: what a unit gets by `EnvironmentFile=` is what `import --dialect systemd`
//! stores.

use std::collections::BTreeMap;
use std::fs;

use secretsd_tests::{Env, programs};

use crate::support::{installed, user};

#[test]
fn a_unit_gets_what_is_imported_for_systemd() {
    let Some(lab) = installed("a_unit_gets_what_is_imported_for_systemd") else { return };
    let values = [
        "x",
        "a#b",
        "a #b",
        "\"a\" # c",
        "a\\nb",
        "a\\ b",
        "a\\\\b",
        "a\\$b",
        "'a\\nb'",
        "\"a\\nb\"",
        "\"a\\\"b\"",
        "\"C:\\\\new\"",
        "\"a\\$b\"",
        "\"a\\`b\"",
        "'a$b'",
        "\"$HOME/x\"",
        "'a\\'b'",
        "\"a\\tb\"",
        "`x`",
        "pa\"ss\"wd",
        "a'b",
        "'it''s'",
        "'it'\\''s'",
        "\"a\"b\"c\"",
        "$a",
        "pa$$word",
        "a b",
        "\"a\nb\"",
        "'a\nb'",
        "{\"k\": \"v w\"}",
        "a;b",
        "a=b==",
        "é",
        " 1",
        "x  ",
        "'x '  ",
        "\" x\"",
        "#abc",
        "a\\\nb",
        "\"a\\\nb\"",
        "%h",
        "'a' 'b'",
        "1\r",
    ];
    let mut text = "# values\n".to_owned();
    for (index, value) in values.iter().enumerate() {
        text += &format!("A{index}={value}\n; comment\n");
    }
    let user = user(lab, "dialect");
    user.write("variables", 0o600, &text);
    let unit =
        "[Service]\nType=oneshot\nEnvironmentFile=%h/variables\nExecStart=/bin/sh -c 'env -0 > %h/given'\n";
    user.write(".config/systemd/user/dialect.service", 0o644, unit);
    user.systemctl(&["daemon-reload"]);
    user.systemctl(&["start", "dialect.service"]);
    let given = fs::read(lab.path(format!("{}/given", user.home()))).unwrap();
    let given = String::from_utf8(given).unwrap();
    let given: BTreeMap<&str, &str> = given.split('\0').filter_map(|pair| pair.split_once('=')).collect();

    let env = Env::unlocked(programs!());
    let source = env.private_file("variables", &text);
    env.ctl(["import", source.to_str().unwrap(), "--dialect", "systemd"]).expect(0);
    for (index, value) in values.iter().enumerate() {
        let name = format!("A{index}");
        assert_eq!(env.value(&name), given[name.as_str()], "{value}");
    }
    // What a unit does not get is refused.
    let source = env.private_file("variables", "export B=1\nC\n\u{1}=x\nD=\"x\n");
    let output = env.ctl(["import", source.to_str().unwrap(), "--dialect", "systemd"]).run();
    output.assert_code(7);
    assert!(
        output.err().contains("line 1: systemd ignores") && output.err().contains("4 problems"),
        "{}",
        output.err()
    );
}
