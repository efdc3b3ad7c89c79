//! What `secretctl` says of what it stores and changes, and what it asks before it does: a slip is noticed at once.

use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

const KEY: &str = "sk_live_0123456789abcdefghijtUv";
const OTHER: &str = "sk_live_0123456789abcdefghijOpQ";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIH\n-----END PRIVATE KEY-----\n";

#[track_caller]
fn says(env: &Env, arguments: &[&str], stdin: &str, expected: &str) {
    let output = env.ctl(arguments).stdin(stdin).run();
    output.assert_code(0);
    assert_eq!(output.out(), "");
    assert_eq!(output.err(), expected);
}

#[test]
fn a_write_shows_what_was_stored_and_what_was_there() {
    let env = Env::unlocked(programs!());
    let said = "secretctl: stored STRIPE_KEY (new): sk_liv••••tUv, 24 to 31 characters\n";
    says(&env, &["set", "STRIPE_KEY", "--provider", "stripe"], KEY, said);
    let said = "secretctl: replaced STRIPE_KEY: sk_liv••••tUv → sk_liv••••OpQ, 24 to 31 characters\n";
    for command in ["set", "update"] {
        says(&env, &[command, "stripe_key"], OTHER, said);
        env.ctl(["rollback", "STRIPE_KEY", "1"]).expect(0);
    }
    says(&env, &["add", "PIN"], "1234", "secretctl: stored PIN (new): ••••, fewer than 12 characters\n");
    let said = "secretctl: replaced PIN: •••• → ••••, fewer than 12 characters\n";
    says(&env, &["set", "PIN"], "123456789", said);
    says(&env, &["set", "TLS_KEY"], PEM, "secretctl: stored TLS_KEY (new): PEM, 64 to 127 characters\n");
    let said = "secretctl: stored OPENAI_API_KEY (new): sk_liv••••tUv, 24 to 31 characters\n";
    says(&env, &["preset", "openai"], KEY, said);
    // Answers for programs stay what they were.
    let json = env.ctl(["set", "PIN", "--json"]).stdin("1").run().json();
    assert_eq!((&json["name"], json.as_object().unwrap().len()), (&json!("PIN"), 6));
}

#[test]
fn what_is_noted_changes_without_the_value() {
    let env = Env::unlocked(programs!());
    env.store("STRIPE_KEY", KEY);
    let shown = || env.ctl(["show", "STRIPE_KEY", "--json"]).run().json();
    let note = ["edit", "stripe_key", "--expires", "2099-02-25", "--note", "CI"];
    says(&env, &note, "", "secretctl: STRIPE_KEY: expires 2099-02-25, note added\n");
    assert_eq!((&shown()["expires_at"], &shown()["note"]), (&json!("2099-02-25T00:00:00Z"), &json!("CI")));
    says(&env, &note, "", "secretctl: STRIPE_KEY: it is so already\n");
    let other = ["edit", "STRIPE_KEY", "--no-expiry", "--note", "CD", "--provider", "stripe"];
    says(&env, &other, "", "secretctl: STRIPE_KEY: no longer expires, note changed, provider stripe\n");
    let none = ["edit", "STRIPE_KEY", "--note", "", "--provider", ""];
    says(&env, &none, "", "secretctl: STRIPE_KEY: note removed, provider removed\n");
    let empty = (&Value::Null, &Value::Null, &Value::Null);
    assert_eq!((&shown()["expires_at"], &shown()["note"], &shown()["provider"]), empty);
    assert_eq!((env.value("STRIPE_KEY"), shown()["versions"].as_array().unwrap().len()), (KEY.to_owned(), 1));
    let json = env.ctl(["edit", "STRIPE_KEY", "--note", "x", "--json"]).run().json();
    assert_eq!(json["note"], "x");

    let fails = |arguments: &[&str], code: i32, text: &str| {
        let output = env.ctl(arguments).run();
        output.assert_code(code);
        assert!(output.err().contains(text) && !output.err().contains("canary"), "{}", output.err());
    };
    fails(&["edit", "STRIPE_KEY"], 2, "nothing to change; use --note, --expires, --no-expiry or --provider");
    fails(&["edit", "STRIPE_KEY", "--expires", "1d", "--no-expiry"], 2, "cannot be used with");
    fails(&["edit", "STRIPE_KEY", "--note", "ghp_canarycanarycanary"], 2, "looks like a value");
    fails(&["edit", "STRIPE_KEY", "--expires", "2020-01-01"], 7, "must be in the future");
    fails(
        &["edit", "STRIPE_KEYS", "--note", "x"],
        4,
        "no such secret: STRIPE_KEYS; did you mean STRIPE_KEY?",
    );
}

#[test]
fn the_newline_that_echo_adds_is_left_out_and_a_file_is_kept() {
    let env = Env::unlocked(programs!());
    let dropped = "secretctl: left out the newline at the end; to keep it, use --exact\n";
    for (line, value) in [("one\n", "one"), ("one\r\n", "one"), (" one \n", " one ")] {
        let output = env.ctl(["set", "A"]).stdin(line).run();
        output.assert_code(0);
        assert!(output.err().starts_with(dropped), "{}", output.err());
        assert_eq!(env.value("A"), value);
    }
    let full = "x".repeat(65_536) + "\n";
    env.ctl(["set", "A"]).stdin(&full).expect(0);
    assert_eq!(env.value("A").len(), 65_536);
    env.ctl(["set", "A"]).stdin("\n").expect(7);
    for kept in ["one\ntwo\n", "one\n\n", PEM] {
        env.ctl(["set", "A"]).stdin(kept).expect(0);
        assert_eq!(env.value("A"), kept);
    }
    env.ctl(["set", "A", "--exact"]).stdin("one\n").expect(0);
    assert_eq!(env.value("A"), "one\n");
    let file = env.private_file("value", "two\n");
    let file = file.to_str().unwrap();
    for arguments in ["--value-file \"$1\"", "--value-file - <\"$1\"", "<\"$1\""] {
        env.ctl(["set", "A"]).stdin("x").expect(0);
        let script = format!("\"$0\" set A {arguments}");
        let output = env.command("sh").args(["-c", &script, env.programs().client, file]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("which is stored too"), "{output:?}");
        assert_eq!(env.value("A"), "two\n", "{arguments}");
    }
}

#[test]
fn a_new_name_that_may_be_a_slip_is_asked_about_or_noted() {
    let env = Env::unlocked(programs!());
    env.store("OPENAI_API_KEY", KEY);
    let ask = |answer: &str| {
        let mut terminal = Terminal::ctl(&env, &["set", "OPENAI_API_KY"]);
        terminal.wait_for("no OPENAI_API_KY yet; did you mean OPENAI_API_KEY? [Y/n/new] ");
        terminal.type_keys(answer);
        terminal
    };
    ask("n\r").expect(1, "nothing was stored");
    for answer in ["\r", "y\r"] {
        let mut terminal = ask(answer);
        terminal.wait_for("value: ");
        terminal.type_keys("canary-typed-value\r");
        terminal.expect(0, "replaced OPENAI_API_KEY: ");
    }
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 1);
    assert_eq!(env.value("OPENAI_API_KEY"), "canary-typed-value");
    let mut terminal = ask("new\r");
    terminal.wait_for("value: ");
    terminal.type_keys("other\r");
    terminal.expect(0, "stored OPENAI_API_KY (new)");
    env.ctl(["rm", "OPENAI_API_KY"]).expect(0);

    // Without a person at a terminal it is stored as it was asked for.
    let said = "secretctl: stored OPENAI_API_KY (new): ••••, fewer than 12 characters\n\
        secretctl: did you mean OPENAI_API_KEY? then undo this with: secretctl rm OPENAI_API_KY\n";
    says(&env, &["set", "OPENAI_API_KY"], "x", said);
    // A name that is there is not asked about, nor one that differs on purpose.
    says(
        &env,
        &["set", "OPENAI_API_KY"],
        "y",
        "secretctl: replaced OPENAI_API_KY: •••• → ••••, fewer than 12 characters\n",
    );
    says(
        &env,
        &["set", "OPENAI_API_KEY_2"],
        "y",
        "secretctl: stored OPENAI_API_KEY_2 (new): ••••, fewer than 12 characters\n",
    );
}

/// A name that is taken is said to be, as it is stored, and its near neighbours are not brought up.
#[test]
fn a_taken_name_is_told_from_one_that_is_only_like_it() {
    let env = Env::unlocked(programs!());
    for name in ["OPENAI_API_KEY", "OPENAI_API_KY"] {
        env.store(name, KEY);
    }
    for typed in ["OPENAI_API_KEY", "openai_api_key", "OPENAI_API_KY"] {
        let name = typed.to_ascii_uppercase();
        let output = env.ctl(["add", typed]).stdin("x").run();
        output.assert_code(6);
        let said =
            format!("secretctl: {name} already exists; replace its value with: secretctl set {name}\n");
        assert_eq!(output.err(), said);
        assert_eq!(env.value(&name), KEY);
    }
    // At a terminal, too, neither is asked about.
    for name in ["OPENAI_API_KEY", "OPENAI_API_KY"] {
        let mut terminal = Terminal::ctl(&env, &["set", name]);
        terminal.wait_for(&format!("{name} value: "));
        terminal.type_keys("\r");
        terminal.expect(7, "empty; nothing was stored");
        assert!(!terminal.shown().contains("did you mean"), "{}", terminal.shown());
    }
    // One that is free brings up the nearest.
    let mut terminal = Terminal::ctl(&env, &["set", "OPENAI_API_KEYS"]);
    terminal.wait_for("did you mean OPENAI_API_KEY? ");
    terminal.type_keys("n\r");
    terminal.expect(1, "nothing was stored");
    let output = env.ctl(["rename", "OPENAI_API_KY", "openai_api_key"]).run();
    output.assert_code(6);
    assert!(
        output.err().contains("OPENAI_API_KEY already exists, and nothing was renamed"),
        "{}",
        output.err()
    );
}

/// What is made is neither shown nor asked for, and is another one each time.
#[test]
fn a_value_can_be_made() {
    let env = Env::unlocked(programs!());
    let mut made = Vec::new();
    for (flag, length) in
        [("--generate", 32), ("--generate=32", 32), ("--generate=100", 100), ("--generate=12", 12)]
    {
        let output = env.ctl(["set", "DB_PASSWORD", flag]).run();
        output.assert_code(0);
        let value = env.value("DB_PASSWORD");
        assert_eq!(value.len(), length, "{flag}");
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{flag}");
        assert!(!output.out().contains(&value) && !output.err().contains(&value), "{}", output.err());
        assert!(!made.contains(&value));
        made.push(value);
    }
    let mut terminal = Terminal::ctl(&env, &["add", "AT_A_TERMINAL", "--generate"]);
    terminal.expect(0, "stored AT_A_TERMINAL (new)");
    assert!(!terminal.shown().contains("value: "), "{}", terminal.shown());
    env.store("COPY", &env.value("DB_PASSWORD"));
    env.ctl(["replace", "DB_PASSWORD", "--generate"]).expect(0);
    assert_eq!(env.value("DB_PASSWORD"), env.value("COPY"));
    assert!(!made.contains(&env.value("COPY")));
    for (length, code) in [("11", 7), ("0", 7), ("-1", 7), ("1025", 7), ("x", 7), ("", 7)] {
        env.ctl(["set", "NEW", &format!("--generate={length}")]).run().assert_code(code);
    }
    let output = env.ctl(["set", "NEW", "--generate", "32"]).run();
    output.assert_code(2);
    assert!(output.err().contains("write: --generate=LENGTH"), "{}", output.err());
    for line in
        [&["--generate", "--exact"][..], &["--generate", "--value-file", "x"], &["--generate", "hunter2"]]
    {
        let output = env.ctl([&["set", "NEW"], line].concat()).stdin("x").run();
        output.assert_code(2);
        assert!(!output.err().contains("hunter2"), "{}", output.err());
    }
    env.ctl(["show", "NEW"]).expect(4);
}

#[test]
fn a_name_that_is_missing_brings_up_the_one_that_was_meant() {
    let env = Env::unlocked(programs!());
    env.store("BLOG_DATABASE_URL", KEY);
    env.store("HIDDEN_DATABASE_URL", KEY);
    let meant = "no such secret: BLOG_DATABSE_URL; did you mean BLOG_DATABASE_URL?\n";
    for (arguments, code) in [
        (&["run", "-s", "BLOG_DATABSE_URL", "--", "true"][..], 125),
        (&["run", "--prefix-strip", "BLOG_", "-s", "BLOG_DATABSE_URL", "--", "true"], 125),
        (&["get", "BLOG_DATABSE_URL"], 4),
        (&["show", "BLOG_DATABSE_URL"], 4),
        (&["history", "BLOG_DATABSE_URL"], 4),
        (&["rm", "BLOG_DATABSE_URL"], 4),
        (&["export", "-s", "BLOG_DATABSE_URL"], 4),
        (&["rename", "BLOG_DATABSE_URL", "X"], 4),
        (&["credential", "allow", "a.service", "BLOG_DATABSE_URL"], 4),
    ] {
        let output = env.ctl(arguments).run();
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", output.err());
        assert!(output.err().ends_with(meant), "{arguments:?}: {}", output.err());
    }
    let output = env.ctl(["inject"]).stdin("a\n{{ secret:BLOG_DATABSE_URL }}").run();
    output.assert_code(4);
    assert!(output.err().contains(&format!("line 2: {meant}")), "{}", output.err());

    // Only what the caller may list.
    let token = |scopes: &[&str]| {
        let body = json!({"name": "t", "scopes": scopes, "secrets": ["BLOG_*"], "ttl_seconds": 600});
        let made = env.post("/tokens", &body).expect(201);
        made["token"].as_str().unwrap().to_owned()
    };
    let get = |token: &str, name: &str| env.ctl(["get", name]).env("SECRETSD_TOKEN", token).run().err();
    let both = token(&["list", "reveal"]);
    assert!(get(&both, "BLOG_DATABSE_URL").ends_with(meant));
    let none = "no such secret: HIDDEN_DATABSE_URL; see: secretctl list\n";
    assert!(get(&both, "HIDDEN_DATABSE_URL").ends_with(none));
}

#[test]
fn a_part_of_a_name_finds_it_wherever_one_is_looked_up_but_not_for_a_token_that_may_not_list() {
    let env = Env::unlocked(programs!());
    env.store("OPENAI_API_KEY", "value-of-a-secret");
    let meant = "no such secret: OPENAI; did you mean OPENAI_API_KEY?\n";
    for line in [
        "show OPENAI",
        "get OPENAI",
        "edit OPENAI --note x",
        "rm OPENAI --yes",
        "history OPENAI",
        "rename OPENAI A",
        "update OPENAI",
        "rollback OPENAI 1",
        "where OPENAI",
        "same OPENAI",
        "guard OPENAI",
        "replace OPENAI",
        "proxy rule show OPENAI",
        "proxy run -s OPENAI -- true",
        "run -s OPENAI -- true",
        "export -s OPENAI",
    ] {
        let output = env.ctl(line.split(' ')).stdin("new").run();
        assert!(output.err().ends_with(meant), "{line}: {}", output.err());
    }
    let request = json!({ "name": "reveal", "scopes": ["reveal"], "secrets": ["*"] });
    let token = env.post("/tokens", &request).expect(201)["token"].as_str().unwrap().to_owned();
    for line in ["get OPENAI", "run -s OPENAI -- true"] {
        let output = env.ctl(line.split(' ')).env("SECRETSD_TOKEN", &token).run();
        assert!(!output.err().contains("OPENAI_API_KEY"), "{line}: {}", output.err());
        assert_ne!(output.code, Some(0), "{line}");
    }
}
