//! Says which secrets there are, and runs a program with the value of one of them in its environment:
//!
//! ```sh
//! cargo run --package secrets-client --example ask -- NAME PROGRAM [ARGUMENT…]
//! ```
//!
//! It finds the daemon where `secretctl` does, and each kind of failure has an exit status of its own.

#![allow(clippy::print_stderr, reason = "an example says what it does")]

use std::env;
use std::error::Error as _;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use secrets_client::{Client, Error, Limits, Paths};
use secrets_proto::reveal::{Purpose, RevealRequest};
use secrets_proto::{ErrorType, Selector};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let (Some(name), Some(program)) = (words.next(), words.next()) else {
        eprintln!("ask NAME PROGRAM [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let mut command = Command::new(program);
    command.args(words).env_remove("SECRETSD_TOKEN");
    match ask(name, &mut command).await {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("ask: {failure}");
            match failure.downcast_ref::<Error>() {
                // The daemon's own answers, told apart by their type.
                Some(error) if error.kind() == Some(ErrorType::VaultLockedError) => ExitCode::from(3),
                Some(error) if error.kind() == Some(ErrorType::NotFoundError) => ExitCode::from(4),
                Some(Error::Refused(body)) => {
                    eprintln!("ask: this is {:?}", body.kind);
                    ExitCode::from(1)
                }
                // What comes between: nothing was sent to a server that is not ours.
                Some(Error::ForeignServer(..) | Error::Token(_)) => ExitCode::from(5),
                Some(Error::NotListening(_)) => ExitCode::from(8),
                Some(error) => {
                    eprintln!("ask: because of {:?}", error.source());
                    ExitCode::from(9)
                }
                None => ExitCode::from(1),
            }
        }
    }
}

async fn ask(name: OsString, command: &mut Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let paths = Paths::find(None, None, |name| env::var_os(name))?;
    let client = Client::new(paths.socket, paths.token, Limits::default());

    // Metadata: names, providers and masks, no values.
    let list = client.list().await?;
    for secret in &list.secrets {
        eprintln!("{} is {}", secret.name, secret.masked_value);
    }

    // Values, by name, for a purpose that the audit log keeps.
    let name = name.into_string().map_err(|_| "a name is text")?;
    let request = RevealRequest {
        secrets: vec![Selector::parse(&name)?],
        purpose: Purpose::parse("example")?,
        command: None,
        reason: None,
        directory: None,
    };
    let reply = client.reveal(&request).await?;
    for secret in &reply.secrets {
        // `Debug` of a value prints `[redacted]`; `expose` is the one way to it.
        command.env(secret.name.as_str(), secret.value.expose());
    }
    let status = command.status()?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}
