//! `mcp`: what coding agents ask over the Model Context Protocol. A program of its own answers, because the protocol's
//! library is larger than all of this client.

use clap::Args;

use crate::beside;
use crate::context::Context;
use crate::failure::Failure;

/// Answer a coding agent over MCP: names, masks and rules, never a value
#[derive(Debug, Args)]
#[command(after_help = "\
It speaks the Model Context Protocol on standard input and output, and is started by the agent. Its
tools: list_secrets, check_rule, explain_denial, request_access. None prints a value or changes anything;
request_access asks you for what is guarded.

In an agent's settings:
  {\"mcpServers\": {\"secretsd\": {\"command\": \"secretctl\", \"args\": [\"mcp\"]}}}

Example:
  secretctl mcp")]
pub(crate) struct McpArgs {}

/// Becomes the program that answers. Returns only if it can't.
pub(crate) fn run(context: &Context) -> Failure {
    // A daemon is started if none runs. If that fails, the program says so itself, where its own user sees it.
    let _ = context.session().and_then(|session| session.status());
    beside::become_program("secretctl-mcp", &context.globals, &[])
}
