use secrets_local::peer::lineage::{Lineage, Session, SessionKey};
use secrets_proto::SecretName;
use secrets_proto::reveal::{Purpose, Remark};

use super::*;
use crate::client::Said;

fn at(seconds: u64) -> Moment {
    Moment::default() + Duration::from_secs(seconds)
}

fn client(process: u64, session: u64, program: &str) -> Client {
    saying(process, Some(session), program, "")
}

fn saying(process: u64, session: Option<u64>, program: &str, said: &str) -> Client {
    let lineage = Lineage {
        process: ProcessKey::Inode(process),
        chain: vec![format!("p{process}")],
        session: session.map(|session| Session {
            key: SessionKey::Leader(ProcessKey::Inode(session)),
            tty: Some("pts/1".to_owned()),
            leader: "bash".to_owned(),
        }),
        unit: None,
        program: Some(program.to_owned()),
        script: None,
        directory: None,
    };
    let pid = i32::try_from(process).unwrap();
    Client::new(None, "owner".to_owned(), pid, Some(&lineage), &Said::parse(said.as_bytes()).unwrap())
}

fn named(numbers: &[u128]) -> Vec<(Uuid, Subject)> {
    let name =
        |number: &u128| (Uuid::from_u128(*number), SecretName::parse(&format!("S{number}")).unwrap().into());
    numbers.iter().map(name).collect()
}

/// Asks under a fresh id.
fn ask(approvals: &Approvals, client: &Client, numbers: &[u128], now: Moment) -> Answer {
    let secrets = named(numbers);
    let right = GuardedRight::Reveal;
    let asked = Asked { client, right, secrets: &secrets, purpose: None, reason: None };
    approvals.ask(Uuid::new_v4_for_tests(), &asked, |_| &[], now)
}

trait Fresh {
    fn new_v4_for_tests() -> Self;
}

impl Fresh for Uuid {
    fn new_v4_for_tests() -> Self {
        uuid::Builder::from_random_bytes(crate::crypto::random().unwrap()).into_uuid()
    }
}

fn id_of(answer: &Answer) -> Uuid {
    match answer {
        Answer::Asked { id, .. } => *id,
        Answer::Allowed(_) | Answer::Denied { .. } | Answer::TooMany => panic!("{answer:?}"),
    }
}

fn settle(
    approvals: &Approvals,
    id: Uuid,
    effect: Effect,
    scope: Option<ApprovalScope>,
    now: Moment,
) -> bool {
    let ask = approvals.find(id, now).unwrap();
    let settled = Settled { effect, scope, clients: rights::offered(&ask.client), seconds: 3_600, by: None };
    approvals.settle(id, &settled, |_| &[], now)
}

#[test]
fn equal_asks_are_one_and_one_answer_settles_all() {
    let approvals = Approvals::new();
    let first = ask(&approvals, &client(1, 1, "/a"), &[1], at(0));
    for process in 2..200 {
        let again = ask(&approvals, &client(process, 1, "/a"), &[1], at(0));
        assert_eq!(again, Answer::Asked { id: id_of(&first), is_new: false });
    }
    let (open, _) = approvals.open(at(1));
    assert_eq!((open.len(), open[0].count, open[0].processes), (1, 199, 199));
    // Another program, session or set is another ask.
    for (client, set) in
        [(client(1, 1, "/b"), vec![1]), (client(1, 2, "/a"), vec![1]), (client(1, 1, "/a"), vec![1, 2])]
    {
        assert_ne!(id_of(&ask(&approvals, &client, &set, at(1))), id_of(&first));
    }
    assert!(settle(&approvals, id_of(&first), Effect::Allow, Some(ApprovalScope::Session), at(2)));
    assert!(!settle(&approvals, id_of(&first), Effect::Deny, None, at(2)), "it was answered");
    for process in [1, 2, 500] {
        assert!(matches!(ask(&approvals, &client(process, 1, "/a"), &[1], at(3)), Answer::Allowed(_)));
    }
    assert!(matches!(ask(&approvals, &client(1, 2, "/a"), &[1], at(3)), Answer::Asked { .. }));
    assert!(matches!(ask(&approvals, &client(1, 1, "/b"), &[1], at(3)), Answer::Asked { .. }));
}

#[test]
fn once_is_for_one_request_of_the_process_that_was_shown() {
    let approvals = Approvals::new();
    let id = id_of(&ask(&approvals, &client(1, 1, "/a"), &[1], at(0)));
    assert_eq!(id_of(&ask(&approvals, &client(2, 1, "/a"), &[1], at(0))), id);
    let shown = approvals.open(at(0)).0.remove(0);
    assert_eq!((shown.client.pid, shown.count, shown.processes), (1, 2, 2));
    assert!(settle(&approvals, id, Effect::Allow, Some(ApprovalScope::Once), at(1)));
    // Another that waits in the same ask, and the same with another purpose than the one that was shown.
    assert_ne!(id_of(&ask(&approvals, &client(2, 1, "/a"), &[1], at(2))), id);
    assert_ne!(id_of(&asking(&approvals, &client(1, 1, "/a"), Some("other"), None, at(2))), id);
    // A third that is like them in all but itself.
    assert!(matches!(ask(&approvals, &client(3, 1, "/a"), &[1], at(2)), Answer::Asked { .. }));
    assert!(matches!(ask(&approvals, &client(1, 1, "/a"), &[1, 2], at(2)), Answer::Asked { .. }));
    assert!(matches!(ask(&approvals, &client(1, 1, "/a"), &[1], at(2)), Answer::Allowed(_)));
    assert!(matches!(ask(&approvals, &client(1, 1, "/a"), &[1], at(2)), Answer::Asked { .. }));
    assert!(matches!(ask(&approvals, &client(2, 1, "/a"), &[1], at(62)), Answer::Asked { .. }), "too late");
}

/// A person who answers at the terminal of a process has that one before its eyes, whichever was first.
#[test]
fn once_answered_by_a_process_that_asks_is_for_this_one() {
    let approvals = Approvals::new();
    let id = id_of(&ask(&approvals, &client(1, 1, "/a"), &[1], at(0)));
    ask(&approvals, &client(2, 1, "/a"), &[1], at(0));
    let found = approvals.find(id, at(0)).unwrap();
    let shown = |to: u64| approvals.to_wire(&found, Some(ProcessKey::Inode(to)), at(0)).client;
    assert_eq!((shown(2).pid, shown(2).chain), (2, vec!["p2".to_owned()]));
    assert_eq!((shown(1).pid, shown(9).pid), (1, 1));
    let settled = Settled {
        effect: Effect::Allow,
        scope: Some(ApprovalScope::Once),
        clients: rights::offered(&found.client),
        seconds: 0,
        by: Some(ProcessKey::Inode(2)),
    };
    // One more that comes while the passphrase is typed.
    ask(&approvals, &client(3, 1, "/a"), &[1], at(0));
    assert!(approvals.settle(id, &settled, |_| &[], at(1)));
    for other in [1, 3] {
        assert!(matches!(ask(&approvals, &client(other, 1, "/a"), &[1], at(2)), Answer::Asked { .. }));
    }
    assert!(matches!(ask(&approvals, &client(2, 1, "/a"), &[1], at(2)), Answer::Allowed(_)));
}

fn asking(
    approvals: &Approvals,
    client: &Client,
    purpose: Option<&str>,
    reason: Option<&str>,
    now: Moment,
) -> Answer {
    let secrets = named(&[1]);
    let purpose = purpose.map(|purpose| Purpose::parse(purpose).unwrap());
    let reason = reason.map(|reason| Remark::parse(reason).unwrap());
    let right = GuardedRight::Reveal;
    let (purpose, reason) = (purpose.as_ref(), reason.as_ref());
    let asked = Asked { client, right, secrets: &secrets, purpose, reason };
    approvals.ask(Uuid::new_v4_for_tests(), &asked, |_| &[], now)
}

#[test]
fn what_differs_in_anything_that_is_shown_is_another_ask() {
    let differing = [
        ("command=/c", None, None),
        ("directory=/d", None, None),
        ("", Some("get"), None),
        ("", None, Some("release")),
    ];
    for (said, purpose, reason) in differing {
        let approvals = Approvals::new();
        let first = id_of(&ask(&approvals, &client(1, 1, "/a"), &[1], at(0)));
        let other = asking(&approvals, &saying(2, Some(1), "/a", said), purpose, reason, at(0));
        assert_ne!(id_of(&other), first, "{said} {purpose:?} {reason:?}");
    }
    // Without a session nothing but the process itself is the same.
    let approvals = Approvals::new();
    let without = |process: u64| saying(process, None, "/a", "");
    let first = id_of(&ask(&approvals, &without(1), &[1], at(0)));
    assert_eq!(id_of(&ask(&approvals, &without(1), &[1], at(0))), first);
    assert_ne!(id_of(&ask(&approvals, &without(2), &[1], at(0))), first);
}

/// What a client says of itself, and which program it has become, is its own choice.
#[test]
fn askers_are_told_apart_by_what_they_cannot_choose() {
    type Case = (&'static str, fn(u64) -> Client);
    let cases: [Case; 4] = [
        ("a command", |n| saying(1, Some(1), "/a", &format!("command=/c{n}"))),
        ("another program in a session", |n| saying(n, Some(1), &format!("/a{n}"), "")),
        ("another process of a program", |n| saying(n, None, "/a", "")),
        ("another program of a process", |n| saying(1, None, &format!("/a{n}"), "")),
    ];
    for (what, client) in cases {
        let approvals = Approvals::new();
        let ids: Vec<Uuid> =
            (1..=4).map(|n| id_of(&ask(&approvals, &client(n), &[n.into()], at(0)))).collect();
        assert_eq!(ask(&approvals, &client(5), &[5], at(0)), Answer::TooMany, "{what}");
        assert!(settle(&approvals, ids[0], Effect::Deny, None, at(1)));
        let denied = Answer::Denied { rule: None, secrets: vec![Uuid::from_u128(1)] };
        assert_eq!(ask(&approvals, &client(6), &[1, 7], at(2)), denied, "{what}");
    }
}

#[test]
fn a_denial_cools_down_and_an_ask_without_an_answer_leaves_nothing() {
    let approvals = Approvals::new();
    let id = id_of(&ask(&approvals, &client(1, 1, "/a"), &[1, 2], at(0)));
    assert!(settle(&approvals, id, Effect::Deny, None, at(1)));
    assert_eq!(approvals.find(id, at(1)).unwrap().state, ApprovalState::Denied);
    // A part of it, too, or nobody would have peace.
    let denied = Answer::Denied { rule: None, secrets: vec![Uuid::from_u128(1)] };
    assert_eq!(ask(&approvals, &client(2, 1, "/a"), &[1], at(60)), denied);
    // Another program in the same terminal, too; not one elsewhere.
    assert_eq!(ask(&approvals, &client(1, 1, "/b"), &[1], at(2)), denied);
    assert!(matches!(ask(&approvals, &client(1, 2, "/a"), &[1], at(2)), Answer::Asked { .. }));
    let id = id_of(&ask(&approvals, &client(1, 1, "/a"), &[1, 2], at(62)));
    let expired = approvals.find(id, at(62 + 300)).unwrap();
    assert_eq!(expired.state, ApprovalState::Expired);
    assert!(matches!(
        ask(&approvals, &client(1, 1, "/a"), &[1, 2], at(62 + 301)),
        Answer::Asked { is_new: true, .. }
    ));
    assert_eq!(approvals.find(id, at(62 + 361)), None);
}

impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

#[test]
fn a_time_ends_and_a_lock_ends_everything() {
    let approvals = Approvals::new();
    let one = client(1, 1, "/a");
    let id = id_of(&ask(&approvals, &one, &[1], at(0)));
    assert!(settle(&approvals, id, Effect::Allow, Some(ApprovalScope::Time), at(0)));
    assert!(
        matches!(ask(&approvals, &client(9, 9, "/a"), &[1], at(3_599)), Answer::Allowed(_)),
        "any session"
    );
    assert!(
        matches!(ask(&approvals, &one, &[1], at(3_600)), Answer::Asked { .. }),
        "it is not prolonged by use"
    );
    let id = id_of(&ask(&approvals, &one, &[2], at(3_600)));
    assert!(settle(&approvals, id, Effect::Allow, Some(ApprovalScope::Session), at(3_600)));
    let open = id_of(&ask(&approvals, &one, &[3], at(3_601)));
    approvals.forget();
    assert!(matches!(ask(&approvals, &one, &[2], at(3_602)), Answer::Asked { .. }));
    assert_eq!(approvals.find(open, at(3_602)), None);
}

#[test]
fn no_more_than_32_wait_and_4_of_one_asker() {
    let approvals = Approvals::new();
    for number in 0..4 {
        id_of(&ask(&approvals, &client(1, 1, "/a"), &[number], at(0)));
    }
    assert_eq!(ask(&approvals, &client(1, 1, "/a"), &[9], at(0)), Answer::TooMany);
    for session in 2..30 {
        id_of(&ask(&approvals, &client(session, session, "/a"), &[1], at(0)));
    }
    assert_eq!(approvals.open(at(0)).0.len(), MOST);
    assert_eq!(ask(&approvals, &client(1, 99, "/a"), &[1], at(0)), Answer::TooMany);
    // One that is there counts up all the same.
    assert!(matches!(ask(&approvals, &client(1, 1, "/a"), &[0], at(0)), Answer::Asked { is_new: false, .. }));
}

#[test]
fn who_waits_is_an_approver_and_counted_once() {
    let (approvals, clock) = (Approvals::new(), Clock::new());
    assert_eq!(approvals.open(clock.now()).1, 0);
    let (one, other, another) =
        (approvals.waits(1, &clock), approvals.waits(1, &clock), approvals.waits(2, &clock));
    assert_eq!(approvals.open(clock.now()).1, 2);
    drop((one, other, another));
    // Between two calls it still counts.
    assert_eq!(approvals.open(clock.now()).1, 2);
    assert_eq!(approvals.open(clock.now() + BETWEEN_WAITS).1, 0);
}

/// What asks for nothing but the vault to be opened has no secrets to tell its asks by.
#[test]
fn a_denial_to_open_the_vault_cools_down_too() {
    let approvals = Approvals::new();
    let one = client(1, 1, "/a");
    let asked =
        Asked { client: &one, right: GuardedRight::Unlock, secrets: &[], purpose: None, reason: None };
    let id = id_of(&approvals.ask_a_person(Uuid::new_v4_for_tests(), &asked, at(0)));
    assert!(settle(&approvals, id, Effect::Deny, None, at(1)));
    let again = approvals.ask_a_person(Uuid::new_v4_for_tests(), &asked, at(2));
    assert_eq!(again, Answer::Denied { rule: None, secrets: Vec::new() });
}
