//! The project's names in commands that take a name, and where names are told.

use std::fs;

use crate::{allow, manifest, shop, write};

const TEXT: &str = "A = { description = \"a\", required = false }\nENCODED = { description = \"e\", required = false, encoding = \"base64\" }\n[profiles.prod-eu]\nA = { required = false }";

#[test]
fn a_name_is_the_projects_own() {
    let (env, dir) = shop(TEXT);
    let ctl = |line: &[&str]| env.ctl(line).dir(&dir);
    ctl(&["set", "A", "--project"]).stdin("one").expect(0);
    ctl(&["set", "A", "--profile", "prod-eu"]).stdin("two").expect(0);
    assert_eq!((env.value("SHOP__A"), env.value("SHOP__PROD_EU__A")), ("one".to_owned(), "two".to_owned()));
    assert_eq!(ctl(&["get", "A", "--project"]).expect(0), "one");
    assert_eq!(ctl(&["get", "A", "--project", "--profile", "prod-eu"]).expect(0), "two");
    ctl(&["update", "A", "--project"]).stdin("three").expect(0);
    ctl(&["add", "A", "--project"]).stdin("x").run().assert_code(6);
    assert!(ctl(&["history", "A", "--project"]).expect(0).contains("current"));
    ctl(&["rollback", "A", "1", "--project"]).expect(0);
    assert_eq!(env.value("SHOP__A"), "one");
    ctl(&["edit", "A", "--project", "--note", "n"]).expect(0);
    // By the variable, too; and what the profile lacks is the project's.
    let get = env.ctl(["get", "A", "--project"]).dir(&dir).env("SECRETSPEC_PROFILE", "prod-eu");
    assert_eq!(get.expect(0), "two");
    ctl(&["rm", "A", "--project", "--profile", "prod-eu"]).expect(0);
    assert_eq!(ctl(&["get", "A", "--project", "--profile", "prod-eu"]).expect(0), "one");
    // What changes something changes nothing else.
    ctl(&["rm", "A", "--project", "--profile", "prod-eu"]).run().assert_code(4);
    ctl(&["set", "A", "--profile", "none"]).stdin("x").run().assert_code(4);
    // One that the manifest does not name is stored, and said.
    let output = ctl(&["set", "OTHER", "--project"]).stdin("x").run();
    output.assert_code(0);
    assert!(output.err().contains("does not name "), "{}", output.err());
    ctl(&["get", "OTHER", "--project"]).run().assert_code(4);
    ctl(&["set", "sk-proj-canarycanarycanary", "--project"]).stdin("x").run().assert_code(2);
}

#[test]
fn values_are_written_as_the_manifest_says() {
    let (env, dir) = shop(TEXT);
    fs::write(dir.join("key"), b"\x00\xff").unwrap();
    env.ctl(["set", "ENCODED", "--project", "--value-file", "key"]).dir(&dir).expect(0);
    assert_eq!(env.value("SHOP__ENCODED"), "AP8=");
    // No variable holds that.
    env.ctl(["run", "--", "true"]).dir(&dir).run().assert_code(125);
    env.ctl(["set", "ENCODED", "--project"]).dir(&dir).stdin("text").expect(0);
    assert_eq!(env.ctl(["get", "ENCODED", "--project"]).dir(&dir).expect(0), "text");
    env.ctl(["set", "SHOP__ENCODED"]).stdin("*").expect(0);
    let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
    output.assert_code(125);
    assert!(output.err().contains("SHOP__ENCODED is not base64"), "{}", output.err());
}

#[test]
fn a_list_of_the_project_has_short_names() {
    let (env, dir) = shop(TEXT);
    for name in ["SHOP__A", "SHOP__PROD_EU__A", "SHOP__Z", "SHOPPING", "OTHER__A"] {
        env.store(name, "value-of-this-one");
    }
    let list = env.ctl(["list", "--project"]).dir(&dir).expect(0);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(rows, [["NAME", "PROFILE"], ["A", "-"], ["A", "prod-eu"], ["Z", "-"]]);
    assert_eq!(env.ctl(["list", "--project", "--names"]).dir(&dir).expect(0), "A\nZ\n");
    assert_eq!(env.ctl(["list", "--project", "--names", "Z*"]).dir(&dir).expect(0), "Z\n");
    let json = env.ctl(["list", "--project", "--json"]).dir(&dir).run().json();
    assert_eq!((json["total"].as_u64(), json["secrets"][0]["name"].as_str()), (Some(3), Some("SHOP__A")));
    assert!(env.ctl(["list", "SHOP__*"]).expect(0).contains("SHOP__PROD_EU__A"));
}

#[test]
fn where_and_uses_know_projects() {
    let (env, dir) = shop("A = { description = \"a\" }\nB = { description = \"b\" }");
    env.store("A", "shared");
    env.store("SHOP__B", "own");
    allow(&env, &dir);
    env.ctl(["run", "--", "true"]).dir(&dir).expect(0);
    let told = env.ctl(["where", "A", "--json"]).run().json();
    assert_eq!((told[0]["program"].as_str(), told[0]["project"].as_str()), (Some("true"), Some("shop")));
    assert!(env.ctl(["where", "A"]).expect(0).contains("PROJECT"));
    assert_eq!(env.ctl(["where", "B", "--project", "--json"]).dir(&dir).run().json()[0]["project"], "shop");
    for (name, key) in
        [("A", Some("A")), ("SHOP__A", Some("A")), ("SHOP__B", Some("B")), ("B", None), ("Z", None)]
    {
        let uses = env.ctl(["uses", name, "--json"]).run().json();
        assert_eq!(uses[0]["key"].as_str(), key, "{name}");
    }
    assert!(env.ctl(["uses", "SHOP__B"]).expect(0).contains("shop"));
}

#[test]
fn a_project_begins_with_a_dotenv_file() {
    let (env, _) = shop(TEXT);
    let dir = env.path("home/new");
    fs::create_dir_all(dir.join(".git")).unwrap();
    write(&dir, ".env", "DATABASE_URL=canary-one\napi_key=canary-two\n");
    let output = env.ctl(["project", "init", "--from", ".env", "--name", "My App"]).dir(&dir).run();
    output.assert_code(0);
    let text = fs::read_to_string(dir.join("secretspec.toml")).unwrap();
    assert!(text.contains("name = \"My App\"") && !text.contains("canary"), "{text}");
    assert_eq!(env.value("MY_APP__API_KEY"), "canary-two");
    env.ctl(["run", "--", "true"]).dir(&dir).run().assert_code(125);
    allow(&env, &dir);
    env.ctl(["check"]).dir(&dir).expect(0);
    // What is there stays.
    env.ctl(["project", "init", "A"]).dir(&dir).run().assert_code(6);
    assert_eq!(fs::read_to_string(dir.join("secretspec.toml")).unwrap(), text);
    env.ctl(["import", ".env", "--project", "--on-conflict", "replace"]).dir(&dir).expect(0);
    let other = env.path("home/bare");
    fs::create_dir_all(&other).unwrap();
    env.ctl(["project", "init"]).dir(&other).run().assert_code(2);
    env.ctl(["project", "init", "A=canary"]).dir(&other).run().assert_code(7);
    env.ctl(["project", "init", "A", "B"]).dir(&other).expect(0);
    assert!(fs::read_to_string(other.join("secretspec.toml")).unwrap().contains("name = \"bare\""));
    let _ = manifest("x", "");
}
