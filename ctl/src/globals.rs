//! The flags of every command.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Flags of every command.
#[derive(Debug, Default, Args)]
pub(crate) struct Globals {
    /// The daemon's socket [variable: SECRETSD_SOCKET]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) socket: Option<PathBuf>,
    /// The token's file [variable: SECRETSD_TOKEN_FILE; SECRETSD_TOKEN is a token itself]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) token_file: Option<PathBuf>,
    /// Do not start secretsd if it is not running
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_spawn: bool,
    /// How long to wait for an approval [default: 60]
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Global options")]
    pub(crate) wait: Option<u64>,
    /// Print JSON, where a command has output
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// When to use colour; NO_COLOR turns it off
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub(crate) color: Colour,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    #[default]
    Auto,
    Always,
    Never,
}
