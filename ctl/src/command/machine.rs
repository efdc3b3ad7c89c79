//! `machine`: the machines that have the vault, and letting one in. Two people, or one at two screens, compare five words:
//! a machine that stands between the two cannot make them the same.

mod key;
mod named;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use secrets_client::{Call, Method};
use secrets_proto::approval::Proof;
use secrets_proto::fleet::{
    BeginFleet, ConfirmInvitation, FleetMachine, FleetStatus, Invitation, InvitationState, JoinFleet,
    KeyRole, MachineName, MachineRemoved,
};
use secrets_proto::{ErrorType, SecretName, SensitiveString, Uuid};

use crate::clock::Clock;
use crate::command::sync;
use crate::failure::{Exit, Failure};
use crate::mover::{self, Store};
use crate::output::{self, Output};
use crate::session::Session;
use crate::table::{self, Cut};
use crate::{ending, passphrase, prompt, shell};

/// Have one vault on several machines
#[derive(Debug, Args)]
#[command(after_help = "\
The machines exchange sealed files in a store: S3 or a service like it, Azure,
Google Cloud, WebDAV, or a directory that Syncthing, NFS or a program of that
kind keeps the same on all of them. The store cannot read the files or change
them unnoticed. See also: secretctl sync

Example:
  secretctl machine init --store s3://notes/fleet
  secretctl machine invite
  secretctl machine join --store s3://notes/fleet")]
pub(crate) struct MachineArgs {
    #[command(subcommand)]
    command: MachineCommand,
}

/// The commands on machines.
#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// Begin with this machine
    #[command(after_help = "\
STORE is s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX, the URL of a
directory of WebDAV, or dir:PATH. A store that speaks like S3 has its own address:
s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME. The credential is never part
of it: with --credential it is in the vault, otherwise in the environment, as
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. See also: secretctl-sync --help

Example:
  secretctl machine init --store dir:$HOME/Sync/secrets
  secretctl machine init --store s3://notes/fleet --credential AWS_ACCESS_KEY_ID=S3_ID,AWS_SECRET_ACCESS_KEY=S3_KEY")]
    Init(PlaceArgs),
    /// List the machines
    #[command(after_help = "Example:\n  secretctl machine list")]
    List,
    /// Let another machine in: shows a code to type there
    #[command(after_help = "\
The code holds for 15 minutes, until the vault is locked. Both machines then show
five words; say yes on both only if they are the same. With --paper or --runner
nobody has to be at another machine: a key is printed, once, that is one itself.

Example:
  secretctl machine invite
  secretctl machine invite --paper
  secretctl machine invite --runner ci | gh secret set RUNNER_KEY")]
    Invite(key::InviteArgs),
    /// Join the machine that has shown this code
    #[command(after_help = "\
Without CODE it is asked for; as an argument other users of the machine could see
it for a moment. Secrets that are here already are kept: all machines
get them.

Example:
  secretctl machine join --store dir:$HOME/Sync/secrets
  secretctl machine join --paper-key-file - --store s3://notes/fleet
  printenv RUNNER_KEY | secretctl machine join --runner-key-file - --ephemeral --store s3://notes/fleet")]
    Join(JoinArgs),
    /// Remove a machine: the others, once they have heard of it, write nothing more that it can read
    #[command(after_help = "\
It keeps what it had: the secrets to replace at their providers are listed.

Example:
  secretctl machine remove laptop")]
    Remove(RemoveArgs),
    /// Give a machine another name
    #[command(after_help = "Example:\n  secretctl machine rename laptop old-laptop")]
    Rename(named::RenameArgs),
    /// Say which of two machines that removed each other is kept
    #[command(after_help = "\
Each of the two goes on for itself, and all others stop until this is said on one
of them. If one may be in wrong hands, keep the other.

Example:
  secretctl machine keep desktop")]
    Keep(named::KeepArgs),
}

/// Where the machines meet, and what this one is called.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Where the machines meet: dir:PATH, s3://…, az://…, gs://… or the URL of a WebDAV directory
    #[arg(long, value_name = "STORE")]
    pub(crate) store: String,
    /// The store's credential is in the vault: the engine's variable and the secret's name
    #[arg(long, value_name = "VARIABLE=NAME", value_delimiter = ',')]
    pub(crate) credential: Vec<String>,
    /// What this machine is called [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The code that the other machine shows
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
    #[command(flatten)]
    pub(crate) key: key::KeyArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The machine's name; `secretctl machine list` shows them
    #[arg(value_name = "MACHINE")]
    pub(crate) name: String,
}

/// What to do if the name is taken.
const OTHER_NAME: &str = "have the other one invite again, and join with another --name";

/// How often it is looked whether the other machine has answered.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &MachineArgs,
) -> Result<(), Failure> {
    match &args.command {
        MachineCommand::Init(args) => init(open, args),
        MachineCommand::List => list(&open()?, output),
        MachineCommand::Invite(args) => match (&args.paper, &args.runner) {
            (Some(name), _) => key::create(&open()?, output, name, KeyRole::Paper),
            (_, Some(name)) => key::create(&open()?, output, name, KeyRole::Runner),
            (None, None) => invite(&open()?),
        },
        MachineCommand::Join(args) => join(open, args),
        MachineCommand::Remove(args) => remove(&open()?, output, args),
        MachineCommand::Rename(args) => named::rename(&open()?, args),
        MachineCommand::Keep(args) => named::keep(&open()?, args),
    }
}

fn init(open: impl FnOnce() -> Result<Session, Failure>, args: &PlaceArgs) -> Result<(), Failure> {
    let (name, store) = (name(args)?, Store::parse(&args.store, &args.credential)?);
    let session = open()?;
    session.open_vault()?;
    // The mover would say of this vault's own store that it is in use.
    refuse_member(&session)?;
    let place = store.begin(&session, true)?;
    let directory = place.directory.clone();
    let shown = output::in_one_line(name.as_str()).into_owned();
    let call = Call::new(Method::POST, "/fleet").json(&BeginFleet { name, directory })?;
    let _: FleetStatus = session.fetch(&call).map_err(|failure| mover::naming(failure, &place.directory))?;
    place.keep();
    mover::run_if_used()?;
    output::say(&format!("this machine is {shown}; let another one in with: secretctl machine invite"));
    Ok(())
}

/// A vault that is on several machines already is joined to no others.
fn refuse_member(session: &Session) -> Result<(), Failure> {
    let status: FleetStatus = session.fetch(&Call::get("/fleet"))?;
    if status.is_removed() || !status.member {
        return Ok(());
    }
    Err(Failure::new(Exit::Conflict, "the vault is on several machines already; see: secretctl machine list"))
}

fn list(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/fleet"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let status: FleetStatus = answer.parse()?;
    if !status.member {
        output::say(sync::ALONE);
        return Ok(());
    }
    if status.is_removed() {
        output::say(
            "this machine was removed; to come back, run on another machine: secretctl machine invite, and here: secretctl machine join",
        );
    }
    let clock = Clock::of_stdout();
    let rows: Vec<Vec<String>> = status.machines.iter().map(|machine| row(machine, &clock)).collect();
    let text = table::render_in_window(&COLUMNS, rows, &[0, 1], output::columns(), output.colour);
    output::answer(text.as_bytes())
}

/// The columns, with how far each is cut in a narrow window.
const COLUMNS: [(&str, Cut); 2] = [("NAME", Cut::End(8)), ("STATE", Cut::Never)];

fn row(machine: &FleetMachine, clock: &Clock) -> Vec<String> {
    let state = match machine {
        FleetMachine { disputed: true, .. } => "in question: it and another one removed each other",
        FleetMachine { removed: true, left: Some(left), .. } => {
            return vec![machine.name.clone(), format!("removed {}", clock.shown(*left))];
        }
        FleetMachine { removed: true, .. } => "removed",
        FleetMachine { this: true, .. } => "this machine",
        FleetMachine { reader: true, .. } => "reads only",
        FleetMachine { key_alone: true, .. } => "paper",
        FleetMachine { unheard: true, .. } => "let in, not heard yet",
        FleetMachine { .. } => "member",
    };
    vec![machine.name.clone(), state.to_owned()]
}

fn invite(session: &Session) -> Result<(), Failure> {
    can_compare()?;
    warn_of_many(session)?;
    mover::sync(session)?;
    let invitation: Invitation = session.fetch(&Call::new(Method::POST, "/fleet/invitations"))?;
    let code = invitation.code.ok_or_else(|| Failure::new(Exit::Other, "the daemon gave no code"))?;
    output::say(&format!("run on the other machine: secretctl machine join --store {}", store_of(session)?));
    output::say(&format!("it asks for this code, which holds for 15 minutes: {}", code.expose()));
    let id = invitation.id;
    let (name, words) = words_of(session, id).map_err(refused)?;
    let name = output::in_one_line(&name.unwrap_or_default()).into_owned();
    if !compare(session, id, &words, &format!("{name} asks to have the vault"))? {
        return Ok(());
    }
    settle(session, id).map_err(refused)?;
    ending::release();
    mover::run_if_used()?;
    output::say(&format!("{name} is a machine of the vault now"));
    Ok(())
}

/// The store's address as a word for a shell; a directory may be elsewhere on the other machine.
fn store_of(session: &Session) -> Result<String, Failure> {
    let address = match mover::status()? {
        Some(store) => store.address().to_owned(),
        None => {
            let FleetStatus { directory, .. } = session.fetch(&Call::get("/fleet"))?;
            format!("dir:{}", directory.unwrap_or_default())
        }
    };
    Ok(output::in_one_line(&shell::quoted(Path::new(&address))).into_owned())
}

/// The name was chosen on the other machine, which is told, too: by the store, if there is one.
fn refused(failure: Failure) -> Failure {
    if failure.kind() != Some(ErrorType::AlreadyExistsError) {
        return failure;
    }
    // That it could not be told is of less weight than why.
    let _ = mover::run_while_waiting();
    failure.with_message(
        "the other machine's name is taken: invite it again, and join there with another --name; see: secretctl machine list".to_owned(),
    )
}

/// From so many machines on it is said that there are many.
const MANY: usize = 30;

fn warn_of_many(session: &Session) -> Result<(), Failure> {
    let FleetStatus { machines, .. } = session.fetch(&Call::get("/fleet"))?;
    let count = machines.iter().filter(|machine| !machine.removed).count();
    if count >= MANY {
        output::say(&format!(
            "{count} machines have this vault, and each holds all of it; for more people than a few, use a server with rights for each of them"
        ));
    }
    Ok(())
}

fn join(open: impl FnOnce() -> Result<Session, Failure>, args: &JoinArgs) -> Result<(), Failure> {
    let (name, store) = (name(&args.place)?, Store::parse(&args.place.store, &args.place.credential)?);
    if let Some(path) = &args.key.paper_key_file {
        return key::join_by_paper(open, path, name, store);
    }
    if let Some(path) = &args.key.runner_key_file {
        return key::join_by_runner(open, path, name, store);
    }
    can_compare()?;
    let session = open()?;
    session.open_vault()?;
    // Nobody need type a code for that.
    refuse_member(&session)?;
    let code = match &args.code {
        Some(code) => SensitiveString::new(code.clone()),
        None => prompt::hidden("code: ")
            .map_err(|error| error.into_failure("nothing was joined", "give the code as an argument"))?,
    };
    let place = store.begin(&session, false)?;
    mover::run_if_used()?;
    let shown = output::in_one_line(name.as_str()).into_owned();
    let request = JoinFleet { code, name, directory: place.directory.clone() };
    let call = Call::new(Method::POST, "/fleet/join").json(&request)?;
    let invitation: Invitation =
        session.fetch(&call).map_err(|failure| mover::naming(failure, &place.directory))?;
    mover::run_if_used()?;
    let taken = |failure: Failure| match failure.kind() {
        Some(ErrorType::AlreadyExistsError) => failure.with_message(format!(
            "nothing was joined: a machine called {shown} is there already; {OTHER_NAME}"
        )),
        _ => failure,
    };
    let (id, words) = (invitation.id, words_of(&session, invitation.id).map_err(taken)?.1);
    if !compare(&session, id, &words, "the other machine must show the same words")? {
        return Ok(());
    }
    settle(&session, id).map_err(taken)?;
    place.keep();
    ending::release();
    key::say_joined(&mover::sync(&session)?.fleet, "this machine has the vault now; see: secretctl list");
    Ok(())
}

fn remove(session: &Session, output: Output, args: &RemoveArgs) -> Result<(), Failure> {
    mover::sync(session)?;
    let machine = named::find(session, &args.name)?;
    let answer = session.call(&Call::new(Method::DELETE, &format!("/fleet/machines/{}", machine.id)))?;
    mover::run_if_used()?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let MachineRemoved { secrets } = answer.parse()?;
    let name = output::in_one_line(&machine.name).into_owned();
    let said = format!(
        "removed {name}: it cannot read what the others write after their next sync, but keeps what it had."
    );
    if secrets.is_empty() {
        output::say(&format!("{said} End its access to the store, too"));
        return Ok(());
    }
    output::say(&format!("{said} Replace these at their providers, and end its access to the store:"));
    let names: Vec<&str> = secrets.iter().map(SecretName::as_str).collect();
    output::answer(format!("{}\n", names.join("\n")).as_bytes())
}

/// What the other machine is called, if it says so, and the words, once it has answered.
fn words_of(session: &Session, id: Uuid) -> Result<(Option<String>, Vec<u16>), Failure> {
    loop {
        mover::run_while_waiting()?;
        let now: Invitation = session.fetch(&Call::get(&format!("/fleet/invitations/{id}")))?;
        if let (InvitationState::Answered, Some(words)) = (now.state, now.words) {
            // What the daemon has said as it took the answer: the other machine needs it for its words.
            mover::run_while_waiting()?;
            return Ok((now.name, words));
        }
        if now.state == InvitationState::Ended {
            return Err(said_no());
        }
        thread::sleep(PATIENCE);
    }
}

/// Says yes here, and waits until the other machine has said yes, too.
fn settle(session: &Session, id: Uuid) -> Result<(), Failure> {
    let is_unanswered = |failure: &Failure| failure.kind() == Some(ErrorType::GatewayTimeoutError);
    let mut outcome = session.call_proven(&|proof| answer(id, true, proof));
    // To stop waiting is to say no: nobody must be let in by a yes that nobody stands for any more.
    ending::hold("taking the yes back; once more to stop at once".to_owned());
    if outcome.as_ref().is_err_and(is_unanswered) {
        output::say("waiting for the other machine to say yes, too");
    }
    while outcome.as_ref().is_err_and(is_unanswered) {
        let moved = mover::run_while_waiting();
        if is_ended_within(PATIENCE) {
            let _ = session.call(&answer(id, false, None)?);
            let _ = mover::run_while_waiting();
            ending::release();
        }
        moved?;
        outcome = session.call(&answer(id, true, None)?);
    }
    let Invitation { state, .. } = outcome?.parse()?;
    if state == InvitationState::Ended { Err(said_no()) } else { Ok(()) }
}

/// Waits, unless a signal has come that ends us. Whether one has.
fn is_ended_within(time: Duration) -> bool {
    let until = Instant::now() + time;
    while !ending::has_come() && Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
    }
    ending::has_come()
}

fn said_no() -> Failure {
    Failure::new(Exit::NotAllowed, "the other machine said no; nothing was joined")
}

fn answer(id: Uuid, accept: bool, proof: Option<Proof>) -> Result<Call, Failure> {
    let path = format!("/fleet/invitations/{id}");
    Ok(Call::new(Method::POST, &path).json(&ConfirmInvitation { accept, proof })?)
}

fn can_compare() -> Result<(), Failure> {
    if prompt::can_ask() {
        return Ok(());
    }
    Err(Failure::new(Exit::Invalid, "this needs a terminal: five words are to be compared by a person"))
}

/// Shows the words, and asks whether they are the same.
fn compare(session: &Session, id: Uuid, words: &[u16], what: &str) -> Result<bool, Failure> {
    // Every third, so that no two of them are hard to tell apart.
    let word = |number: &u16| passphrase::word(usize::from(*number) * 3).unwrap_or("?");
    let shown: Vec<&str> = words.iter().map(word).collect();
    output::say(&format!("{what}: {}", shown.join(" ")));
    let same = prompt::confirm("Does the other machine show the same five words?");
    let same = same.map_err(|error| error.into_failure("no machine was let in", "run it on a terminal"))?;
    if !same {
        let _: Invitation = session.fetch(&answer(id, false, None)?)?;
        // The other machine waits to hear it.
        mover::run_while_waiting()?;
        output::say("ended; no machine was let in");
    }
    Ok(same)
}

fn name(args: &PlaceArgs) -> Result<MachineName, Failure> {
    let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    Ok(MachineName::parse(&args.name.clone().unwrap_or_else(host))?)
}
