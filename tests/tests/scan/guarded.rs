//! Guarded secrets: they are left out by name, or a person allows them.

use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::terminal::Terminal;
use serde_json::json;

use crate::{PHRASE, Tree, VALUE, hook};

fn guarded(tree: &Tree) {
    tree.env.ctl(["guard", "PHRASE"]).expect(0);
}

/// The first digits of the ask that is named.
fn ask(said: &str) -> String {
    let (_, rest) =
        said.split_once("secretctl approve ").unwrap_or_else(|| panic!("no ask is named: {said}"));
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

/// Answers the only ask that waits.
fn answer(tree: &Tree, id: &str, mut body: serde_json::Value) {
    let asks = tree.env.get("/approvals").expect(200);
    let mut full = asks["approvals"].as_array().unwrap().iter().map(|ask| ask["id"].as_str().unwrap());
    let full = full.find(|full| full.starts_with(id)).unwrap().to_owned();
    if body["decision"] == "allow" {
        body["proof"] = json!({ "passphrase": PASSPHRASE });
    }
    tree.env.post(&format!("/approvals/{full}/decision"), &body).expect(200);
}

#[test]
fn a_guarded_secret_is_left_out_by_name_until_it_is_allowed_and_the_others_are_looked_for() {
    let tree = Tree::new();
    guarded(&tree);
    tree.write("clean", "nothing");
    tree.write("phrase", PHRASE);
    let output = tree.ctl(&["scan"]).run();
    assert_eq!(crate::told(&output, 1), [""; 0]);
    let said = output.err();
    assert!(
        said.contains("PHRASE is guarded, and nobody has allowed this; it was not looked for\nfix: "),
        "{said}"
    );
    assert!(
        said.contains("secretctl: 1 guarded value not looked for; nothing else found: looked for 1 value in 2 files and objects"),
        "{said}"
    );
    // What is not guarded is found all the same.
    tree.write("key", VALUE);
    assert_eq!(tree.scan(&[], 10), ["key:1:1 API_KEY clear"]);
    answer(&tree, &ask(&said), json!({ "decision": "allow", "scope": "always" }));
    assert_eq!(tree.scan(&[], 10), ["key:1:1 API_KEY clear", "phrase:1:1 PHRASE clear"]);
}

#[test]
fn what_is_denied_is_left_out_by_name_and_what_is_allowed_beside_it_is_not() {
    let tree = Tree::new();
    guarded(&tree);
    let said = tree.ctl(&["scan"]).run().err();
    answer(&tree, &ask(&said), json!({ "decision": "deny", "scope": "never" }));
    tree.env.store("THIRD", "a third value");
    tree.env.ctl(["guard", "THIRD"]).expect(0);
    tree.write("file", format!("{PHRASE}\n{VALUE}\na third value\n"));
    let output = tree.ctl(&["scan"]).run();
    assert_eq!(crate::told(&output, 10), ["file:2:1 API_KEY clear"]);
    let said = output.err();
    assert!(said.contains("THIRD is guarded, and nobody has allowed this; it was not looked for"), "{said}");
    assert!(said.contains("PHRASE is guarded, and a person or a rule has denied this"), "{said}");
    assert!(said.contains("2 guarded values not looked for"), "{said}");
    answer(&tree, &ask(&said), json!({ "decision": "allow", "scope": "always" }));
    assert_eq!(tree.scan(&[], 10), ["file:2:1 API_KEY clear", "file:3:1 THIRD clear"]);
    // A token that cannot list them says why, with the code that other commands have.
    let file = tree.env.path("narrow").display().to_string();
    tree.env.ctl(["token", "create", "--name", "narrow", "--scope", "reveal", "--output", &file]).expect(0);
    let output = tree.ctl(&["scan", "--token-file", &file]).run();
    assert_eq!(crate::told(&output, 3), [""; 0]);
    assert!(
        output.err().contains("PHRASE") && output.err().contains("secretctl approve "),
        "{}",
        output.err()
    );
}

#[test]
fn on_a_terminal_it_asks_and_goes_on() {
    let tree = Tree::new();
    guarded(&tree);
    tree.write("phrase", PHRASE);
    let (client, dir) = (tree.env.programs().client, tree.dir.display());
    let mut shell = Terminal::run(&tree.env, &["sh"]);
    shell.type_keys(&format!("cd '{dir}'; '{client}' scan; echo ended:$?\r"));
    shell.wait_for("PHRASE is guarded. Reveal it to ");
    shell.wait_for("[no]: ");
    shell.type_keys("once\r");
    shell.wait_for("passphrase: ");
    shell.type_keys(&format!("{PASSPHRASE}\r"));
    shell.wait_for("phrase:1:1 PHRASE clear");
    shell.wait_for("ended:10");
    shell.type_keys(&format!("'{client}' scan; echo again:$?\r"));
    shell.wait_for("[no]: ");
    shell.type_keys("\r");
    shell.wait_for("it was not looked for");
    shell.wait_for("again:1");
}

#[test]
fn the_hook_names_it_and_goes_on_when_it_is_allowed() {
    let Some(tree) = Tree::repository("the_hook_names_it_and_goes_on_when_it_is_allowed") else { return };
    guarded(&tree);
    hook::install(&tree);
    tree.write("clean", "x\n");
    tree.git(&["add", "clean"]);
    let (went, said) = hook::commit(&tree, &[]);
    assert!(!went && said.contains("PHRASE is guarded") && !said.contains("locked"), "{said}");
    assert!(said.contains("looked for 1 value in 1 file or object"), "{said}");
    answer(&tree, &ask(&said), json!({ "decision": "allow", "scope": "always" }));
    let (went, said) = hook::commit(&tree, &[]);
    assert!(went, "{said}");
    tree.write("clean", PHRASE);
    tree.git(&["add", "clean"]);
    let (went, said) = hook::commit(&tree, &[]);
    assert!(!went && said.contains("clean:1:1 PHRASE clear (staged)"), "{said}");
}

#[test]
fn where_nobody_can_be_asked_somebody_who_waits_answers() {
    let tree = Tree::new();
    guarded(&tree);
    tree.write("phrase", PHRASE);
    let state = tree.env.get("/approvals").expect(200)["changes"].to_string();
    thread::scope(|scope| {
        let approver = scope.spawn(|| {
            let told = tree.env.get(&format!("/approvals?wait=25&after={state}")).expect(200);
            let id = told["approvals"][0]["id"].as_str().unwrap().to_owned();
            answer(&tree, &id, json!({ "decision": "allow", "scope": "once" }));
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while tree.env.get("/approvals").expect(200)["approvers"] != 1 {
            assert!(Instant::now() < deadline, "nobody waits");
            thread::yield_now();
        }
        assert_eq!(tree.scan(&[], 10), ["phrase:1:1 PHRASE clear"]);
        approver.join().unwrap();
    });
}
