//! What `secretctl` says on the command line: it has checked it already.

use std::ffi::OsString;
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Scan,
    InstallHook,
    UninstallHook,
    Version,
}

/// The command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) what: What,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    /// The client, for a hook.
    pub(crate) client: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) staged: bool,
    pub(crate) history: bool,
    pub(crate) stdin: bool,
    /// Whether git has started us, with an index of its own.
    pub(crate) is_hook: bool,
    pub(crate) paths: Vec<PathBuf>,
}

impl Arguments {
    /// Reads them; nothing if they are not such.
    pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut arguments = Self {
            what: What::Scan,
            socket: None,
            token_file: None,
            client: None,
            json: false,
            staged: false,
            history: false,
            stdin: false,
            is_hook: false,
            paths: Vec::new(),
        };
        arguments.what = match words.next()?.to_str()? {
            "scan" => What::Scan,
            "install-hook" => What::InstallHook,
            "uninstall-hook" => What::UninstallHook,
            "--version" => What::Version,
            _ => return None,
        };
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--socket" => arguments.socket = Some(words.next()?.into()),
                "--token-file" => arguments.token_file = Some(words.next()?.into()),
                "--client" => arguments.client = Some(words.next()?.into()),
                "--json" => arguments.json = true,
                "--staged" => arguments.staged = true,
                "--history" => arguments.history = true,
                "--stdin" => arguments.stdin = true,
                "--hook" => arguments.is_hook = true,
                "--" => arguments.paths = words.by_ref().map(PathBuf::from).collect(),
                _ => return None,
            }
        }
        Some(arguments)
    }
}
