//! What is missing: asked for at a terminal, or made.

use secretsd_tests::terminal::Terminal;

use crate::{allow, manifest, printed, shop, write};

#[test]
fn what_is_missing_is_asked_for_by_its_description_and_stored() {
    let text = "API_KEY = { description = \"the shop's key of its bank\" }\nURL = { description = \"u\", composed = \"x:${PASSWORD}\" }\nPASSWORD = { description = \"of the database\", encoding = \"base64\" }\nLATER = { description = \"l\", required = false }\nMADE = { description = \"m\", type = \"hex\", generate = { bytes = 4 } }\nONE = { description = \"one of two\", required = { at_least_one = \"g\" } }\nTWO = { description = \"two of two\", required = { at_least_one = \"g\" } }";
    let (env, dir) = shop(text);
    // Never without a terminal.
    let output = env.ctl(["check", "--fill"]).dir(&dir).stdin("canary\n").run();
    output.assert_code(2);
    assert!(output.err().contains("no terminal"), "{}", output.err());
    let file = dir.join("secretspec.toml");
    let mut terminal = Terminal::ctl(&env, &["check", "--fill", "--manifest", file.to_str().unwrap()]);
    terminal.wait_for("API_KEY: the shop's key of its bank");
    terminal.wait_for_echo(false);
    terminal.type_keys("canary-key\n");
    terminal.wait_for("stored SHOP__API_KEY");
    terminal.wait_for("ONE: one of two");
    terminal.wait_for_echo(false);
    terminal.type_keys("\n");
    terminal.wait_for("ONE was left out");
    terminal.wait_for("PASSWORD: of the database");
    terminal.wait_for_echo(false);
    terminal.type_keys("canary-password\n");
    terminal.wait_for("TWO: two of two");
    terminal.wait_for_echo(false);
    terminal.type_keys("canary-two\n");
    terminal.wait_for("stored SHOP__TWO");
    assert!(terminal.wait().success());
    assert!(!terminal.shown().contains("canary"), "{}", terminal.shown());
    env.ctl(["check"]).dir(&dir).expect(0);
    assert_eq!(env.value("SHOP__PASSWORD"), "Y2FuYXJ5LXBhc3N3b3Jk");
    assert_eq!(
        printed(&env, &dir, &[], "echo $API_KEY $URL $TWO ${#MADE}"),
        "canary-key x:canary-password canary-two 8\n"
    );
}

#[test]
fn what_has_a_recipe_is_made_once_and_said() {
    let text = "A = { description = \"a\", type = \"password\", generate = true }\nB = { description = \"b\", type = \"uuid\", generate = true, required = false }\nC = { description = \"c\", type = \"base64\", generate = { bytes = 6 }, encoding = \"hex\" }";
    let (env, dir) = shop(text);
    // Looking makes nothing.
    assert_eq!(env.ctl(["check"]).dir(&dir).run().code, Some(4));
    let run = || env.ctl(["run", "--", "sh", "-c", "echo $A $B $C"]).dir(&dir).run();
    let first = run();
    for said in ["made A (password), and stored it as SHOP__A", "SHOP__B", "SHOP__C"] {
        assert!(first.err().contains(said), "{}", first.err());
    }
    let out = first.out();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words.iter().map(|word| word.len()).collect::<Vec<_>>(), [32, 36, 8]);
    assert!(!first.err().contains(words[0]));
    assert_eq!(env.value("SHOP__A"), words[0]);
    assert_eq!(env.value("SHOP__C").len(), 16);
    let second = run();
    assert_eq!((second.out(), second.err()), (out.clone(), String::new()));
    // A profile has its own only when one is stored there.
    write(&dir, "secretspec.toml", &manifest("shop", &format!("{text}\n[profiles.p]\n")));
    allow(&env, &dir);
    assert_eq!(printed(&env, &dir, &["--profile", "p"], "echo $A $B $C"), out);
    let token = env.ctl(["token", "create", "--name", "t", "--scope", "list,reveal"]).expect(0);
    env.ctl(["rm", "SHOP__A"]).expect(0);
    let output = env.ctl(["run", "--", "true"]).dir(&dir).env("SECRETSD_TOKEN", token.trim()).run();
    output.assert_code(125);
    assert!(output.err().contains("SHOP__A cannot be stored"), "{}", output.err());
}

#[test]
fn what_is_to_be_asked_for_is_asked_when_a_command_needs_it() {
    let (env, dir) = shop("A = { description = \"the code of today\", prompt = true }");
    let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
    output.assert_code(125);
    assert!(output.err().contains("missing: A"), "{}", output.err());
    let file = dir.join("secretspec.toml");
    let line = ["run", "--manifest", file.to_str().unwrap(), "--", "sh", "-c", "echo got ${#A}"];
    let mut terminal = Terminal::ctl(&env, &line);
    terminal.wait_for("A: the code of today");
    terminal.wait_for_echo(false);
    terminal.type_keys("canary\n");
    terminal.expect(0, "got 6");
    assert_eq!(env.value("SHOP__A"), "canary");
    env.ctl(["run", "--", "true"]).dir(&dir).expect(0);
}
