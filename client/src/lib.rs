//! Asks secretsd, the daemon that keeps a user's secrets: lists what there is, and gets values by name.
//!
//! A [`Client`] makes one connection a request. It looks at who serves the socket before it sends anything: a token and a
//! value go to a server of this process's own user and to nobody else. Everything has a deadline and a size
//! ([`Limits`]), so that a server that hangs or never ends keeps nobody.
//!
//! ```no_run
//! use secrets_client::{Client, Error, Limits, Paths};
//! use secrets_proto::ErrorType;
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! // Where `secretctl` would look, too.
//! let paths = Paths::find(None, None, |name| std::env::var_os(name))?;
//! let client = Client::new(paths.socket, paths.token, Limits::default());
//! match client.list().await {
//!     Ok(list) => println!("{} secrets", list.total),
//!     Err(Error::NotListening(socket)) => println!("no daemon at {}", socket.display()),
//!     Err(error) if error.kind() == Some(ErrorType::VaultLockedError) => println!("secretctl unlock"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/ask.rs` reveals a value, too. What goes over the socket is described by the types of [`secrets_proto`]; a
//! request for which there is no method here is a [`Call`].
//!
//! It runs on a tokio runtime that has I/O and time enabled; one thread is enough. A request is spoken by hyper over a
//! socket that was connected and checked here: hyperlocal's connector hides the socket, so that nobody could ask whose
//! it is before the first byte is sent.
//!
//! # Layout
//!
//! - `client`: one request over one connection
//! - `call`: a request and its answer as bytes
//! - `error`: why there is no answer
//! - `token`: what proves that one may ask
//! - `paths`: where socket and token are

mod call;
mod client;
mod error;
mod paths;
pub mod token;

pub use call::{Answer, Call};
pub use client::{Client, Download, Limits};
pub use error::Error;
pub use hyper::Method;
pub use paths::{NoPaths, Paths};
pub use token::TokenSource;
