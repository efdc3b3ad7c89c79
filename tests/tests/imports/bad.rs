//! What cannot be read: the error names line or path, never repeated, and nothing is stored in part.

use secretsd_tests::process::DEADLINE;
use secretsd_tests::{Env, programs};
use std::time::Instant;

use crate::{home_file, names};

#[test]
fn nothing_is_repeated_and_nothing_is_stored() {
    let env = Env::unlocked(programs!());
    let long = format!("a:\n  ok: x\n  b: {}\n", "canary".repeat(20_000));
    for (format, text, told) in [
        ("nested", "a: x\nb: [canary\n", "not valid YAML"),
        ("nested", "{\"a\": \"x\", \"b\": canary", "not valid JSON"),
        ("nested", "a: x\nb: !!binary canary\n", "b: binary"),
        ("nested", "a: x\nb-c: 1\nb_c: canary\n", "b_c: same name as b-c"),
        ("nested", "a: x\nb: ''\n", "b: the value is empty"),
        ("nested", &long, "a.b: a value has at most 65536 bytes"),
        ("nested", "a: x\n\u{65e5}: canary\n", "no name can be made"),
        ("1password", "Title,Password\nok,x\na,\"canary\n", "a quote is not closed"),
        ("1password", "Title,Password\nok,x\na,canary,y\n", "line 3: another number of fields"),
        ("1password", "Title,Password\nok,x\nok,canary\n", "line 3: same name as line 2"),
        ("bitwarden", "{\"items\": \"canary\"}", "not of the form"),
        ("docker", "{\"auths\": {\"a\": {\"auth\": \"canary\"}}}", "auths, a: auth is not"),
        ("npm", "//a/:_authToken=x\n//b/:_authToken=can#ary\n", "line 2: npm reads"),
        (
            "aws",
            "[default]\naws_access_key_id = x\naws_secret_access_key = canary y\n",
            "line 3: a key with a blank",
        ),
        ("cargo", "[registry]\ntoken = \"x\"\n[registries.a]\ntoken = canary\n", "line 4: not valid TOML"),
        (
            "netrc",
            "machine a login b password x\nmachine a login c password canary\n",
            "line 2: same name as line 1",
        ),
        (
            "netrc",
            "machine a login b password x\nmachine b login c password can\\ary\n",
            "line 2: curl, Python and wget",
        ),
        (
            "pypirc",
            "[pypi]\npassword = x\n[own]\npassword = canary\n",
            "line 4: its section names no repository",
        ),
        ("git-credentials", "https://a:x@h\nhttps://canary\n", "line 2: not an address"),
    ] {
        let source = home_file(&env, "source", text);
        for more in [&[][..], &["--dry-run"]] {
            let output = env.ctl([&["import", &source, "--format", format], more].concat()).run();
            output.assert_code(7);
            let said = output.err();
            assert!(said.contains(told) && said.contains("nothing was stored"), "{format}: {said}");
            assert!(!said.contains("canary") && !said.contains("can#ary"), "{format}: {said}");
        }
    }
    assert!(names(&env).is_empty());
    // What is left out need not be right.
    let source = home_file(&env, "source", "a: x\nb: ~\n");
    env.ctl(["import", &source, "--format", "nested", "--except", "B"]).expect(0);
    assert_eq!(names(&env), ["A"]);
}

#[test]
fn encodings_are_named_or_read() {
    let env = Env::unlocked(programs!());
    let wide: Vec<u8> = "\u{feff}a: canary\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, told) in [
        (wide, "UTF-16"),
        (b"a: x\nb: \xff\n".to_vec(), "line 2: not UTF-8 text"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n".to_vec(), "ansible-vault"),
        (b"age-encryption.org/v1\n".to_vec(), "age"),
    ] {
        for more in [&[][..], &["--format", "nested"]] {
            let source = home_file(&env, "source", &bytes);
            let output = env.ctl([&["import", &source], more].concat()).run();
            output.assert_code(7);
            assert!(output.err().contains(told), "{more:?}: {}", output.err());
        }
    }
    let source = home_file(&env, "source", "\u{feff}a:\r\n  b: x\r\n");
    env.ctl(["import", &source, "--format", "nested"]).expect(0);
    assert_eq!(env.value("A_B"), "x");
}

#[test]
fn what_would_grow_without_end_is_refused_soon() {
    let env = Env::unlocked(programs!());
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","));
    }
    let deep_json = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let many: String = (0..30_000).map(|index| format!("k{index}: x\n")).collect();
    for text in [bomb, deep_json, "[".repeat(1 << 20), "- ".repeat(1 << 20), many, "x".repeat(17 << 20)] {
        let source = home_file(&env, "source", text);
        let start = Instant::now();
        let output = env.ctl(["import", &source, "--format", "nested"]).run();
        output.assert_code(7);
        assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
    }
    assert!(names(&env).is_empty());
}

#[test]
fn values_are_in_no_argument_and_no_variable() {
    let env = Env::unlocked(programs!());
    // A keyring that gives a value first, and then looks at who asks it for the second.
    let out = env.path("seen");
    let script = format!(
        "#!/bin/sh\n[ \"$3\" = first ] || for p in $PPID $(ps -o ppid= -p $PPID); do\ncat /proc/$p/cmdline; cat /proc/$p/environ; done >> '{}' 2>/dev/null\necho canary-value\n",
        out.display()
    );
    let program = env.private_file("home/keyring", script);
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", env.path("home").display(), std::env::var("PATH").unwrap());
    let list = "a.example first\nb.example second\n";
    let token = "canary-token";
    let output = env
        .ctl(["import", "-", "--format", "keyring", "--dry-run"])
        .stdin(list)
        .env("PATH", &path)
        .env("SECRETSD_TOKEN_X", token)
        .run();
    output.assert_code(0);
    let seen = String::from_utf8_lossy(&std::fs::read(out).unwrap()).into_owned();
    assert!(seen.contains("secretctl-import") && seen.contains("--format"), "{seen}");
    assert!(!seen.contains("canary-value"));
    // Nor has what it starts a token of the vault.
    let of_importer = seen.split("--format").next().unwrap();
    assert!(!of_importer.contains(token), "{of_importer}");
}
