//! What `secretctl` answers about secrets: how old they are, who uses them and where, which are the same; for people at a
//! terminal and for programs.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

const KEY: &str = "sk_live_0123456789abcdefghijtUv";

fn full(env: &Env, name: &str) -> Value {
    env.get(&format!("/user/secrets?view=full&name={name}")).expect(200)["secrets"][0].clone()
}

#[test]
fn the_age_of_a_value_is_not_that_of_its_note() {
    let env = Env::unlocked(programs!());
    let stored = env.store("A", "x");
    let changed = || full(&env, "A")["value_changed_at"].clone();
    assert_eq!(changed(), stored["created_at"]);
    let history = || env.ctl(["history", "A", "--json"]).run().json()["versions"][0]["created_at"].clone();
    env.ctl(["set", "A"]).stdin("y").expect(0);
    let set = changed();
    assert_eq!(set, history());
    for change in
        [&["edit", "A", "--note", "n"][..], &["rename", "A", "B"], &["rename", "B", "A"], &["rm", "A"]]
    {
        env.ctl(change).expect(0);
    }
    env.ctl(["restore", "A"]).expect(0);
    assert_eq!(changed(), set);
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!((changed(), history()), (set.clone(), set));
}

#[test]
fn what_import_reads_back_is_not_used() {
    let env = Env::unlocked(programs!());
    let file = env.private_file("env", "A=one\nB=two\n");
    env.ctl(["import", file.to_str().unwrap()]).expect(0);
    assert_eq!(full(&env, "A")["last_used_at"], Value::Null);
    let text = env.ctl(["list", "--unused", "0s", "--names"]).expect(0);
    assert_eq!(text, "A\nB\n");
    env.ctl(["get", "A"]).expect(0);
    assert!(full(&env, "A")["last_used_at"].is_string());
}

#[test]
fn names_with_the_same_value_are_found_without_a_value_leaving() {
    let env = Env::unlocked(programs!());
    for (name, value) in [
        ("OPENAI_API_KEY", KEY),
        ("BLOG_KEY", KEY),
        ("OTHER", "sk_live_0123456789abcdefghi_tUv"),
        ("HIDDEN", KEY),
    ] {
        env.store(name, value);
    }
    let output = env.ctl(["same", "openai_api_key"]).run();
    output.assert_code(0);
    assert_eq!(output.out(), "BLOG_KEY\nHIDDEN\n");
    assert!(!env.ctl(["same", "BLOG_KEY", "--json"]).expect(0).contains(KEY));
    let output = env.ctl(["same", "OTHER"]).run();
    assert_eq!((output.code, output.out().as_str()), (Some(0), ""));
    assert!(output.err().contains("no other secret has the value of OTHER"), "{}", output.err());
    let entries = env.get("/audit?limit=10").expect(200)["entries"].clone();
    let compared: Vec<&Value> =
        entries.as_array().unwrap().iter().filter(|one| one["action"] == "compare").collect();
    assert_eq!(compared[0]["names"], json!(["OPENAI_API_KEY", "BLOG_KEY", "HIDDEN"]));

    // It takes the right to reveal: who may store could try values otherwise. And only what the caller sees is compared.
    let id = full(&env, "BLOG_KEY")["id"].as_str().unwrap().to_owned();
    let ask = |scopes: &[&str]| {
        let body = json!({"name": scopes.join("-"), "scopes": scopes, "secrets": ["OPENAI_*", "BLOG_*"]});
        let token = env.post("/tokens", &body).expect(201)["token"].as_str().unwrap().to_owned();
        env.anonymous("POST", &format!("/user/secrets/{id}/same")).bearer(&token).send()
    };
    ask(&["list", "write"]).expect_error(403, "forbidden_error");
    let list = ask(&["reveal"]).expect(200);
    assert_eq!((&list["total"], &list["secrets"][0]["name"]), (&json!(1), &json!("OPENAI_API_KEY")));
}

#[test]
fn where_names_programs_and_directories_and_replace_those_with_the_old_value() {
    let env = Env::unlocked(programs!());
    env.store("KEY", KEY);
    env.store("BLOG_KEY", KEY);
    let shop = env.path("home/shop");
    fs::create_dir(&shop).unwrap();
    env.ctl(["run", "-s", "KEY", "--", "sh", "-c", ":"]).dir(&shop).expect(0);
    env.ctl(["run", "-s", "KEY", "--", "sh", "-c", ":"]).dir(&shop).expect(0);
    env.ctl(["get", "KEY"]).expect(0);
    let told = env.ctl(["where", "KEY", "--json"]).run().json();
    let told = told.as_array().unwrap();
    assert_eq!((&told[0]["program"], &told[1]["program"]), (&json!("secretctl get"), &json!("sh")));
    assert_eq!((&told[1]["directory"], &told[1]["times"]), (&json!(shop.to_str().unwrap()), &json!(2)));
    // What a program got several times counts as often, wherever it got it; nobody else's use does.
    let crm = env.private_dir("home/crm");
    for _ in 0..3 {
        env.ctl(["run", "-s", "KEY,BLOG_KEY", "--", "sh", "-c", ":"]).dir(&crm).expect(0);
    }
    env.ctl(["run", "-s", "BLOG_KEY", "--", "sh", "-c", ":"]).dir(&crm).expect(0);
    env.ctl(["get", "KEY"]).expect(0);
    let counts = |name: &str| {
        let told = env.ctl(["where", name, "--json"]).run().json();
        let count = |one: &Value| {
            let directory = one["directory"].as_str().map(|path| path.rsplit('/').next().unwrap().to_owned());
            (one["program"].as_str().unwrap().to_owned(), directory, one["times"].as_u64().unwrap())
        };
        told.as_array().unwrap().iter().map(count).collect::<Vec<_>>()
    };
    let row = |program: &str, directory: Option<&str>, times| {
        (program.to_owned(), directory.map(str::to_owned), times)
    };
    assert_eq!(
        counts("KEY"),
        [row("secretctl get", None, 2), row("sh", Some("crm"), 3), row("sh", Some("shop"), 2)]
    );
    assert_eq!(counts("BLOG_KEY"), [row("sh", Some("crm"), 4)]);
    let table = env.ctl(["where", "KEY"]).expect(0);
    let times = |directory: &str| {
        let line = table.lines().find(|line| line.contains(directory)).unwrap();
        line.split_whitespace().nth(3).unwrap().to_owned()
    };
    assert_eq!((times("~/shop"), times("~/crm")), ("2".to_owned(), "3".to_owned()), "{table}");
    assert!(table.starts_with("PROGRAM") && table.contains("~/shop"), "{table}");
    env.store("UNUSED", "x");
    let output = env.ctl(["where", "UNUSED"]).run();
    assert!(output.err().contains("the audit log has no use of UNUSED"), "{}", output.err());

    // One that goes on with the old value.
    let mut command: Command = env.command(env.programs().client);
    let mut child = command
        .args(["run", "-s", "KEY", "--", "cat"])
        .current_dir(&shop)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let end = std::time::Instant::now() + secretsd_tests::process::DEADLINE;
    let is_there = || env.ctl(["where", "KEY"]).expect(0).contains("cat");
    while !is_there() {
        assert!(std::time::Instant::now() < end);
    }
    let output = env.ctl(["replace", "key"]).stdin("sk_live_0123456789abcdefghijOpQ").run();
    output.assert_code(0);
    let said = output.err();
    assert!(said.contains("the same value is replaced under: BLOG_KEY"), "{said}");
    assert!(said.contains("replaced KEY: sk_liv••••tUv → sk_liv••••OpQ"), "{said}");
    assert!(said.contains("replaced BLOG_KEY: sk_liv••••tUv → sk_liv••••OpQ"), "{said}");
    let running =
        format!("still running with the old value of KEY: cat[{}] in {}", child.id(), shop.display());
    assert!(said.contains(&running), "{said}");
    assert_eq!((env.value("KEY"), env.value("BLOG_KEY")), (env.value("BLOG_KEY"), env.value("KEY")));
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// At its end the walk asks whether the old value goes, too; under each name that had it.
#[test]
fn replace_destroys_the_old_value_if_a_person_wants_so() {
    let env = Env::unlocked(programs!());
    for name in ["KEY", "BLOG_KEY"] {
        env.store(name, KEY);
    }
    let versions = |name: &str| {
        let json = env.ctl(["history", name, "--json"]).run().json();
        json["versions"].as_array().unwrap().len()
    };
    for (value, answer, left, said) in [
        ("sk_live_0123456789abcdefghijOpQ", "", 2, "the history has it too: secretctl history BLOG_KEY"),
        ("sk_live_0123456789abcdefghijXyZ", "y", 2, "dropped version 2 of BLOG_KEY"),
    ] {
        let mut terminal = Terminal::ctl(&env, &["replace", "KEY"]);
        terminal.wait_for("KEY new value: ");
        terminal.type_keys(&format!("{value}\r"));
        terminal.wait_for("now revoke the old key at its provider");
        terminal.wait_for("destroy the old value in the history, too? [y/N] ");
        terminal.type_keys(&format!("{answer}\r"));
        terminal.expect(0, said);
        assert_eq!((versions("KEY"), versions("BLOG_KEY")), (left, left));
        assert_eq!((env.value("KEY"), env.value("BLOG_KEY")), (value.to_owned(), value.to_owned()));
    }
}

#[test]
fn replace_leaves_what_somebody_else_has_changed_meanwhile() {
    let env = Env::unlocked(programs!());
    let ids: Vec<String> = ["KEY", "BLOG_KEY", "SHOP_KEY"]
        .iter()
        .map(|name| env.store(name, KEY)["id"].as_str().unwrap().to_owned())
        .collect();
    for (changed, kept) in [("BLOG_KEY", &ids[1]), ("KEY", &ids[0])] {
        let mut command: Command = env.command(env.programs().client);
        command.args(["replace", "KEY"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("the same value is replaced under") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
        }
        // It waits for the new value.
        let theirs = format!("theirs, for {changed}");
        env.request("PUT", &format!("/user/secrets/{kept}"))
            .json(&json!({ "value": theirs }))
            .send()
            .expect(200);
        child.stdin.take().unwrap().write_all(b"sk_live_0123456789abcdefghijOpQ").unwrap();
        let status = child.wait().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), Some(6), "{said}");
        assert!(said.contains(&format!("meanwhile: {changed};")), "{said}");
        for name in ["KEY", "BLOG_KEY", "SHOP_KEY"] {
            let now = if name == changed { theirs.as_str() } else { "sk_live_0123456789abcdefghijOpQ" };
            assert_eq!(env.value(name), now, "{name}");
        }
        // As it was.
        for (name, id) in ["KEY", "BLOG_KEY", "SHOP_KEY"].iter().zip(&ids) {
            let again = format!("{KEY} {changed}");
            env.request("PUT", &format!("/user/secrets/{id}"))
                .json(&json!({ "value": again }))
                .send()
                .expect(200);
            assert_eq!(env.value(name), again);
        }
    }
}

#[test]
fn a_directory_is_not_told_to_a_token_that_is_bound_to_names() {
    let env = Env::unlocked(programs!());
    env.store("KEY", KEY);
    env.ctl(["run", "-s", "KEY", "--", "true"]).expect(0);
    let entries = |token: &str| {
        env.anonymous("GET", "/audit?name=KEY").bearer(token).send().expect(200)["entries"].clone()
    };
    let last = |token: &str| entries(token).as_array().unwrap().last().unwrap().clone();
    assert!(last(&env.token())["directory"].is_string());
    let body = json!({"name": "t", "scopes": ["admin"], "secrets": ["KEY"]});
    let token = env.post("/tokens", &body).expect(201)["token"].as_str().unwrap().to_owned();
    let told = last(&token);
    assert_eq!((&told["action"], told.get("directory")), (&json!("reveal"), None));
}

#[test]
fn a_list_at_a_terminal_has_groups_ages_and_a_count_and_elsewhere_stays_what_it_was() {
    let env = Env::unlocked(programs!());
    for name in ["SHOP_DATABASE_URL", "SHOP_STRIPE_KEY", "OPENAI_API_KEY"] {
        env.store(name, KEY);
    }
    env.store("TLS_KEY", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIH\n-----END PRIVATE KEY-----\n");
    env.ctl(["edit", "SHOP_STRIPE_KEY", "--expires", "3d"]).expect(0);
    let shown = |arguments: &[&str], variable: &str, last: &str| {
        let words = [&["env", variable, env.programs().client, "list"], arguments].concat();
        let mut terminal = Terminal::run(&env, &words);
        terminal.resize(50, 120);
        terminal.expect(0, last);
        terminal.shown()
    };
    let text = shown(&[], "X=1", "4 secrets\r\n");
    for part in
        ["AGE", "EXPIRES", "SHOP (2)\r\n", "\x1b[33m", "other (2)\r\n", "PEM, up to 1 KiB", "4 secrets"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("UPDATED") && !text.contains("-----B"), "{text}");
    let plain = shown(&["--sort", "expiry"], "NO_COLOR=1", "4 secrets\r\n");
    assert!(!plain.contains('\x1b') && !plain.contains("SHOP (2)"), "{plain}");
    let expiring = shown(&["--expiring", "30d"], "NO_COLOR=1", "1 secret\r\n");
    assert!(expiring.contains("SHOP_STRIPE_KEY") && !expiring.contains("OPENAI"), "{expiring}");
    assert!(expiring.contains("1 secret\r\n"), "{expiring}");

    let table = env.ctl(["list"]).expect(0);
    assert!(
        table.lines().next().unwrap().ends_with("UPDATED") && table.contains("-----B••••--\u{fffd}"),
        "{table}"
    );
    assert_eq!(env.ctl(["list", "--json"]).run().json(), env.get("/user/secrets").expect(200));
    let json = env.ctl(["list", "--json", "--expiring", "30d"]).run().json();
    assert_eq!((&json["total"], json["secrets"][0].as_object().unwrap().len()), (&json!(1), 6));
    assert_eq!(
        env.ctl(["list", "--names", "--sort", "expiry"]).expect(0).lines().next(),
        Some("SHOP_STRIPE_KEY")
    );
    env.ctl(["list", "--unused", "soon"]).expect(7);
    // A part of a name is none, and there is a way to look for it.
    for (typed, told) in [
        ("stripe", "no secret has this name; for a part of one: secretctl list '*STRIPE*'"),
        ("NOPE", "no secret matches"),
        ("NOPE*", "no secret matches"),
    ] {
        for line in [&["list", typed][..], &["list", typed, "--names"]] {
            let output = env.ctl(line).run();
            output.assert_code(0);
            assert_eq!(
                (output.out(), output.err()),
                (String::new(), format!("secretctl: {told}\n")),
                "{line:?}"
            );
        }
        assert!(shown(&[typed], "X=1", told).contains(told));
    }
}

#[test]
fn the_log_at_a_terminal_fits_its_window_and_has_local_times() {
    let env = Env::unlocked(programs!());
    for name in ["OPENAI_API_KEY", "BLOG_DATABASE_URL", "STRIPE_KEY"] {
        env.store(name, KEY);
    }
    env.ctl(["run", "--all", "--", "true"]).expect(0);
    let client = env.programs().client;
    let shown = |zone: &str, flags: &str| {
        let script = format!("stty cols 80 && '{client}' audit {flags}; echo end.");
        let mut terminal =
            Terminal::run(&env, &["env", &format!("TZ={zone}"), "NO_COLOR=1", "sh", "-c", &script]);
        terminal.expect(0, "end.");
        terminal.shown()
    };
    let (east, west) = (shown("EST5", ""), shown("EST5", "--utc"));
    for text in [&east, &west] {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("DIRECTORY"), "{text}");
    }
    let time = |text: &str| text.lines().last().unwrap().to_owned() + text.lines().nth(1).unwrap();
    assert!(west.contains("TIME (UTC)") && !east.contains("(UTC)"), "{east}{west}");
    assert_ne!(time(&east), time(&west));
    assert!(env.ctl(["audit"]).expect(0).starts_with("TIME (UTC)"));
}

#[test]
fn a_token_goes_to_a_new_file_that_is_its_owners_alone() {
    let env = Env::unlocked(programs!());
    let file = env.path("home/agent.token");
    let create = |name: &str| {
        let flags =
            ["token", "create", "--name", name, "--scope", "list", "--output", file.to_str().unwrap()];
        env.ctl(flags).run()
    };
    let output = create("agent");
    output.assert_code(0);
    let token = fs::read_to_string(&file).unwrap();
    assert!(token.starts_with("ssd_") && token.ends_with('\n') && output.out().is_empty());
    assert!(!output.err().contains(token.trim()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    env.ctl(["list"]).env("SECRETSD_TOKEN_FILE", &file).expect(0);
    // What is there stays, and no token is created for nothing.
    create("other").assert_code(6);
    assert_eq!(fs::read_to_string(&file).unwrap(), token);
    assert_eq!(env.get("/tokens").expect(200)["tokens"].as_array().unwrap().len(), 1);
    // A shell's file is mostly one that others may read; such a token would be refused, and that is said at once.
    for (mask, is_said) in [("022", true), ("077", false)] {
        let script =
            format!("umask {mask}; \"$0\" token create --name of-{mask} --scope list > {mask}.token");
        let output = env.command("sh").args(["-c", &script, env.programs().client]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.contains("others could read the file that the token went to"), is_said, "{said}");
        assert!(output.status.success(), "{said}");
    }
}
