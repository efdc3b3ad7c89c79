//! Connections to a session's proxy where its broker cannot listen: behind a forwarded socket, over which no listener can
//! be handed. We listen here, and each connection goes over one of its own to the control socket. It knows no value: what
//! goes by is for the broker to read.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use secrets_local::loopback::Owners;

use crate::lasting;

/// The most connections at a time, as many as a broker serves.
const MOST: usize = 256;

/// After a failure that may pass, such as too few descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Carries connections of this user's programs to the session, by threads that end with the process.
///
/// # Errors
/// Where there can be no thread, or the kernel cannot be asked whose a connection is.
pub(crate) fn serve(listener: TcpListener, control: PathBuf) -> io::Result<()> {
    let (own, owners) = (rustix::process::geteuid().as_raw(), Owners::new()?);
    let open = Arc::new(AtomicUsize::new(0));
    thread::Builder::new().name("relay".to_owned()).spawn(move || {
        loop {
            let Ok((stream, peer)) = listener.accept() else {
                thread::sleep(PAUSE);
                continue;
            };
            // Every user of this machine can connect to a port of its loopback.
            let is_own =
                stream.local_addr().and_then(|local| owners.uid_of(peer, local)).is_ok_and(|uid| uid == own);
            if !is_own || open.load(Ordering::Relaxed) >= MOST {
                continue;
            }
            open.fetch_add(1, Ordering::Relaxed);
            let (control, counted) = (control.clone(), open.clone());
            let carrying = thread::Builder::new().spawn(move || {
                // Its end is all that the program can be told.
                let _ = carry(&stream, &control);
                counted.fetch_sub(1, Ordering::Relaxed);
            });
            if carrying.is_err() {
                open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    })?;
    Ok(())
}

/// Carries one connection until both sides have said all.
fn carry(program: &TcpStream, control: &Path) -> io::Result<()> {
    program.set_nodelay(true)?;
    let session = lasting::stream(control)?;
    thread::scope(|scope| {
        thread::Builder::new().spawn_scoped(scope, || to_session(program, &session))?;
        let copied = io::copy(&mut &session, &mut &*program);
        let _ = program.shutdown(if copied.is_ok() { Shutdown::Write } else { Shutdown::Both });
        copied.map(drop)
    })
}

fn to_session(program: &TcpStream, session: &UnixStream) {
    let copied = io::copy(&mut &*program, &mut &*session);
    let _ = (&*session).flush();
    let _ = session.shutdown(if copied.is_ok() { Shutdown::Write } else { Shutdown::Both });
}
