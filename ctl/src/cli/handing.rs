//! The command line of what hands values to files, shells and other tools, and takes them over from files.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum HandingCommand {
    /// Write secrets with their names, for a shell or a program that reads a file
    #[command(after_help = "\
dotenv is read back the same by dotenvy and by a shell's `.`; `docker --env-file` knows neither quotes nor
values of several lines. JSON is one object of strings. shell is for eval in sh, bash, zsh and dash.
Names that a shell evaluates, runs or does not keep (OPTIND, PS1, UID) are refused unless allowed; so are those
that steer programs (PATH, LD_PRELOAD) unless named exactly by -s. Nothing is written then.
To a terminal only with --show. Prefer `secretctl run`, which writes nothing anywhere.

Example:
  secretctl export -s DATABASE_URL,API_KEY > .env
  eval \"$(secretctl export -s 'AWS_*' --format shell)\"")]
    Export(ExportArgs),
    /// Fill in a template with secrets' values
    #[command(after_help = "\
Each {{ secret:NAME }} becomes that secret's value.
Everything else stays as it is, byte for byte; nothing is quoted or escaped: a shell that reads the output may
execute what is in a value. With --shell each value is quoted, has NAME= before it and the rest of its line empty, and
names that a shell gives a meaning (OPTIND, PS1, UID) are refused unless allowed. What is missing or malformed is
reported at once with its line, and then nothing is written. The output file has mode 0600 and is complete
before it gets its name. To a terminal only with --show.

Example:
  secretctl inject -i config.toml.in -o config.toml
  secretctl inject --shell -i env.sh.in -o env.sh
  secretctl inject < nginx.conf.in | nginx-config-reader")]
    Inject(InjectArgs),
    /// Store what a file holds, check that it is stored, and delete the file if told to
    #[command(after_help = "\
Everything is read first. If a line cannot be taken over as it is written, or a name is taken, all such lines
are listed and nothing is stored. Afterwards each value is read back and compared. dotenv is read as dotenvy
does, but no variable is put in: a $ outside single quotes is refused. JSON is one object of strings.
Deleting removes the name: disks, backups and the history of git may keep what was in the file.

Example:
  secretctl import .env --dry-run
  secretctl import .env --delete-source
  vault-export | secretctl import - --format json")]
    Import(ImportArgs),
    /// Answer git's questions for a password; git runs this
    #[command(after_help = "\
For github.com, gitlab.com, bitbucket.org, codeberg.org, gitea.com, huggingface.co and dev.azure.com the
answer is the secret of that provider, or of several the one named like GITHUB_TOKEN. Other hosts are mapped
with --host. Only https, but for this machine itself: --host http://localhost:3000=NAME. When the vault is
locked or has nothing, nothing is said, and git asks elsewhere.

Example:
  secretctl set GITHUB_TOKEN --provider github
  git config --global credential.helper '!secretctl git-credential --host git.example.com=WORK_TOKEN'")]
    GitCredential(GitCredentialArgs),
    /// Answer AWS's tools, which run this as credential_process
    #[command(after_help = "\
The answer is made of AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if there is one, AWS_SESSION_TOKEN with its
--expires. In ~/.aws/config:
  [profile production]
  credential_process = secretctl aws-credentials --prefix PROD_

Example:
  secretctl aws-credentials --prefix PROD_ | jq .AccessKeyId")]
    AwsCredentials(AwsCredentialsArgs),
}

/// How secrets are written with their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    #[default]
    Dotenv,
    Json,
    Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Secrets by name, id or glob; repeated or separated by commas
    #[arg(short = 's', long = "secret", value_name = "SELECTOR", value_delimiter = ',')]
    #[arg(required_unless_present = "all")]
    pub(crate) selectors: Vec<String>,
    /// All secrets
    #[arg(long, conflicts_with = "selectors")]
    pub(crate) all: bool,
    /// How to write them
    #[arg(long, value_name = "FORMAT", default_value = "dotenv")]
    pub(crate) format: ExportFormat,
    /// Set the variable of this name although shells or programs give it a meaning; may be repeated
    #[arg(long = "allow-name", value_name = "NAME")]
    pub(crate) allow_names: Vec<String>,
    /// Show the values although stdout is a terminal
    #[arg(long)]
    pub(crate) show: bool,
    /// Why; goes to the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InjectArgs {
    /// The template; without it, or as `-`, stdin
    #[arg(short = 'i', long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Where to write; without it, or as `-`, stdout
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write for a shell to read: quote each value, which must be all that stands behind NAME= in its line
    #[arg(long)]
    pub(crate) shell: bool,
    /// Set the variable of this name although shells or programs give it a meaning; may be repeated
    #[arg(long = "allow-name", value_name = "NAME", requires = "shell")]
    pub(crate) allow_names: Vec<String>,
    /// Show the values although stdout is a terminal
    #[arg(long)]
    pub(crate) show: bool,
    /// Why; goes to the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// How the file to import is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    Dotenv,
    Json,
}

/// What to do with a name that is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnConflict {
    /// Store nothing
    #[default]
    Fail,
    /// Keep what is there
    Skip,
    /// Replace the value; the present one goes to the history
    Replace,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file; `-` is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How it is written; json if its name ends with that or it begins with {, else dotenv
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<ImportFormat>,
    /// Say what would happen, and store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What to do with a name that is taken
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub(crate) on_conflict: OnConflict,
    /// Delete the file once every value is read back the same
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) delete_source: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GitCredentialArgs {
    /// The secret for a host: HOST=NAME, HOST:PORT=NAME or USER@HOST=NAME; may be repeated
    #[arg(long = "host", value_name = "HOST=NAME")]
    pub(crate) hosts: Vec<String>,
    /// What git wants: get; it ignores store, erase and others
    #[arg(value_name = "OPERATION")]
    pub(crate) operation: String,
}

#[derive(Debug, Args)]
pub(crate) struct AwsCredentialsArgs {
    /// What stands before AWS_ in the names of the secrets
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
}
