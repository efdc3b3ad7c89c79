//! `guard`: has a person decide who may have or change a secret.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::approval::{Guard, Proof, SetGuard};
use secrets_proto::vault::KeyKind;

use super::items;
use crate::approval;
use crate::failure::Failure;
use crate::lookup::Wanted;
use crate::output;
use crate::session::Session;

/// Have a person decide who may have or change a secret or item
#[derive(Debug, Args)]
#[command(after_help = "\
A guarded value is revealed, used or changed only for a program that you have
allowed, once or for longer. Allowing asks for the passphrase.

Example:
  secretctl guard DEPLOY_KEY
  secretctl guard DEPLOY_KEY --off
  secretctl guard --item 3f2a91c0")]
pub(crate) struct GuardArgs {
    /// The secrets' names or ids
    #[arg(value_name = "NAME", required_unless_present = "items")]
    pub(crate) names: Vec<String>,
    /// An item's id or its first digits, as `secretctl items list` shows them; repeatable
    #[arg(long = "item", value_name = "ITEM")]
    pub(crate) items: Vec<String>,
    /// Turn the guard off; asks for the passphrase
    #[arg(long)]
    pub(crate) off: bool,
}

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &GuardArgs) -> Result<(), Failure> {
    let wanted: Vec<Wanted> = args.names.iter().map(|name| Wanted::parse(name)).collect::<Result<_, _>>()?;
    let session = open()?;
    let found = wanted.iter().map(|wanted| wanted.get(&session)).collect::<Result<Vec<_>, _>>()?;
    let items = args.items.iter().map(|item| items::find(&session, item)).collect::<Result<Vec<_>, _>>()?;
    let secrets = found.into_iter().map(|detail| {
        let path = format!("/user/secrets/{}/guard", detail.secret.id);
        (path, detail.secret.name.to_string(), detail.guarded)
    });
    let items = items.iter().map(|item| {
        (format!("/items/{}/guard", item.id), format!("item \"{}\"", items::label(item)), item.guarded)
    });
    let mut weakened: Vec<KeyKind> = Vec::new();
    for (path, name, is_guarded) in secrets.chain(items) {
        let set = |proof: Option<Proof>| -> Result<Guard, Failure> {
            let body = SetGuard { guarded: !args.off, proof };
            session.fetch(&Call::new(Method::PUT, &path).json(&body)?)
        };
        if args.off {
            if !is_guarded {
                output::say(&format!("{name} is not guarded"));
                continue;
            }
            approval::proven(&|proof| set(Some(proof)), &|| false)?;
            output::say(&format!("{name} is not guarded any more"));
            continue;
        }
        let Guard { weakened_by, units, machines, .. } = set(None)?;
        output::say(&format!("{name} is guarded: you are asked before a program gets it"));
        for unit in units {
            output::say(&format!("{} may still load {name}; see: secretctl credential list", unit.as_str()));
        }
        if !machines.is_empty() {
            let machines = output::in_one_line(&machines.join(", ")).into_owned();
            output::say(&format!("{name} is on {machines}, too, where the passphrase of each decides"));
        }
        weakened.extend(weakened_by.into_iter().filter(|kind| !weakened.contains(kind)).collect::<Vec<_>>());
    }
    if !weakened.is_empty() {
        output::say(&weaker(&weakened));
    }
    Ok(())
}

/// That programs can open the vault without a person.
fn weaker(kinds: &[KeyKind]) -> String {
    format!(
        "warning: {} opens the vault, too, and a program that can read it needs no approval; see: secretctl key list",
        approval::ways_in(kinds)
    )
}
