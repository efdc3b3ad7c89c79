//! What a broker would find on this machine, for `secretctl doctor`: it alone knows where it looks for certificate
//! authorities, and whether the kernel tells it whose a connection is.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use secrets_local::loopback::Owners;
use secrets_proto::broker::Found;

use crate::authorities;

/// How long a connection to the loopback may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints the version.
pub(crate) fn version() -> ExitCode {
    print(concat!("secretsd-broker ", env!("CARGO_PKG_VERSION")).as_bytes())
}

/// Prints what it finds, as JSON.
pub(crate) fn main() -> ExitCode {
    let found = Found {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        authorities: authorities::find().map_or(0, |found| found.certificates.len()),
        loopback: loopback().err().map(|error| error.to_string()),
    };
    serde_json::to_vec(&found).map_or(ExitCode::FAILURE, |json| print(&json))
}

/// Connects to itself, as a program would to its proxy.
fn loopback() -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let _program = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let (stream, peer) = listener.accept()?;
    Owners::new()?.uid_of(peer, stream.local_addr()?).map(drop)
}

fn print(line: &[u8]) -> ExitCode {
    let mut out = io::stdout();
    match out.write_all(line).and_then(|()| out.write_all(b"\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
