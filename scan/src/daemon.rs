//! Asks the daemon for the values: once, all that the token may have, with one entry in the audit log.

use secrets_client::{Client, Limits, Paths};
use secrets_proto::reveal::{Purpose, RevealRequest};
use secrets_proto::{ErrorType, Selector};
use tokio::runtime::Builder;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::values::Sought;

/// What the audit log has as the purpose.
const PURPOSE: &str = "scan";

/// The values to look for.
pub(crate) fn values(arguments: &Arguments) -> Result<Sought, Failure> {
    let variable = |name: &str| std::env::var_os(name);
    let paths = Paths::find(arguments.socket.clone(), arguments.token_file.clone(), variable)
        .map_err(|error| Failure::other(error.to_string()))?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start: {error}")))?;
    let client = Client::new(paths.socket, paths.token, Limits::default());
    runtime.block_on(async {
        let wrong = |invalid: secrets_proto::Invalid| Failure::other(invalid.to_string());
        let request = RevealRequest {
            secrets: vec![Selector::parse("*").map_err(wrong)?],
            purpose: Purpose::parse(PURPOSE).map_err(wrong)?,
            command: None,
            reason: None,
            directory: None,
        };
        match client.reveal(&request).await {
            Ok(reply) => Ok(Sought::new(&reply.secrets)),
            // There are none.
            Err(error) if error.kind() == Some(ErrorType::NotFoundError) => Ok(Sought::new(&[])),
            Err(error) => Err(error.into()),
        }
    })
}
