//! The protocol: which tools there are, and their calls. Messages, versions and the transport are rmcp's.

use std::path::PathBuf;
use std::process::ExitCode;

use rmcp::handler::server::tool::{schema_for_input, schema_for_output};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::stdio;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::daemon::Daemon;
use crate::{PROGRAM, tools};

/// What an agent is told once, about all tools.
const INSTRUCTIONS: &str = "Secrets of the person at this machine. You never get a value. A program that was started with \
    'secretctl proxy run' has placeholders in its environment; send them as if they were the keys, and the value is put in \
    on the way where a rule allows it. An answer with the header x-secretsd-denied comes from secretsd, not from the host.";

/// Answers the tools' calls.
struct Server {
    daemon: Daemon,
    tools: Vec<Tool>,
}

/// Serves until standard input ends. Takes `--socket` and `--token-file`, each with a path.
pub(crate) fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let (mut socket, mut token) = (None, None);
    while let Some(word) = words.next() {
        let place = match word.to_str() {
            Some("--version") => return version(),
            Some("--socket") => &mut socket,
            Some("--token-file") => &mut token,
            _ => return usage(),
        };
        match words.next() {
            Some(path) => *place = Some(PathBuf::from(path)),
            None => return usage(),
        }
    }
    let daemon = match Daemon::find(socket, token) {
        Ok(daemon) => daemon,
        Err(reason) => return failed(&reason),
    };
    let Ok(tools) = tools() else { return failed("its tools cannot be described") };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return failed("the runtime cannot be started");
    };
    runtime.block_on(serve(Server { daemon, tools }))
}

async fn serve(server: Server) -> ExitCode {
    // What a client says wrongly may hold anything, so the library's own words about it are not printed.
    let Ok(running) = server.serve(stdio()).await else {
        return failed(
            "standard input does not speak the Model Context Protocol; it is for agents, see secretctl mcp --help",
        );
    };
    match running.waiting().await {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => failed("the connection to the agent broke"),
    }
}

/// Says on standard error why nothing is served. Standard output is the protocol's.
pub(crate) fn failed(reason: &str) -> ExitCode {
    said(&format!("{PROGRAM}: {reason}"));
    ExitCode::FAILURE
}

fn usage() -> ExitCode {
    said(&format!("{PROGRAM}: it takes --socket PATH and --token-file PATH"));
    ExitCode::from(2)
}

fn said(line: &str) {
    use std::io::Write;
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn version() -> ExitCode {
    use std::io::Write;
    let line = concat!("secretctl-mcp ", env!("CARGO_PKG_VERSION"));
    if writeln!(std::io::stdout(), "{line}").is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The tools, with the schemas of what goes in and comes out.
fn tools() -> Result<Vec<Tool>, String> {
    Ok(vec![
        tool::<tools::ListSecrets, tools::Listed>(
            "list_secrets",
            "List the names, providers and masks of the secrets; never a value",
        )?,
        tool::<tools::CheckRule, tools::Checked>(
            "check_rule",
            "Tell whether a request may carry a secret's value, and by which rule; sends nothing",
        )?,
        tool::<tools::ExplainDenial, tools::Explained>(
            "explain_denial",
            "Explain why an answer had the header x-secretsd-denied, and what helps",
        )?,
        tool::<tools::RequestAccess, tools::Requested>(
            "request_access",
            "Get the command by which a person can allow a use; if the secret is guarded, ask that person and wait",
        )?
        // A person is asked.
        .with_annotations(
            ToolAnnotations::new().read_only(false).destructive(false).idempotent(true).open_world(false),
        ),
    ])
}

fn tool<In: JsonSchema + 'static, Out: JsonSchema + 'static>(
    name: &'static str,
    description: &'static str,
) -> Result<Tool, String> {
    let only_reads =
        ToolAnnotations::new().read_only(true).destructive(false).idempotent(true).open_world(false);
    Ok(Tool::new(name, description, schema_for_input::<In>()?)
        .with_raw_output_schema(schema_for_output::<Out>())
        .with_annotations(only_reads))
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("secretsd", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.clone()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = call.arguments.unwrap_or_default();
        let result = match call.name.as_ref() {
            "list_secrets" => match read(arguments) {
                Ok(asked) => answer(tools::list(&self.daemon, asked).await),
                Err(refused) => refused,
            },
            "check_rule" => match read(arguments) {
                Ok(asked) => answer(tools::check(&self.daemon, asked).await),
                Err(refused) => refused,
            },
            "explain_denial" => match read(arguments) {
                Ok(asked) => answer(tools::explain(&asked)),
                Err(refused) => refused,
            },
            "request_access" => match read(arguments) {
                Ok(asked) => answer(tools::request(&self.daemon, asked).await),
                Err(refused) => refused,
            },
            _ => return Err(ErrorData::invalid_params("there is no tool of this name", None)),
        };
        Ok(result.into())
    }
}

/// The arguments, or a refusal that repeats nothing of them: an agent may have put anything there.
fn read<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, CallToolResult> {
    serde_json::from_value(arguments.into())
        .map_err(|_| refusal("the arguments are not those of the tool's input schema"))
}

fn answer<T: Serialize>(result: Result<T, String>) -> CallToolResult {
    match result.map(serde_json::to_value) {
        Ok(Ok(value)) => CallToolResult::structured(value),
        Ok(Err(_)) => refusal("the answer cannot be written as JSON"),
        Err(reason) => refusal(&reason),
    }
}

fn refusal(reason: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(reason)])
}
