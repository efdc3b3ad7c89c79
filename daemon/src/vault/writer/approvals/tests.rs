use secrets_local::peer::lineage::{Lineage, Session};

use super::*;
use crate::client::Said;

fn at(seconds: u64) -> Moment {
    Moment::default() + Duration::from_secs(seconds)
}

fn client(process: u64, session: u64, program: &str) -> Client {
    let lineage = Lineage {
        process: ProcessKey::Inode(process),
        chain: Vec::new(),
        session: Some(Session {
            key: SessionKey::Leader(ProcessKey::Inode(session)),
            tty: Some("pts/1".to_owned()),
            leader: "bash".to_owned(),
        }),
        unit: None,
        program: Some(program.to_owned()),
        script: None,
        directory: None,
    };
    Client::new(None, "owner".to_owned(), 1, Some(&lineage), &Said::default())
}

fn named(numbers: &[u128]) -> Vec<(Uuid, SecretName)> {
    let name = |number: &u128| (Uuid::from_u128(*number), SecretName::parse(&format!("S{number}")).unwrap());
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
        Answer::Allowed(_) | Answer::Denied(_) | Answer::TooMany => panic!("{answer:?}"),
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
    let settled = Settled { effect, scope, clients: rights::offered(&ask.client), seconds: 3_600 };
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
    assert_eq!((open.len(), open[0].count), (1, 199));
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
fn once_is_for_one_request_of_the_processes_that_wait() {
    let approvals = Approvals::new();
    let id = id_of(&ask(&approvals, &client(1, 1, "/a"), &[1], at(0)));
    ask(&approvals, &client(2, 1, "/a"), &[1], at(0));
    assert!(settle(&approvals, id, Effect::Allow, Some(ApprovalScope::Once), at(1)));
    // A third that is like them in all but itself.
    assert!(matches!(ask(&approvals, &client(3, 1, "/a"), &[1], at(2)), Answer::Asked { .. }));
    assert!(matches!(ask(&approvals, &client(1, 1, "/a"), &[1, 2], at(2)), Answer::Asked { .. }));
    assert!(matches!(ask(&approvals, &client(1, 1, "/a"), &[1], at(2)), Answer::Allowed(_)));
    assert!(matches!(ask(&approvals, &client(1, 1, "/a"), &[1], at(2)), Answer::Asked { .. }));
    assert!(matches!(ask(&approvals, &client(2, 1, "/a"), &[1], at(62)), Answer::Asked { .. }), "too late");
}

#[test]
fn a_denial_cools_down_and_an_ask_without_an_answer_leaves_nothing() {
    let approvals = Approvals::new();
    let id = id_of(&ask(&approvals, &client(1, 1, "/a"), &[1, 2], at(0)));
    assert!(settle(&approvals, id, Effect::Deny, None, at(1)));
    assert_eq!(approvals.find(id, at(1)).unwrap().state, ApprovalState::Denied);
    // A part of it, too, or nobody would have peace.
    assert_eq!(ask(&approvals, &client(2, 1, "/a"), &[1], at(60)), Answer::Denied(None));
    assert!(matches!(ask(&approvals, &client(1, 1, "/b"), &[1], at(2)), Answer::Asked { .. }));
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
        id_of(&ask(&approvals, &client(1, session, "/a"), &[1], at(0)));
    }
    assert_eq!(approvals.open(at(0)).0.len(), MOST);
    assert_eq!(ask(&approvals, &client(1, 99, "/a"), &[1], at(0)), Answer::TooMany);
    // One that is there counts up all the same.
    assert!(matches!(ask(&approvals, &client(1, 1, "/a"), &[0], at(0)), Answer::Asked { is_new: false, .. }));
}

#[test]
fn whoever_waits_is_an_approver_and_counted_once() {
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
