//! `mcp`: what coding agents ask over the Model Context Protocol. A program of its own answers, because the protocol's
//! library is larger than all of this client.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::{environment, spawn};

/// Answer a coding agent over MCP: names, masks and rules, never a value
#[derive(Debug, Args)]
#[command(after_help = "\
It speaks the Model Context Protocol on standard input and output, and is started by the agent. Its
tools: list_secrets, check_rule, explain_denial, request_access. None prints a value or changes anything.

In an agent's settings:
  {\"mcpServers\": {\"secretsd\": {\"command\": \"secretctl\", \"args\": [\"mcp\"]}}}

Example:
  secretctl mcp")]
pub(crate) struct McpArgs {}

/// Becomes the program that answers. Returns only if it can't.
pub(crate) fn run(context: &Context) -> Failure {
    match command(context) {
        Ok(mut command) => {
            Failure::new(Exit::Other, format!("cannot start secretctl-mcp: {}", command.exec()))
        }
        Err(failure) => failure,
    }
}

fn command(context: &Context) -> Result<Command, Failure> {
    let own = env::current_exe().ok();
    let program = spawn::find(
        "secretctl-mcp",
        own.as_deref().and_then(|own| own.parent()),
        &environment::program_dirs(),
    );
    let program = program.ok_or_else(|| {
        Failure::new(Exit::Other, "secretctl-mcp is neither beside secretctl nor in PATH; install it")
    })?;
    // A daemon is started if none runs. If that fails, each answer says so: an agent shows nothing of what is said now.
    let _ = context.session().and_then(|session| session.status());
    let mut command = Command::new(program);
    for (flag, path) in [("--socket", &context.globals.socket), ("--token-file", &context.globals.token_file)]
    {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    Ok(command)
}
