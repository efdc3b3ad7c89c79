use proptest::prelude::*;
use secrets_local::peer::lineage::{Lineage, ProcessKey, Session};
use secrets_proto::Timestamp;
use secrets_proto::approval::Effect;

use super::*;
use crate::client::Said;
use crate::vault::format::approval_rule::Meta;

fn moment(seconds: u64) -> Moment {
    Moment::default() + std::time::Duration::from_secs(seconds)
}

fn client(token: Option<Uuid>, session: u64, program: &str, directory: &str, command: &str) -> Client {
    let lineage = Lineage {
        process: ProcessKey::Inode(1),
        chain: Vec::new(),
        session: Some(Session {
            key: SessionKey::Leader(ProcessKey::Inode(session)),
            tty: Some("pts/1".to_owned()),
            leader: "bash".to_owned(),
        }),
        unit: None,
        program: Some(program.to_owned()),
        script: None,
        directory: Some(directory.to_owned()),
    };
    let header = if command.is_empty() { String::new() } else { format!("command={command}") };
    Client::new(token, "t".to_owned(), 1, Some(&lineage), &Said::parse(header.as_bytes()).unwrap())
}

fn rule(secret: Uuid, effect: Effect, right: GuardedRight, clients: Pattern) -> Arc<ApprovalRule> {
    let created_at = Timestamp::now();
    let meta = Meta { secret, effect, rights: vec![right], clients, created_at };
    Arc::new(ApprovalRule::new(Uuid::from_u128(99), meta))
}

#[test]
fn what_is_offered_is_what_a_person_would_name() {
    let npm = client(None, 1, "/usr/bin/make", "/src/shop", "/usr/bin/curl");
    let offer = offered(&npm);
    assert_eq!(
        (offer.command.as_deref(), offer.directory.as_deref()),
        (Some("/usr/bin/curl"), Some("/src/shop"))
    );
    assert_eq!(offer.program, None);
    assert!(may_be_allowed(&offer) && offer.fits(&npm));
    let elsewhere = client(None, 1, "/usr/bin/make", "/src/shopping", "/usr/bin/curl");
    assert!(!offer.fits(&elsewhere), "a directory is no beginning of another's name");
    let below = client(None, 1, "/usr/bin/make", "/src/shop/web", "/usr/bin/curl");
    assert!(offer.fits(&below));
    // A shell or interpreter by itself is any program.
    for (program, command) in [
        ("/usr/bin/bash", ""),
        ("/usr/bin/python3.12", ""),
        ("/usr/bin/make", "/bin/sh"),
        ("/usr/bin/env", ""),
        ("/usr/bin/curl", "/usr/bin/env"),
        ("/usr/bin/curl", "/usr/bin/timeout"),
        ("/usr/bin/curl", "/usr/bin/npm"),
    ] {
        let bare = client(None, 1, program, "/src", command);
        assert!(!may_be_allowed(&offered(&bare)), "{program} {command}");
        let scopes = scopes(&bare);
        assert!(!scopes.contains(&ApprovalScope::Always) && !scopes.contains(&ApprovalScope::Time));
        assert!(scopes.contains(&ApprovalScope::Session));
    }
    let token = client(Some(Uuid::from_u128(5)), 1, "/usr/bin/bash", "/src", "");
    assert_eq!(offered(&token), Pattern { token: Some(Uuid::from_u128(5)), ..Pattern::default() });
    assert!(may_be_allowed(&offered(&token)));
}

#[test]
fn narrowing_never_widens() {
    let npm = client(None, 1, "/usr/bin/make", "/src/shop", "/usr/bin/curl");
    let offer = offered(&npm);
    let by = |narrowing: Narrowing| narrowed(&offer, &narrowing, &npm);
    let program =
        by(Narrowing { program: Some("/usr/bin/make".to_owned()), ..Narrowing::default() }).unwrap();
    assert_eq!(program.command, offer.command);
    assert!(program.fits(&npm));
    for wrong in [
        Narrowing { program: Some("/usr/bin/other".to_owned()), ..Narrowing::default() },
        Narrowing { directory: Some("/src".to_owned()), ..Narrowing::default() },
        Narrowing { directory: Some("/other".to_owned()), ..Narrowing::default() },
        Narrowing { unit: Some("x.service".to_owned()), ..Narrowing::default() },
    ] {
        assert_eq!(by(wrong.clone()), None, "{wrong:?}");
    }
}

/// What the rules say, from a table of single cases: every secret by itself, in the order of the contract.
fn expected(
    client: &Client,
    right: GuardedRight,
    secrets: &[Uuid],
    rules: &[Arc<ApprovalRule>],
    memory: &[MemoryRule],
    now: Moment,
) -> &'static str {
    let fits = |pattern: &Pattern| {
        pattern.token == client.token
            && (pattern.program.is_none() || pattern.program == client.program)
            && (pattern.command.is_none() || pattern.command == client.command)
    };
    let of = |secret: Uuid, effect: Effect| {
        rules.iter().any(|rule| {
            rule.meta.secret == secret
                && rule.meta.effect == effect
                && rule.meta.rights.contains(&right)
                && fits(&rule.meta.clients)
        })
    };
    if secrets.iter().any(|secret| of(*secret, Effect::Deny)) {
        return "denied";
    }
    let remembered = |secret: Uuid| {
        memory.iter().any(|rule| {
            rule.secret == secret
                && rule.right == right
                && fits(&rule.clients)
                && rule.until.is_none_or(|until| now < until)
                && rule.session.as_ref().is_none_or(|session| client.session_key() == Some(session))
        })
    };
    if secrets.iter().all(|secret| of(*secret, Effect::Allow) || remembered(*secret)) {
        "allowed"
    } else {
        "unsettled"
    }
}

fn a_right() -> impl Strategy<Value = GuardedRight> {
    prop_oneof![Just(GuardedRight::Reveal), Just(GuardedRight::Use), Just(GuardedRight::Write)]
}

fn a_pattern() -> impl Strategy<Value = Pattern> {
    let token = prop_oneof![Just(None), Just(Some(Uuid::from_u128(7)))];
    let program = prop_oneof![Just(None), Just(Some("/a".to_owned())), Just(Some("/b".to_owned()))];
    let command = prop_oneof![2 => Just(None), 1 => Just(Some("/c".to_owned()))];
    (token, program, command).prop_map(|(token, program, command)| Pattern {
        token,
        program,
        command,
        ..Pattern::default()
    })
}

proptest! {
    #[test]
    fn the_rules_say_what_a_table_says(
        kept in prop::collection::vec((0..3_u128, any::<bool>(), a_right(), a_pattern()), 0..8),
        remembered in prop::collection::vec((0..3_u128, a_right(), a_pattern(), 0..3_u64, 0..4_u64), 0..8),
        asked in prop::collection::btree_set(0..3_u128, 1..4),
        right in a_right(),
        token in prop_oneof![Just(None), Just(Some(Uuid::from_u128(7)))],
        session in 1..3_u64,
        program in prop_oneof![Just("/a"), Just("/b")],
        command in prop_oneof![Just(""), Just("/c")],
    ) {
        let rules: Vec<_> = kept
            .into_iter()
            .map(|(secret, allow, right, clients)| {
                let effect = if allow { Effect::Allow } else { Effect::Deny };
                rule(Uuid::from_u128(secret), effect, right, clients)
            })
            .collect();
        let memory: Vec<_> = remembered
            .into_iter()
            .map(|(secret, right, clients, session, until)| MemoryRule {
                id: Uuid::from_u128(1),
                secret: Uuid::from_u128(secret),
                right,
                clients,
                session: (session > 0).then_some(SessionKey::Leader(ProcessKey::Inode(session))),
                until: (until > 0).then(|| moment(until)),
            })
            .collect();
        let secrets: Vec<Uuid> = asked.into_iter().map(Uuid::from_u128).collect();
        let client = client(token, session, program, "/d", command);
        let now = moment(2);
        let mut by_secret = std::collections::BTreeMap::<Uuid, Vec<Arc<ApprovalRule>>>::new();
        for rule in &rules {
            by_secret.entry(rule.meta.secret).or_default().push(Arc::clone(rule));
        }
        let of = |secret: Uuid| by_secret.get(&secret).map_or(&[][..], Vec::as_slice);
        let found = match judge(&client, right, &secrets, of, &memory, now) {
            Verdict::Denied(_) => "denied",
            Verdict::Allowed(_) => "allowed",
            Verdict::Unsettled => "unsettled",
        };
        prop_assert_eq!(found, expected(&client, right, &secrets, &rules, &memory, now));
    }
}
