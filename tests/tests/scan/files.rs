//! Files, streams, names.

use std::fs;
use std::os::unix::fs::symlink;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use secretsd_tests::process;
use serde_json::Value;

use crate::{PHRASE, Tree, VALUE};

fn url(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn wide(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

fn wrapped(text: &str, width: usize, between: &str) -> String {
    text.as_bytes()
        .chunks(width)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect::<Vec<_>>()
        .join(between)
}

#[test]
fn every_form_is_found_at_its_place_and_no_value_is_printed() {
    let tree = Tree::new();
    let json = serde_json::to_string(VALUE).unwrap();
    let (a, b) = VALUE.split_at(7);
    // In base64 the value begins in the middle of a line, at any distance from the line's end.
    let around =
        |before: usize| BASE64.encode(format!("{}{VALUE}{}", "#".repeat(before), "#".repeat(90)).as_bytes());
    let mut expected = Vec::new();
    let mut add = |name: &str, place: &str, content: &[u8]| {
        tree.write(name, content);
        expected.push(format!("{name}:{place}"));
    };
    add("clear", "2:5 API_KEY clear", format!("one\nkey={VALUE}\nthree").as_bytes());
    add("json", "1:2 API_KEY json", json.as_bytes());
    add("json-slash", "1:2 API_KEY json", json.replace('/', "\\/").as_bytes());
    add("url", "1:3 API_KEY url", format!("?a{}", url(VALUE)).as_bytes());
    add("hex", "1:1 API_KEY hex", HEXLOWER.encode(VALUE.as_bytes()).as_bytes());
    add("hex-upper", "1:1 API_KEY hex", HEXUPPER.encode(VALUE.as_bytes()).as_bytes());
    for (at, column) in [(0, 1), (1, 2), (2, 3)] {
        let text = format!("{}{VALUE}", &"..."[..at]);
        for (kind, text) in [
            ("", BASE64.encode(text.as_bytes())),
            ("-bare", BASE64_NOPAD.encode(text.as_bytes())),
            ("-url", BASE64URL_NOPAD.encode(text.as_bytes())),
        ] {
            add(&format!("base64{kind}-{at}"), &format!("1:{column} API_KEY base64"), text.as_bytes());
        }
    }
    for before in 30..60 {
        let start = before * 8 / 6;
        for (kind, width, between) in [("64", 64, "\n"), ("76", 76, "\r\n"), ("64-in", 64, "\n        ")] {
            let indent = between.trim_start_matches(['\r', '\n']).len();
            let (line, column) = (start / width, start % width);
            let column = column + 1 + if line > 0 { indent } else { 0 };
            let text = wrapped(&around(before), width, between);
            add(
                &format!("wrapped-{kind}-{before}"),
                &format!("{}:{column} API_KEY base64", line + 1),
                text.as_bytes(),
            );
        }
    }
    // As formatters and people break strings, at each place.
    for (kind, join) in [
        ("js", "\" +\n    \""),
        ("js-before", "\"\n        + \""),
        ("python", "\"\n \""),
        ("php", "\" .\r\n\t\""),
        ("shell", "\\\n"),
        ("c", "\" \\\n  \""),
        ("yaml", "\\\n    "),
        ("folded", "\n    "),
        ("comment", "\n# "),
        ("mail", "\n> "),
        ("list", "\",\n  \""),
    ] {
        for at in 1..a.len() + b.len() {
            let text = format!("const key = \"{}{join}{}\";\n", &VALUE[..at], &VALUE[at..]);
            // What ends in a quote before a quote is another text.
            if VALUE[..at].ends_with('"') || VALUE[at..].starts_with('"') {
                continue;
            }
            add(&format!("broken-{kind}-{at}"), "1:14 API_KEY clear", text.as_bytes());
        }
    }
    add("yaml-folded", "2:3 PHRASE clear", format!("a: >-\n  {}\n", PHRASE.replace(' ', "\n  ")).as_bytes());
    for (name, big, mark) in
        [("le", false, ""), ("be", true, ""), ("le-bom", false, "\u{feff}"), ("be-bom", true, "\u{feff}")]
    {
        let text = wide(&format!("{mark}first\nkey={VALUE}\n"), big);
        add(&format!("utf16-{name}"), "2:5 API_KEY clear (utf-16)", &text);
        let text = wide(&format!("{mark}{}", BASE64.encode(VALUE.as_bytes())), big);
        add(&format!("utf16-base64-{name}"), "1:1 API_KEY base64 (utf-16)", &text);
    }
    let odd = [b"\x01".to_vec(), wide(&format!("key={VALUE}"), false)].concat();
    add("utf16-odd", "1:5 API_KEY clear (utf-16)", &odd);
    tree.write("clean", "sk-canary/4711 sk-canary 4711 tortoise barbecue\n".repeat(1_000));
    expected.sort();
    let found = tree.scan(&[], 10);
    let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
    let more: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
    assert!(missing.is_empty() && more.is_empty(), "not found: {missing:#?}\nbeside: {more:#?}");
}

#[test]
fn a_value_that_is_not_ascii_is_found_in_utf_16_too() {
    let tree = Tree::new();
    tree.env.store("WORDS", "ключ-от-дома🦀");
    for big in [false, true] {
        let text = [vec![0; 3], wide("до: ключ-от-дома🦀.", big)].concat();
        tree.write(format!("wide-{big}"), text);
    }
    tree.write("plain", "до: ключ-от-дома🦀");
    assert_eq!(
        tree.scan(&[], 10),
        [
            "plain:1:7 WORDS clear",
            "wide-false:1:6 WORDS clear (utf-16)",
            "wide-true:1:6 WORDS clear (utf-16)"
        ]
    );
}

#[test]
fn pieces_of_a_value_are_told_once() {
    let tree = Tree::new();
    let key = "-----BEGIN KEY-----\nMIIEvAIBADANBgABCDEF\nkqhkiG9w0BAQEFGHIJKL\nQEFGHIJKLkqhkiG9w0BA\n-----END KEY-----\n";
    tree.env.store("PEM", key);
    tree.write("whole", format!("a\n{key}"));
    tree.write("indented", key.replace('\n', "\n      "));
    tree.write("line", "x MIIEvAIBADANBgABCDEF");
    let found = tree.scan(&[], 10);
    assert_eq!(found, ["indented:2:7 PEM clear (part)", "line:1:3 PEM clear (part)", "whole:2:1 PEM clear"]);
}

#[test]
fn values_across_the_borders_of_pieces_are_found_in_little_memory() {
    let tree = Tree::new();
    let piece = 256 << 10;
    let base64 = BASE64.encode(VALUE.as_bytes());
    for (kind, text) in [("clear", VALUE), ("base64", base64.as_str())] {
        for before in [1, 2, 5, 21, 22, 29, 30] {
            let mut content = vec![b'.'; 2 * piece];
            content[piece - before..][..text.len()].copy_from_slice(text.as_bytes());
            tree.write(format!("{kind}-{before}"), content);
        }
    }
    assert_eq!(tree.scan(&[], 10).len(), 14);
    // Larger than what it may have.
    let mut content = b"a line of text\n".repeat(3 << 20);
    content.extend_from_slice(VALUE.as_bytes());
    let large = tree.env.private_file("large", content);
    let mut command = tree.env.command("prlimit");
    command.args(["--data=25165824", tree.env.programs().client, "scan"]).arg(&large);
    let (_, output) = process::run(&mut command, b"");
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.ends_with("large:3145729:1 API_KEY clear\n"),
        "{out}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_git_ignores_is_left_out_unless_it_is_named() {
    let Some(tree) = Tree::repository("what_git_ignores_is_left_out_unless_it_is_named") else { return };
    let line = format!("KEY={VALUE}\n");
    tree.write(".gitignore", ".env\nbuild/\n");
    for name in [".env", "build/out", "sub/.env", ".github/workflow"] {
        tree.write(name, &line);
    }
    // A file of ripgrep's hides nothing.
    tree.write(".ignore", "*\n");
    let address = format!("https://user:{}@example.org/x.git", url(VALUE));
    tree.git(&["remote", "add", "origin", &address]);
    assert_eq!(tree.scan(&[], 10), [".github/workflow:1:5 API_KEY clear"]);
    assert_eq!(tree.scan(&[".env"], 10), [".env:1:5 API_KEY clear"]);
    let found = tree.scan(&[".git/config"], 10);
    assert!(
        found.len() == 1 && found[0].starts_with(".git/config:") && found[0].ends_with(" API_KEY url"),
        "{found:?}"
    );
    let found = tree.scan(&["."], 10);
    assert_eq!(found.len(), 5, "{found:?}");
    // What git has is in it, ignored or not.
    tree.git(&["add", "--force", "build/out"]);
    assert_eq!(tree.scan(&[], 10), [".github/workflow:1:5 API_KEY clear", "build/out:1:5 API_KEY clear"]);
}

#[test]
fn names_are_looked_at_and_printed_without_the_value() {
    let tree = Tree::new();
    tree.write(format!("{PHRASE}.tar.gz"), "x");
    tree.write(format!("a/x-{PHRASE}/deep/file"), VALUE);
    tree.write("bell\x07\x1b[2J\nname:1:1 API_KEY clear", VALUE);
    symlink(format!("/nowhere/{PHRASE}"), tree.dir.join("link")).unwrap();
    let found = tree.scan(&[], 10);
    assert_eq!(
        found,
        [
            "a/x-••••/deep/file:1:1 API_KEY clear",
            "a/x-••••:0:5 PHRASE clear (name)",
            "bell\u{fffd}\u{fffd}[2J\u{fffd}name:1:1 API_KEY clear:1:1 API_KEY clear",
            "link:1:10 PHRASE clear (link)",
            "••••.tar.gz:0:1 PHRASE clear (name)",
        ]
    );
    let output = tree.ctl(&["scan", "--json"]).run();
    crate::tells_nothing(&output);
    let lines: Vec<Value> = output.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    let bell = lines.iter().find(|line| line["path"].as_str().unwrap().starts_with("bell")).unwrap();
    assert_eq!(bell["path"], "bell\x07\x1b[2J\nname:1:1 API_KEY clear");
    assert_eq!(
        (&bell["line"], &bell["name"], &bell["form"], &bell["place"]),
        (&1.into(), &"API_KEY".into(), &"clear".into(), &"file".into())
    );
}

#[test]
fn no_link_is_followed_and_what_is_no_file_is_skipped_with_a_word() {
    let tree = Tree::new();
    let outside = tree.env.private_dir("outside");
    fs::write(outside.join("file"), VALUE).unwrap();
    symlink(&outside, tree.dir.join("dir")).unwrap();
    symlink(outside.join("file"), tree.dir.join("file")).unwrap();
    let (_, made) = process::run(tree.env.command("mkfifo").arg(tree.dir.join("fifo")), b"");
    assert!(made.status.success());
    let _socket = std::os::unix::net::UnixListener::bind(tree.dir.join("socket")).unwrap();
    for arguments in [&["scan"][..], &["scan", "."]] {
        let output = tree.ctl(arguments).run();
        assert_eq!((output.code, output.out().as_str()), (Some(0), ""), "{}", output.err());
        let said = output.err();
        assert!(said.contains("fifo: it is a FIFO") && said.contains("socket: it is a socket"), "{said}");
        assert!(said.contains("nothing found"), "{said}");
    }
    // What is named is looked at, wherever it is.
    assert_eq!(tree.scan(&["file"], 10), ["file:1:1 API_KEY clear"]);
}

#[test]
fn what_cannot_be_read_is_said_and_the_exit_code_says_so() {
    let tree = Tree::new();
    tree.write("clean", "nothing");
    for path in ["absent", "/proc/self/mem"] {
        let output = tree.ctl(&["scan", "clean", path]).run();
        assert_eq!(output.code, Some(1), "{}", output.err());
        assert!(output.err().contains(&format!("cannot look at {path}: ")), "{}", output.err());
        assert!(output.err().contains("not everything could be looked at"), "{}", output.err());
    }
    tree.write("found", VALUE);
    assert_eq!(tree.scan(&["absent", "found"], 10), ["found:1:1 API_KEY clear"]);
}

#[test]
fn a_stream_is_looked_through() {
    let tree = Tree::new();
    let output = tree.ctl(&["scan", "--stdin"]).stdin(format!("a\nb {VALUE}")).run();
    assert_eq!(crate::told(&output, 10), ["-:2:3 API_KEY clear"]);
    let output = tree.ctl(&["scan", "--stdin"]).stdin("nothing").run();
    assert_eq!(crate::told(&output, 0), [""; 0]);
    assert_eq!(output.err(), "secretctl: nothing found: looked for 2 values in 1 file or object\n");
}

#[test]
fn an_argument_that_looks_like_an_option_is_a_path_behind_two_dashes() {
    let tree = Tree::new();
    tree.write("--staged", VALUE);
    assert_eq!(tree.scan(&["--", "--staged"], 10), ["--staged:1:1 API_KEY clear"]);
}

#[test]
fn short_values_and_placeholders_are_not_looked_for_and_counted() {
    let tree = Tree::new();
    tree.env.store("PIN", "1234567");
    tree.env.store("PREFIX", "sk-proj-");
    let placeholder = placeholder();
    tree.env.store("IMPORTED", &placeholder);
    tree.write("file", format!("1234567 {placeholder} sk-proj-x\n"));
    let output = tree.ctl(&["scan"]).run();
    assert_eq!(crate::told(&output, 10), ["file:1:53 PREFIX clear"]);
    let said = output.err();
    assert!(said.contains("1 value of fewer than 8 characters not looked for"), "{said}");
    assert!(said.contains("1 placeholder stored as values not looked for"), "{said}");
}

/// As the daemon makes them, with the right checksum.
fn placeholder() -> String {
    let body = format!("sk-proj-ssdph{}", "Ab3".repeat(8));
    let sum = secrets_proto::token::checksum(body.as_bytes());
    format!("{body}{}", String::from_utf8(sum.to_vec()).unwrap())
}
