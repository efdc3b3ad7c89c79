//! What is done with a machine that its name tells: another name, and that it is kept where it and another one have removed
//! each other.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::fleet::{FleetMachine, FleetStatus, MachineName, RenameMachine};

use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// The machine's name; `secretctl machine list` shows them
    #[arg(value_name = "MACHINE")]
    pub(crate) old: String,
    /// Its name from then on
    #[arg(value_name = "NEW")]
    pub(crate) new: String,
}

#[derive(Debug, Args)]
pub(crate) struct KeepArgs {
    /// The name of the one that is kept
    #[arg(value_name = "MACHINE")]
    pub(crate) name: String,
}

pub(super) fn rename(session: &Session, args: &RenameArgs) -> Result<(), Failure> {
    let name = MachineName::parse(&args.new)?;
    let machine = find(session, &args.old)?;
    let call = Call::new(Method::PATCH, &format!("/fleet/machines/{}", machine.id));
    let _: FleetStatus = session.fetch(&call.json(&RenameMachine { name })?)?;
    output::say(&format!("{} is called {} on all machines", output::in_one_line(&args.old), args.new));
    Ok(())
}

pub(super) fn keep(session: &Session, args: &KeepArgs) -> Result<(), Failure> {
    let machine = find(session, &args.name)?;
    let call = Call::new(Method::POST, &format!("/fleet/machines/{}/keep", machine.id));
    let status: FleetStatus = session.fetch(&call)?;
    let name = output::in_one_line(&machine.name).into_owned();
    let has_given_way = status.machines.iter().any(|machine| machine.this && machine.removed);
    output::say(&if has_given_way {
        format!("{name} is kept, and this machine has left; to come back: secretctl machine join")
    } else {
        format!("{name} is kept; the machine that it had removed, and that had removed it, is out")
    });
    Ok(())
}

/// The machine of this name: of several, one that still belongs to the fleet.
pub(super) fn find(session: &Session, name: &str) -> Result<FleetMachine, Failure> {
    let FleetStatus { machines, .. } = session.fetch(&Call::get("/fleet"))?;
    let mut found: Vec<_> = machines.into_iter().filter(|machine| machine.name == name).collect();
    found.sort_by_key(|machine| machine.removed && !machine.disputed);
    found
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new(Exit::NotFound, "no machine with this name; see: secretctl machine list"))
}
