//! `approve` and `deny`: answers to what waits for a person.

use clap::Args;
use secrets_client::Call;
use secrets_proto::Uuid;
use secrets_proto::approval::{
    Approval, ApprovalList, ApprovalScope, ApprovalState, Decision, Effect, Narrowing,
};

use super::audit::seconds;
use crate::approval::{self, Ways, described, short};
use crate::beside;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::prompt;
use crate::session::Session;

/// Answer what asks for approval
#[derive(Debug, Args)]
#[command(after_help = "\
Without an id it shows what waits, one after the other, and asks. Allowing asks
for the passphrase.

On a desktop, --agent shows a notification for each ask, and asks for the
passphrase in the window of a pinentry. To start it with the session:
systemctl --user enable --now secretsd-approve.service

Example:
  secretctl approve
  secretctl approve 3f2a --session
  secretctl approve --watch")]
pub(crate) struct ApproveArgs {
    /// The ask's id, or its first digits
    #[arg(value_name = "ASK")]
    pub(crate) ask: Option<String>,
    /// Allow one request
    #[arg(long, group = "scope")]
    pub(crate) once: bool,
    /// Allow the program in its terminal
    #[arg(long, group = "scope")]
    pub(crate) session: bool,
    /// Allow the program for this long, like 1h, at most 8h
    #[arg(long = "for", value_name = "DURATION", group = "scope")]
    pub(crate) duration: Option<String>,
    /// Allow the program until the rule is removed
    #[arg(long, group = "scope")]
    pub(crate) always: bool,
    /// Only in this systemd unit
    #[arg(long, value_name = "UNIT")]
    pub(crate) unit: Option<String>,
    /// Only from this program
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<String>,
    /// Only for this command
    #[arg(long, value_name = "PATH")]
    pub(crate) command: Option<String>,
    /// Only in this directory and below
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<String>,
    /// Stay, and ask whenever something waits
    #[arg(long, conflicts_with_all = ["ask", "scope"])]
    pub(crate) watch: bool,
    /// Stay, and ask on the desktop: by notifications and a pinentry
    #[arg(long, conflicts_with_all = ["ask", "scope", "watch", "unit", "program", "command", "directory"])]
    pub(crate) agent: bool,
}

/// Deny what asks for approval
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no passphrase. Nobody is asked the same again for a minute.

Example:
  secretctl deny 3f2a
  secretctl deny 3f2a --never")]
pub(crate) struct DenyArgs {
    /// The ask's id, or its first digits
    #[arg(value_name = "ASK")]
    pub(crate) ask: Option<String>,
    /// Deny it to the program until the rule is removed
    #[arg(long)]
    pub(crate) never: bool,
}

/// Becomes the program that asks on the desktop. Returns only if it can't.
pub(crate) fn agent(context: &Context) -> Failure {
    // A daemon is started if none runs. If that fails, the program says so itself, where its own user sees it.
    let _ = context.session().and_then(|session| session.status());
    beside::become_program("secretctl-approve", &context.globals, &[])
}

pub(crate) fn approve(session: &Session, output: Output, args: &ApproveArgs) -> Result<(), Failure> {
    if args.watch {
        return watch(session, args);
    }
    let scope = scope(args)?;
    let answer = session.call(&Call::get("/approvals"))?;
    if output.json && args.ask.is_none() && scope.is_none() {
        return output::answer_json_line(answer.bytes());
    }
    let list: ApprovalList = answer.parse()?;
    let Some((scope, seconds)) = scope else {
        let asks = match &args.ask {
            Some(id) => vec![named(&list, Some(id))?],
            None => list.approvals.iter().collect(),
        };
        if asks.is_empty() {
            output::say("nothing waits for approval");
        }
        return asks.into_iter().try_for_each(|ask| answer_one(session, ask, args));
    };
    let ask = named(&list, args.ask.as_deref())?;
    let room = prompt::columns().map(|columns| columns.saturating_sub("secretctl: ".len()));
    described(ask, false, room).iter().flat_map(|line| line.lines()).for_each(output::say);
    let decision = approval::allowing(scope, seconds, narrowing(args));
    let done = approval::proven(
        &|proof| session.decide(ask.id, &Decision { proof: Some(proof), ..decision.clone() }),
        &|| false,
    )?;
    told(done.as_ref());
    Ok(())
}

pub(crate) fn deny(session: &Session, args: &DenyArgs) -> Result<(), Failure> {
    let list: ApprovalList = session.fetch(&Call::get("/approvals"))?;
    let ask = named(&list, args.ask.as_deref())?;
    let scope = args.never.then_some(ApprovalScope::Never);
    let decision = Decision { decision: Effect::Deny, scope, seconds: None, client: None, proof: None };
    session.decide(ask.id, &decision)?;
    output::say(&format!("denied {}", ask.summary()));
    Ok(())
}

/// Answers whatever waits, as it comes.
fn watch(session: &Session, args: &ApproveArgs) -> Result<(), Failure> {
    output::say("waiting for what asks for approval; stop with Ctrl-C");
    let mut list: ApprovalList = session.fetch(&Call::get("/approvals"))?;
    let mut passed: Vec<Uuid> = Vec::new();
    loop {
        for ask in list.approvals.iter().filter(|ask| !passed.contains(&ask.id)).collect::<Vec<_>>() {
            answer_one(session, ask, args)?;
        }
        passed = list.approvals.iter().map(|ask| ask.id).collect();
        list = session.fetch_quietly(&Call::get("/approvals").once_changed(list.changes))?;
    }
}

fn answer_one(session: &Session, ask: &Approval, args: &ApproveArgs) -> Result<(), Failure> {
    session.with_ways(|ways| match approval::answer_here(ways, ask, &narrowing(args))? {
        Some(answered) => {
            told(Some(&answered));
            Ok(())
        }
        None => answered_elsewhere(ways, ask, args.watch),
    })
}

/// Says what became of an ask that was settled while its question stood here. Who watches goes on to the next one.
fn answered_elsewhere(ways: &Ways<'_>, ask: &Approval, watches: bool) -> Result<(), Failure> {
    match approval::elsewhere(ways, ask) {
        Ok(ApprovalState::Denied) => output::say("denied elsewhere"),
        Ok(_) => {}
        Err(failure) if watches && failure.exit() == Exit::Locked => output::say(failure.message()),
        Err(failure) => return Err(failure),
    }
    Ok(())
}

fn told(answered: Option<&Approval>) {
    match answered {
        Some(ask) if ask.state == ApprovalState::Allowed => {
            output::say(&format!("allowed {}", ask.summary()));
        }
        Some(ask) => output::say(&format!("denied {}", ask.summary())),
        None => output::say("this was answered meanwhile"),
    }
}

/// The ask that is meant: by the beginning of its id, or the only one.
fn named<'a>(list: &'a ApprovalList, id: Option<&str>) -> Result<&'a Approval, Failure> {
    let absent = || Failure::new(Exit::NotFound, "no such ask waits; see: secretctl approve");
    let Some(id) = id else {
        return match list.approvals.as_slice() {
            [only] => Ok(only),
            [] => Err(Failure::new(Exit::NotFound, "nothing waits for approval")),
            several => {
                let ids: Vec<String> = several.iter().map(|ask| short(ask.id)).collect();
                let text = format!("several ask for approval; choose one: {}", ids.join(", "));
                Err(Failure::new(Exit::Usage, text))
            }
        };
    };
    let id = id.to_ascii_lowercase();
    if id.len() < 4 {
        return Err(Failure::new(Exit::Invalid, "expected an ask's id or its first digits, at least 4"));
    }
    let mut found = list.approvals.iter().filter(|ask| ask.id.to_string().starts_with(&id));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failure::new(Exit::Invalid, "several ids begin so; give more digits")),
        (None, _) => Err(absent()),
    }
}

fn scope(args: &ApproveArgs) -> Result<Option<(ApprovalScope, Option<u64>)>, Failure> {
    if let Some(text) = &args.duration {
        let seconds = seconds(text).and_then(|seconds| u64::try_from(seconds).ok());
        let seconds = seconds.filter(|seconds| (1..=secrets_proto::approval::MAX_SECONDS).contains(seconds));
        let wrong = || Failure::new(Exit::Invalid, "--for must be a duration like 30m or 1h, at most 8h");
        return Ok(Some((ApprovalScope::Time, Some(seconds.ok_or_else(wrong)?))));
    }
    Ok([
        (args.once, ApprovalScope::Once),
        (args.session, ApprovalScope::Session),
        (args.always, ApprovalScope::Always),
    ]
    .into_iter()
    .find_map(|(is_given, scope)| is_given.then_some((scope, None))))
}

fn narrowing(args: &ApproveArgs) -> Narrowing {
    Narrowing {
        unit: args.unit.clone(),
        program: args.program.clone(),
        script: None,
        directory: args.directory.clone(),
        command: args.command.clone(),
    }
}
