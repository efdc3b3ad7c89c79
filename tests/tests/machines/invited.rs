//! A machine that is not let in is told, and has nothing of the vault.

use std::collections::BTreeSet;

use secretsd_tests::process::until;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

use super::{join, two};

/// The paths of an invitation on both machines, once the joining one has answered by this name.
fn answered(inviter: &Env, joiner: &Env, name: &str, store: &std::path::Path) -> (String, String) {
    let invitation = inviter.post("/fleet/invitations", &Value::Null).expect(201);
    let request = json!({ "code": invitation["code"], "name": name, "directory": store });
    let joining = joiner.post("/fleet/join", &request).expect(201);
    let path = |id: &Value| format!("/fleet/invitations/{}", id.as_str().unwrap());
    (path(&invitation["id"]), path(&joining["id"]))
}

#[test]
fn a_joiner_whose_name_is_taken_is_told_and_joins_by_another() {
    let (a, _b, store) = two();
    a.store("KEY", "value");
    let c = Env::unlocked(programs!());
    let (waiting, confirm) = answered(&a, &c, "desktop", &store);
    a.get(&waiting).expect_error(409, "already_exists_error");
    c.get(&confirm).expect_error(409, "already_exists_error");
    // It is over on both, and nobody has come in.
    a.get(&waiting).expect_error(404, "not_found_error");
    c.get(&confirm).expect_error(404, "not_found_error");
    assert_eq!(c.get("/fleet").expect(200)["member"], false);
    assert_eq!(a.get("/fleet").expect(200)["machines"].as_array().unwrap().len(), 2);
    // The name is taken while the words are compared.
    let (waiting, confirm) = answered(&a, &c, "devbox", &store);
    assert_eq!(a.get(&waiting).expect(200)["state"], "answered");
    assert_eq!(c.get(&confirm).expect(200)["state"], "answered");
    let status = a.get("/fleet").expect(200);
    let laptop = status["machines"].as_array().unwrap().iter().find(|machine| machine["this"] == true);
    let laptop = format!("/fleet/machines/{}", laptop.unwrap()["id"].as_str().unwrap());
    a.request("PATCH", &laptop).json(&json!({ "name": "devbox" })).send().expect(200);
    c.post(&confirm, &json!({ "accept": true })).expect_error(504, "gateway_timeout_error");
    a.post(&waiting, &json!({ "accept": true })).expect_error(409, "already_exists_error");
    c.post(&confirm, &json!({ "accept": true })).expect_error(409, "already_exists_error");
    assert_eq!(c.get("/fleet").expect(200)["member"], false);
    join(&a, &c, "workstation", &store);
    until("the third one has the vault", || super::has(&c, "KEY"));
}

#[test]
fn a_no_on_one_machine_ends_it_on_the_other() {
    let (a, _b, store) = two();
    let c = Env::unlocked(programs!());
    let (waiting, confirm) = answered(&a, &c, "devbox", &store);
    assert_eq!(a.get(&waiting).expect(200)["state"], "answered");
    assert_eq!(c.get(&confirm).expect(200)["state"], "answered");
    let lengths = || -> BTreeSet<u64> {
        let steps = super::failures::names(&store).into_iter().filter(|name| name.starts_with("i-"));
        steps.map(|name| store.join(name).metadata().unwrap().len()).collect()
    };
    let said = lengths();
    assert_eq!(said.len(), 1);
    a.post(&waiting, &json!({ "accept": false })).expect(200);
    // The no is as long as what was said before.
    assert_eq!(lengths(), said);
    assert_eq!(c.post(&confirm, &json!({ "accept": true })).expect(200)["state"], "ended");
    c.get(&confirm).expect_error(404, "not_found_error");
    assert_eq!(c.get("/fleet").expect(200)["member"], false);
    // Nothing of it is left.
    let left = super::failures::names(&store).into_iter().filter(|name| name.starts_with("i-"));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn both_people_are_told_that_a_name_is_taken() {
    let (a, _b, store) = two();
    let c = Env::unlocked(programs!());
    let place = format!("dir:{}", store.display());
    let mut inviting = Terminal::ctl(&a, &["machine", "invite"]);
    inviting.wait_for("machine join --store dir:/");
    inviting.wait_for("15 minutes: ");
    let code = || {
        let shown = inviting.shown();
        shown.split("15 minutes: ").nth(1).unwrap().split_whitespace().next().map(str::to_owned)
    };
    until("the code is shown", || code().is_some_and(|code| code.len() == 14));
    let code = code().unwrap();
    let words = ["machine", "join", &code, "--store", &place, "--name", "desktop"];
    let mut joining = Terminal::ctl(&c, &words);
    inviting.wait_for("name is taken");
    assert_eq!(inviting.wait().code(), Some(6));
    joining.wait_for("desktop is there already");
    assert_eq!(joining.wait().code(), Some(6));
}
