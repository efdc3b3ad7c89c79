//! A machine that is not let in is told, and has nothing of the vault.

use std::collections::BTreeSet;
use std::path::Path;

use secretsd_tests::harness::skip;
use secretsd_tests::process::until;
use secretsd_tests::small_disk::Small;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

use super::{join, two};

/// The paths of an invitation on both machines, once the joining one has answered by this name.
fn answered(inviter: &Env, joiner: &Env, name: &str, store: &Path) -> (String, String) {
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

fn machines(env: &Env) -> usize {
    env.get("/fleet").expect(200)["machines"].as_array().unwrap().len()
}

fn steps(store: &Path) -> Vec<String> {
    super::failures::names(store).into_iter().filter(|name| name.starts_with("i-")).collect()
}

fn yes() -> Value {
    json!({ "accept": true })
}

#[test]
fn nobody_is_let_in_before_both_have_said_yes() {
    let (a, _b, store) = two();
    let c = Env::unlocked(programs!());
    // The joining one says no, before the yes of the other and after it, and after its own.
    for (says_yes_first, is_after) in [(false, false), (false, true), (true, false), (true, true)] {
        let (waiting, confirm) = answered(&a, &c, "devbox", &store);
        assert_eq!(a.get(&waiting).expect(200)["state"], "answered");
        assert_eq!(c.get(&confirm).expect(200)["state"], "answered");
        let lists =
            || super::failures::names(&store).into_iter().filter(|name| name.starts_with("m-")).count();
        let before = lists();
        if is_after {
            a.post(&waiting, &yes()).expect_error(504, "gateway_timeout_error");
            a.post(&waiting, &yes()).expect_error(504, "gateway_timeout_error");
        }
        if says_yes_first {
            c.post(&confirm, &yes()).expect_error(504, "gateway_timeout_error");
        }
        assert_eq!((machines(&a), lists()), (2, before));
        let sizes = || -> BTreeSet<u64> {
            steps(&store).iter().map(|name| store.join(name).metadata().unwrap().len()).collect()
        };
        let said = sizes();
        c.post(&confirm, &json!({ "accept": false })).expect(200);
        assert_eq!(sizes(), said, "a no is as long as a yes");
        let told = if is_after { a.post(&waiting, &yes()) } else { a.get(&waiting) };
        assert_eq!(told.expect(200)["state"], "ended");
        a.post(&waiting, &yes()).expect_error(404, "not_found_error");
        assert_eq!(
            (machines(&a), lists(), c.get("/fleet").expect(200)["member"].clone()),
            (2, before, json!(false))
        );
        assert_eq!(steps(&store), [""; 0]);
    }
    // In either order of the two yeses it is done once both are there.
    let (waiting, confirm) = answered(&a, &c, "devbox", &store);
    a.get(&waiting).expect(200);
    c.get(&confirm).expect(200);
    a.post(&waiting, &yes()).expect_error(504, "gateway_timeout_error");
    c.post(&confirm, &yes()).expect_error(504, "gateway_timeout_error");
    assert_eq!(machines(&a), 2);
    a.post(&waiting, &yes()).expect(200);
    assert_eq!(c.post(&confirm, &yes()).expect(200)["state"], "done");
    assert_eq!((machines(&a), steps(&store)), (3, vec![]));
}

/// A store that puts back what a machine has said before cannot make a yes of a no, nor of one to another invitation.
#[test]
fn a_yes_that_is_put_back_lets_nobody_in() {
    let (a, _b, store) = two();
    let c = Env::unlocked(programs!());
    let kept = a.private_dir("kept");
    let (waiting, confirm) = answered(&a, &c, "devbox", &store);
    a.get(&waiting).expect(200);
    c.get(&confirm).expect(200);
    c.post(&confirm, &yes()).expect_error(504, "gateway_timeout_error");
    for name in steps(&store) {
        std::fs::copy(store.join(&name), kept.join(&name)).unwrap();
    }
    let put_back = || {
        for name in super::failures::names(&kept) {
            std::fs::copy(kept.join(&name), store.join(&name)).unwrap();
        }
    };
    c.post(&confirm, &json!({ "accept": false })).expect(200);
    put_back();
    assert_eq!(a.post(&waiting, &yes()).expect(200)["state"], "ended");
    let (waiting, confirm) = answered(&a, &c, "devbox", &store);
    put_back();
    a.get(&waiting).expect(200);
    c.get(&confirm).expect(200);
    // Under the name of this code, too.
    let own = steps(&store).into_iter().find(|name| !kept.join(name).exists()).unwrap();
    for name in super::failures::names(&kept) {
        let renamed = format!("{}{}", &own[..18], &name[18..]);
        std::fs::copy(kept.join(&name), store.join(renamed)).unwrap();
    }
    a.post(&waiting, &yes()).expect_error(504, "gateway_timeout_error");
    assert_eq!(machines(&a), 2);
}

#[test]
fn another_invitation_ends_the_one_before_it_on_both_machines() {
    let (a, b, store) = two();
    let c = Env::unlocked(programs!());
    let (waiting, confirm) = answered(&a, &c, "devbox", &store);
    a.get(&waiting).expect(200);
    c.get(&confirm).expect(200);
    a.post("/fleet/invitations", &Value::Null).expect(201);
    assert_eq!(c.post(&confirm, &yes()).expect(200)["state"], "ended");
    a.get(&waiting).expect_error(404, "not_found_error");
    // And who joins by another code has said no to the one before.
    let (first, before) = answered(&a, &c, "devbox", &store);
    assert_eq!(a.get(&first).expect(200)["state"], "answered");
    c.get(&before).expect(200);
    let (second, confirm) = answered(&b, &c, "devbox", &store);
    assert_eq!(a.get(&first).expect(200)["state"], "ended");
    b.get(&second).expect(200);
    c.get(&confirm).expect(200);
    c.post(&confirm, &yes()).expect_error(504, "gateway_timeout_error");
    b.post(&second, &yes()).expect(200);
    c.post(&confirm, &yes()).expect(200);
}

/// Two terminals at which five words are to be compared.
fn comparing(a: &Env, c: &Env, store: &Path) -> (Terminal, Terminal) {
    let place = format!("dir:{}", store.display());
    let mut inviting = Terminal::ctl(a, &["machine", "invite"]);
    inviting.wait_for("15 minutes: ");
    let code = || {
        let shown = inviting.shown();
        shown.split("15 minutes: ").nth(1).unwrap().split_whitespace().next().map(str::to_owned)
    };
    until("the code is shown", || code().is_some_and(|code| code.len() == 14));
    let mut joining =
        Terminal::ctl(c, &["machine", "join", &code().unwrap(), "--store", &place, "--name", "devbox"]);
    inviting.wait_for("same five words? [y/N] ");
    joining.wait_for("same five words? [y/N] ");
    (inviting, joining)
}

#[test]
fn whoever_has_said_yes_is_told_of_the_others_no() {
    let (a, _b, store) = two();
    let c = Env::unlocked(programs!());
    for is_joiner in [true, false] {
        let (mut inviting, mut joining) = comparing(&a, &c, &store);
        let (yes, no) = if is_joiner { (&mut inviting, &mut joining) } else { (&mut joining, &mut inviting) };
        yes.type_keys("y\n");
        yes.wait_for("waiting for the other machine to say yes, too");
        no.type_keys("n\n");
        assert_eq!(no.wait().code(), Some(0));
        yes.wait_for("the other machine said no; nothing was joined");
        assert_eq!(yes.wait().code(), Some(5));
        assert!(!inviting.shown().contains("is a machine of the vault now"));
        assert_eq!(machines(&a), 2);
    }
    // Who stops waiting takes the yes back.
    for is_joiner in [true, false] {
        let (mut inviting, mut joining) = comparing(&a, &c, &store);
        let (stopped, other) =
            if is_joiner { (&mut joining, &mut inviting) } else { (&mut inviting, &mut joining) };
        stopped.type_keys("y\n");
        stopped.wait_for("waiting for the other machine to say yes, too");
        stopped.type_keys("\x03");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&stopped.wait()), Some(2));
        other.type_keys("y\n");
        other.wait_for("the other machine said no; nothing was joined");
        assert_eq!((other.wait().code(), machines(&a)), (Some(5), 2));
    }
}

#[test]
fn nobody_is_let_in_for_whom_there_is_no_room() {
    if let Some(reason) = Small::unavailable() {
        return skip("a full exchange", reason);
    }
    let mut a = Env::new(programs!());
    let disk = Small::mount(&a, 512);
    let mut c = Env::new(programs!());
    for env in [&mut a, &mut c] {
        env.start_as(disk.inside(env, &[env.programs().daemon]));
        env.init();
    }
    let store = a.path("disk/data");
    a.post("/fleet", &json!({ "name": "laptop", "directory": &store })).expect(201);
    let (waiting, confirm) = answered(&a, &c, "devbox", &store);
    a.get(&waiting).expect(200);
    c.get(&confirm).expect(200);
    c.post(&confirm, &yes()).expect_error(504, "gateway_timeout_error");
    let filler = a.path("disk/filler").display().to_string();
    disk.run(&a, &["sh", "-c", &format!("head -c 1m /dev/zero > '{filler}' || true")]);
    for _ in 0..2 {
        let told = a.post(&waiting, &yes()).expect_error(502, "bad_gateway_error").to_string();
        assert!(told.contains("no room") && told.contains("256 MiB"), "{told}");
        assert_eq!(machines(&a), 1);
    }
    a.store("KEY", "value");
    let told = a.ctl(["sync"]).run();
    told.assert_code(9);
    assert!(told.err().contains("no room"), "{}", told.err());
    disk.run(&a, &["rm", &filler]);
    a.post(&waiting, &yes()).expect(200);
    assert_eq!(c.post(&confirm, &yes()).expect(200)["state"], "done");
    super::sync_all(&[&a, &c]);
    assert_eq!((machines(&a), c.value("KEY")), (2, "value".to_owned()));
}

#[test]
fn a_machine_that_was_let_in_and_has_said_nothing_is_listed_so() {
    let (a, b, store) = two();
    let c = Env::unlocked(programs!());
    let (waiting, confirm) = answered(&a, &c, "devbox", &store);
    a.get(&waiting).expect(200);
    c.get(&confirm).expect(200);
    c.post(&confirm, &yes()).expect_error(504, "gateway_timeout_error");
    a.post(&waiting, &yes()).expect(200);
    super::sync_all(&[&a, &b]);
    for env in [&a, &b] {
        let listed = env.ctl(["machine", "list"]).expect(0);
        assert!(listed.lines().any(|line| line.ends_with("let in, not heard yet")), "{listed}");
        let fleet = env.get("/fleet").expect(200);
        let unheard: Vec<_> = fleet["machines"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|machine| machine["unheard"] == true)
            .collect();
        assert!(unheard.len() == 1 && unheard[0]["name"] == "devbox", "{fleet}");
    }
    c.post(&confirm, &yes()).expect(200);
    super::sync_all(&[&a, &b]);
    for env in [&a, &b] {
        assert!(!env.get("/fleet").expect(200).to_string().contains("unheard"));
    }
    // One that is removed is listed with when.
    a.ctl(["machine", "remove", "devbox"]).expect(0);
    super::sync_all(&[&a, &b]);
    for env in [&a, &b] {
        let listed = env.ctl(["machine", "list"]).expect(0);
        assert!(
            listed.lines().any(|line| line.starts_with("devbox") && line.contains("removed 20")),
            "{listed}"
        );
    }
    // And is told the way back.
    for words in [&["sync"][..], &["machine", "list"]] {
        let told = c.ctl(words).run();
        assert!(
            told.err().contains("secretctl machine invite") && told.err().contains("join"),
            "{}",
            told.err()
        );
    }
}

#[test]
fn a_member_that_joins_is_refused_before_it_is_asked_for_a_code() {
    let (a, _b, store) = two();
    let place = format!("dir:{}", store.display());
    let mut joining = Terminal::ctl(&a, &["machine", "join", "--store", &place, "--name", "other"]);
    joining.wait_for("is on several machines already");
    assert_eq!(joining.wait().code(), Some(6));
    assert!(!joining.shown().contains("code:"), "{}", joining.shown());
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
