//! Ansible's vault client, asked by ansible-vault.

use crate::{TOKEN, World, assert_ends, installed};

#[test]
fn a_password_is_given_for_its_own_id() {
    let world = World::new();
    let ask = |words: &[&str]| world.run(&[&["secretctl-vault-client"], words].concat(), "");
    for (name, value) in
        [("ANSIBLE__PROD__EU", TOKEN), ("ANSIBLE__DEFAULT", "x\n"), ("ANSIBLE__LINES", "can\nary")]
    {
        world.env.store(name, value);
    }
    assert_eq!(ask(&["--vault-id", "prod-eu"]).out(), format!("{TOKEN}\n"));
    assert_eq!(ask(&["--vault-id=default"]).out(), "x\n");
    assert_eq!(ask(&[]).out(), "x\n");
    for (id, code) in
        [("prod", 2), ("prod.eu", 2), ("prod_eu", 2), ("lines", 7), ("Canary", 7), ("can ary", 7), ("", 7)]
    {
        let output = ask(&["--vault-id", id]);
        output.assert_code(code);
        assert_ends(&output, false);
    }
    assert!(ask(&["--vault-id", "prod"]).err().contains("no such secret: ANSIBLE__PROD"));
    world.expire("ANSIBLE__PROD__EU");
    assert!(ask(&["--vault-id", "prod-eu"]).err().contains("expired at 2020"));
}

#[test]
fn ansible_vault_encrypts_and_decrypts() {
    let Some(ansible) = installed("ansible_vault_encrypts_and_decrypts", "ansible-vault") else { return };
    let world = World::new();
    world.env.store("ANSIBLE__PROD", TOKEN);
    world.env.store("ANSIBLE__DEV", "another");
    let client = |id: &str| format!("{id}@{}", world.bin.join("secretctl-vault-client").display());
    let run = |words: &[&str]| {
        let mut command = world.command(&[&[ansible.as_str()], words].concat());
        command.env("ANSIBLE_LOCAL_TEMP", world.env.path("ansible"));
        world.run_with(command, "")
    };
    let file = world.env.private_file("vars.yml", "port: 1\n");
    let file = file.to_str().unwrap();
    assert_ends(&run(&["encrypt", "--vault-id", &client("prod"), file]), true);
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("$ANSIBLE_VAULT;1.2;AES256;prod\n"), "{text}");
    assert_eq!(run(&["view", "--vault-id", &client("prod"), file]).out(), "port: 1\n");
    assert_ends(&run(&["view", "--vault-id", &client("dev"), file]), false);
    let output = run(&["view", "--vault-id", &client("none"), file]);
    assert_ends(&output, false);
    assert!(output.err().contains("no such secret: ANSIBLE__NONE"), "{}", output.err());
    world.lock();
    let output = run(&["view", "--vault-id", &client("prod"), file]);
    assert_ends(&output, false);
    assert!(output.err().contains("the vault is locked; run: secretctl unlock"), "{}", output.err());
}
