//! `vault-client`: what Ansible runs for the password of a vault (Ansible's guide, "Storing passwords in third-party tools
//! with vault password client scripts"). Exit code 2 says that there is none.

use clap::Args;

use crate::failure::{Exit, Failure};
use crate::helper::{self, place};
use crate::session::Session;
use crate::{handover, output};

/// Ansible vault client; ansible runs this
#[derive(Debug, Args)]
#[command(after_help = "\
Run under the name secretctl-vault-client, a link that make install places. The
password of the vault id prod-eu is the secret ANSIBLE__PROD__EU: of an id, .
becomes one underscore, - two, _ five. Ids have lower-case letters.

Example:
  secretctl set ANSIBLE__PROD
  ansible-playbook --vault-id prod@\"$(command -v secretctl-vault-client)\" site.yml")]
pub(crate) struct VaultClientArgs {
    /// The vault's id
    #[arg(long, value_name = "ID", default_value = "default")]
    pub(crate) vault_id: String,
}

/// How the names of these secrets begin.
const PREFIX: &str = helper::ANSIBLE;

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &VaultClientArgs,
) -> Result<(), Failure> {
    helper::refuse_terminal("ansible runs this: --vault-id ID@secretctl-vault-client")?;
    let name = place::named(PREFIX, &args.vault_id)?;
    helper::refuse_session("secretctl-vault-client")?;
    let found = helper::find(&open()?, &name, "vault-client", None)?;
    // The protocol's code for it.
    let found = found.ok_or_else(|| helper::absent(&name).with_exit(Exit::Usage))?;
    output::answer_line(handover::in_one_line(&name, &found.value)?.as_bytes())
}
