//! The commands: a file each, which holds what the command is told on its command line, what help says of it, and what
//! it does; and the table of all of them. A new command is a file, its `mod` line and its row here.

mod expiry;
mod kept;

mod approve;
mod audit;
mod aws_credentials;
mod backup;
mod cargo_credential;
mod check;
mod complete;
mod completions;
mod credential;
mod docker_credential;
mod doctor;
mod edit;
mod export;
mod get;
mod git_credential;
mod guard;
mod hidden;
mod history;
pub(crate) mod import;
mod init;
mod inject;
mod items;
mod key;
mod keyring;
mod kube_credential;
mod list;
mod lock;
mod machine;
mod man;
mod mcp;
mod passwd;
mod preset;
mod presets;
mod project;
mod proxy;
mod rename;
mod replace;
mod restore;
mod restore_vault;
mod rm;
mod rollback;
mod rotate;
mod rules;
mod run;
mod same;
mod scan;
mod secret_service;
mod set;
mod show;
mod status;
mod stop;
mod sync;
mod token;
mod trash;
mod ui;
mod unlock;
mod uses;
mod vault_client;
mod verify;
mod r#where;
mod written_down;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::failure::Failure;
use crate::{broker, completion, environment, fence, spawn};

/// From rows `Variant("name", "alias"): arguments => what it does`, in the groups in which help shows them; a group
/// without a title is not shown. A row says what help shows only where several commands have the same arguments.
macro_rules! commands {
    ($($title:literal {
        $($(#[$attribute:meta])* $variant:ident($name:expr $(, $alias:literal)?): $args:ty => $run:expr;)*
    })*) => {
        /// A command with its arguments.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command {
            $($($(#[$attribute])* #[command(name = $name $(, visible_alias = $alias)?)] $variant($args),)*)*
        }

        /// The names of the commands in their groups.
        pub(crate) const GROUPS: &[(&str, &[&str])] = &[$(($title, &[$($name),*])),*];

        /// A function that adds a command's arguments to its description.
        type Describe = fn(clap::Command) -> clap::Command;

        /// Each command's name and aliases, and its arguments.
        const ALONE: &[(&[&str], Describe)] =
            &[$($((&[$name $(, $alias)?], <$args>::augment_args)),*),*];

        impl Command {
            /// Does what the command line says.
            pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
                match self {
                    $($(Self::$variant(args) => {
                        let run: fn(&Context, &$args) -> Result<(), Failure> = $run;
                        run(context, args)
                    })*)*
                }
            }

            /// The one command of this name or alias, described for the parser.
            pub(crate) fn alone(word: &str) -> Option<clap::Command> {
                let (names, describe) = ALONE.iter().find(|(names, _)| names.contains(&word))?;
                let (name, aliases) = names.split_first()?;
                Some(describe(clap::Command::new(*name).aliases(aliases.iter().copied()).disable_help_subcommand(true)))
            }
        }
    };
}

commands! {
    "Vault" {
        Init("init"): init::InitArgs => |context, args| init::run(&context.session()?, context.output, args);
        Status("status"): status::StatusArgs => |context, _| status::run(&context.session()?, context.output);
        Unlock("unlock"): unlock::UnlockArgs => |context, args| unlock::run(&context.session()?, args);
        Lock("lock"): lock::LockArgs => |context, _| lock::run(&context.session()?);
        Stop("stop"): stop::StopArgs => |context, _| stop::run(&environment::paths(&context.globals)?);
    }
    "Secrets" {
        /// Store a secret, new or existing
        Set("set"): set::SetArgs =>
            |context, args| set::run(|| context.session(), context.output, args, set::Mode::Either);
        /// Store a new secret; fails if the name exists
        Add("add"): set::SetArgs =>
            |context, args| set::run(|| context.session(), context.output, args, set::Mode::New);
        /// Change an existing secret's value; fails if there is none
        Update("update"): set::SetArgs =>
            |context, args| set::run(|| context.session(), context.output, args, set::Mode::Existing);
        Replace("replace"): replace::ReplaceArgs =>
            |context, args| replace::run(|| context.session(), context.output, args);
        Edit("edit"): edit::EditArgs => |context, args| edit::run(|| context.session(), context.output, args);
        Preset("preset"): preset::PresetArgs =>
            |context, args| preset::run(|| context.session(), context.output, args);
        Presets("presets"): presets::PresetsArgs =>
            |context, _| presets::run(&context.session()?, context.output);
        Import("import"): import::ImportArgs =>
            |context, args| import::run(|| context.session(), context.output, args);
        List("list", "ls"): list::ListArgs =>
            |context, args| list::run(&context.session()?, context.output, args);
        Where("where"): r#where::WhereArgs =>
            |context, args| r#where::run(&context.session()?, context.output, args);
        Same("same"): same::SameArgs => |context, args| same::run(&context.session()?, context.output, args);
        Show("show"): show::ShowArgs => |context, args| show::run(&context.session()?, context.output, args);
        Rename("rename"): rename::RenameArgs =>
            |context, args| rename::run(|| context.session(), context.output, args);
        History("history"): history::HistoryArgs =>
            |context, args| history::run(&context.session()?, context.output, args);
        Rollback("rollback"): rollback::RollbackArgs =>
            |context, args| rollback::run(|| context.session(), context.output, args);
        Rm("rm"): rm::RmArgs => |context, args| rm::run(|| context.session(), args);
        Trash("trash"): trash::TrashArgs => |context, _| trash::run(&context.session()?, context.output);
        Restore("restore"): restore::RestoreArgs =>
            |context, args| restore::run(|| context.session(), context.output, args);
    }
    "Use secrets" {
        Ui("ui"): ui::UiArgs => |context, _| Err(ui::run(|| context.session()));
        Run("run"): run::RunArgs =>
            |context, args| run::run(|| context.session(), args, context.inherited_umask);
        Get("get"): get::GetArgs => |context, args| get::run(|| context.session(), args);
        Inject("inject"): inject::InjectArgs => |context, args| inject::run(|| context.session(), args);
        Export("export"): export::ExportArgs => |context, args| export::run(|| context.session(), args);
        Scan("scan"): scan::ScanArgs => |context, args| Err(scan::run(context, args));
        GitCredential("git-credential"): git_credential::GitCredentialArgs =>
            |context, args| git_credential::run(|| context.quick_session(), args);
        AwsCredentials("aws-credentials"): aws_credentials::AwsCredentialsArgs =>
            |context, args| aws_credentials::run(|| context.quick_session(), args);
        DockerCredential("docker-credential"): docker_credential::DockerCredentialArgs =>
            |context, args| docker_credential::run(|| context.quick_session(), args);
        CargoCredential("cargo-credential"): cargo_credential::CargoCredentialArgs =>
            |context, args| cargo_credential::run(|| context.quick_session(), args);
        Keyring("keyring"): keyring::KeyringArgs =>
            |context, args| keyring::run(|| context.quick_session(), args);
        KubeCredential("kube-credential"): kube_credential::KubeCredentialArgs =>
            |context, args| kube_credential::run(|| context.quick_session(), args);
        VaultClient("vault-client"): vault_client::VaultClientArgs =>
            |context, args| vault_client::run(|| context.quick_session(), args);
        Items("items"): items::ItemsArgs =>
            |context, args| items::run(context, args);
        SecretService("secret-service"): secret_service::SecretServiceArgs => |_, args| secret_service::run(args);
    }
    "Projects" {
        Check("check"): check::CheckArgs =>
            |context, args| check::run(|| context.session(), context.output, args);
        Project("project"): project::ProjectArgs =>
            |context, args| project::run(|| context.session(), context.output, args);
        Uses("uses"): uses::UsesArgs => |context, args| uses::run(context.output, args);
    }
    "Access" {
        Token("token"): token::TokenArgs =>
            |context, args| token::run(|| context.session(), context.output, args);
        Credential("credential"): credential::CredentialArgs =>
            |context, args| credential::run(|| context.session(), context.output, args);
        Guard("guard"): guard::GuardArgs => |context, args| guard::run(|| context.session(), args);
        Approve("approve"): approve::ApproveArgs =>
            |context, args| match args.agent {
                true => Err(approve::agent(context)),
                false => approve::approve(&context.session()?, context.output, args),
            };
        Deny("deny"): approve::DenyArgs => |context, args| approve::deny(&context.session()?, args);
        Rules("rules"): rules::RulesArgs =>
            |context, args| rules::run(&context.session()?, context.output, args);
        Proxy("proxy"): proxy::ProxyArgs =>
            |context, args| proxy::run(|| context.session(), context, args);
        Mcp("mcp"): mcp::McpArgs => |context, _| Err(mcp::run(context));
        Audit("audit"): audit::AuditArgs =>
            |context, args| audit::run(&context.session()?, context.output, args);
    }
    "Keys and backups" {
        Key("key"): key::KeyArgs => |context, args| key::run(|| context.session(), context.output, args);
        Passwd("passwd"): passwd::PasswdArgs => |context, args| passwd::run(|| context.session(), args);
        Rotate("rotate"): rotate::RotateArgs =>
            |context, args| rotate::run(&context.session()?, context.output, args);
        Backup("backup"): backup::BackupArgs => |context, args| backup::run(|| context.session(), args);
        RestoreVault("restore-vault"): restore_vault::RestoreVaultArgs =>
            |context, args| restore_vault::run(|| context.session(), context.output, args);
        Verify("verify"): verify::VerifyArgs =>
            |context, args| verify::run(&context.session()?, context.output, args);
    }
    "Several machines" {
        Machine("machine"): machine::MachineArgs =>
            |context, args| machine::run(|| context.session(), context.output, args);
        Sync("sync"): sync::SyncArgs => |context, args| sync::run(&context.session()?, context.output, args);
    }
    "Setup" {
        Doctor("doctor"): doctor::DoctorArgs => |context, _| doctor::run(&context.globals, context.output);
        Completions("completions"): completions::CompletionsArgs => |_, args| completions::run(args);
        Man("man"): man::ManArgs => |context, args| man::run(args, (context.describe)());
    }
    "" {
        #[command(hide = true)]
        Complete(completion::COMMAND): complete::CompleteArgs => |context, _| {
            complete::run((context.describe)());
            Ok(())
        };
        #[command(hide = true)]
        Launch(spawn::NURSE): hidden::ProgramArgs => |_, args| Err(hidden::launch(args));
        #[command(hide = true)]
        LaunchBroker(broker::LAUNCH): hidden::ProgramArgs => |_, args| hidden::launch_broker(args);
        #[command(hide = true)]
        Apart(fence::APART): hidden::ProgramArgs =>
            |context, args| Err(hidden::apart(args, context.inherited_umask));
        #[command(hide = true)]
        InFence(fence::FENCE): hidden::FenceArgs => |context, _| hidden::in_fence(context.inherited_umask);
        #[command(hide = true)]
        OnTerminal(run::ON_TERMINAL): hidden::ProgramArgs =>
            |context, args| hidden::on_terminal(args, context.inherited_umask);
        #[command(hide = true)]
        InForeground(run::IN_FOREGROUND): hidden::ProgramArgs =>
            |context, args| Err(hidden::in_foreground(args, context.inherited_umask));
    }
}
