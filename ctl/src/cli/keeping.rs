//! The command line of what keeps the vault and its secrets in order over time.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::UnlockArgs;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum KeepingCommand {
    /// Show the versions of a secret's value that are kept, masked
    #[command(after_help = "Example:\n  secretctl history OPENAI_API_KEY")]
    History(HistoryArgs),
    /// Make an earlier version of a secret's value the present one
    #[command(after_help = "\
The present value stays in the history. No value is shown.

Example:
  secretctl history OPENAI_API_KEY
  secretctl rollback OPENAI_API_KEY 3")]
    Rollback(RollbackArgs),
    /// Rename a secret; its value, history and metadata stay
    #[command(after_help = "Example:\n  secretctl rename OPENAI_KEY OPENAI_API_KEY")]
    Rename(RenameArgs),
    /// List deleted secrets and when they will be destroyed
    #[command(after_help = "Example:\n  secretctl trash")]
    Trash,
    /// Take a secret out of the trash
    #[command(after_help = "\
Of several deleted secrets of one name the newest comes back; name the id to choose another.

Example:
  secretctl restore OLD_KEY")]
    Restore(RestoreArgs),
    /// List, add and remove the keys that open the vault
    #[command(
        subcommand,
        after_help = "\
Example:
  secretctl key list
  secretctl key add --recovery"
    )]
    Key(KeyCommand),
    /// Say which systemd units may load which secrets
    #[command(
        subcommand,
        after_help = "\
A unit loads a secret by a line of its own, where %t is the user's runtime directory:
  [Service]
  LoadCredential=OPENAI_API_KEY:%t/secretsd/credentials.sock

Example:
  secretctl credential allow web.service OPENAI_API_KEY
  secretctl credential list"
    )]
    Credential(CredentialCommand),
    /// Make, list and revoke access tokens, for tools that should not have all rights
    #[command(
        subcommand,
        after_help = "\
Example:
  secretctl token create --name agent --scope list,reveal --secret 'OPENAI_*' --ttl 12h
  secretctl token list"
    )]
    Token(TokenCommand),
    /// Change the passphrase
    #[command(after_help = "\
Other keys of the vault stay. A backup made before still opens with the old passphrase.

Example:
  secretctl passwd")]
    Passwd(PasswdArgs),
    /// Give the vault a new data key and recovery key
    #[command(after_help = "\
Every row is encrypted again. Afterwards only the given key and the new recovery key, which is printed
once, open the vault: other keys are removed. Do this after a key got into wrong hands, and replace the
secrets themselves, too: who had the key may have read them.

Example:
  secretctl rotate")]
    Rotate(RotateArgs),
    /// Write a verified, encrypted copy of the vault to a file
    #[command(after_help = "\
The copy opens with the keys that the vault has now. It is complete before it gets its name.

Example:
  secretctl backup ~/backups/vault-2026-04-15.db")]
    Backup(BackupArgs),
    /// Put a backup in the vault's place
    #[command(after_help = "\
The daemon must not run with a vault; stop it with: systemctl --user stop secretsd.service
The vault that is there is kept beside the restored one, and put back if the backup does not open or is
damaged.

Example:
  secretctl restore-vault ~/backups/vault-2026-04-15.db")]
    RestoreVault(RestoreVaultArgs),
    /// Read the whole vault and check that all of it is authentic
    #[command(after_help = "\
Exit status 9 if it is not, or if the vault is older than it was. After a backup was put back by hand,
--accept-restore says that this is meant.

Example:
  secretctl verify")]
    Verify(VerifyArgs),
}

/// The commands on what units may load.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Allow a unit to load secrets, beside those it may load already
    #[command(after_help = "\
A template, like worker@.service, stands for all its instances. The secrets must exist.

Example:
  secretctl credential allow web.service OPENAI_API_KEY GITHUB_TOKEN
  secretctl credential allow worker@.service OPENAI_API_KEY")]
    Allow(CredentialAllowArgs),
    /// List the units that may load secrets
    #[command(after_help = "Example:\n  secretctl credential list")]
    List,
    /// Take secrets from what a unit may load, or all of them
    #[command(after_help = "\
What a running unit has loaded it keeps until it stops.

Example:
  secretctl credential revoke web.service GITHUB_TOKEN
  secretctl credential revoke web.service")]
    Revoke(CredentialRevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CredentialAllowArgs {
    /// The unit, or the template of all its instances
    #[arg(value_name = "UNIT")]
    pub(crate) unit: String,
    /// The secrets' names
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CredentialRevokeArgs {
    /// The unit, or the template of all its instances
    #[arg(value_name = "UNIT")]
    pub(crate) unit: String,
    /// The secrets' names; without any, all of the unit's
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// The commands on keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys that open the vault, oldest first
    #[command(after_help = "Example:\n  secretctl key list")]
    List,
    /// Add a key that opens the vault
    #[command(after_help = "\
Example:
  secretctl key add --passphrase
  secretctl key add --key-file ~/.config/secretsd/key
  secretctl key add --recovery")]
    Add(KeyAddArgs),
    /// Remove a key; the last one stays
    #[command(after_help = "\
Example:
  secretctl key list
  secretctl key remove 2489e9ad-2ee2-4e00-8ec9-32d5f69181c0")]
    Remove(KeyRemoveArgs),
}

/// The commands on access tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and write it to stdout, once
    #[command(after_help = "\
Scopes: list (names and masks), write (store, change, delete), reveal (receive values), admin (keys,
tokens, backups and the audit log). With --secret, only secrets whose names match exist for the token.
A program finds it in the file that SECRETSD_TOKEN_FILE names, which must be 0600, or in SECRETSD_TOKEN.

Example:
  secretctl token create --name backup --scope admin --ttl 12h
  (umask 077; secretctl token create --name agent --scope reveal --secret 'OPENAI_*' > agent.token)
  SECRETSD_TOKEN_FILE=agent.token secretctl run -s OPENAI_API_KEY -- agent")]
    Create(TokenCreateArgs),
    /// List the tokens, by name; never the tokens themselves
    #[command(after_help = "Example:\n  secretctl token list")]
    List,
    /// Revoke a token, with those that were made with it; it is refused from then on
    #[command(after_help = "Example:\n  secretctl token revoke agent")]
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The version; `secretctl history` lists them
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// The secret's name or id
    #[arg(value_name = "OLD")]
    pub(crate) old: String,
    /// Its new name
    #[arg(value_name = "NEW")]
    pub(crate) new: String,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The deleted secret's name or id; `secretctl trash` lists them
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
#[group(id = "key", required = true, multiple = true)]
pub(crate) struct KeyAddArgs {
    /// Add a passphrase, asked for twice unless a file is named
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Read the passphrase from this file, `-` is stdin; a newline at its end does not count
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Add this key file; made if it does not exist
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase", "passphrase_file"])]
    pub(crate) key_file: Option<PathBuf>,
    /// Add a recovery key, which is printed once
    #[arg(long, conflicts_with_all = ["passphrase", "passphrase_file", "key_file"])]
    pub(crate) recovery: bool,
    /// Add the output of this key provider of the daemon's settings
    #[arg(long, value_name = "NAME", conflicts_with_all = ["passphrase", "passphrase_file", "key_file", "recovery"])]
    pub(crate) key_provider: Option<String>,
    /// Add the credential that systemd hands to the daemon
    #[arg(long, conflicts_with_all = ["passphrase", "passphrase_file", "key_file", "recovery", "key_provider"])]
    pub(crate) credential: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRemoveArgs {
    /// The key's id; `secretctl key list` lists them
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Do not ask before removing
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// What to call it, in the list and in the audit log
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// What it may do: list, write, reveal, admin; repeated or separated by commas
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', required = true)]
    pub(crate) scopes: Vec<String>,
    /// Only these secrets, by name or pattern; repeated or separated by commas
    #[arg(long = "secret", value_name = "GLOB", value_delimiter = ',')]
    pub(crate) secrets: Vec<String>,
    /// How long it is good, like 12h; 30 days unless said
    #[arg(long, value_name = "DURATION", conflicts_with = "no_expiry")]
    pub(crate) ttl: Option<String>,
    /// Make it good for ever
    #[arg(long)]
    pub(crate) no_expiry: bool,
    /// At most so many requests a minute
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// The token's id or name; `secretctl token list` shows them
    #[arg(value_name = "ID")]
    pub(crate) token: String,
}

#[derive(Debug, Args)]
pub(crate) struct PasswdArgs {
    /// Read the present passphrase from this file, `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) old_passphrase_file: Option<PathBuf>,
    /// Read the new passphrase from this file, `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// Which passphrase to replace, if there are several; `secretctl key list` lists them
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct RotateArgs {
    /// Read the passphrase from this file, `-` is stdin; a newline at its end does not count
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Use this key file, which opens the vault
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Where to write the copy
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreVaultArgs {
    /// A file that `secretctl backup` has written
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The vault's directory [variable: SECRETSD_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) key: UnlockArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Keep the vault as it is, although it is older than it was
    #[arg(long)]
    pub(crate) accept_restore: bool,
}
